"""InceptionV3 as in the definitions of FID, sFID and the Inception Score (Szegedy et al., 2016, arXiv 1512.00567).

Google published this network on 2015-12-05 as a TensorFlow graph; torch-fidelity and pytorch-fid distribute its weights
for PyTorch. Besides weights and the 1008 classes, it differs from torchvision's InceptionV3 in averages at the border
(no padding) and in the pooling of the last block (maxima). The features are those of the evaluator of Dhariwal & Nichol
(2021, arXiv 2105.05233), which Song et al. (2023) use, too.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmcm.checkpoints import resolve_checkpoint
from mmcm.checkpoints.download import digests
from mmcm.checkpoints.formats.foreign_weights import read_state_dict
from mmcm.checkpoints.formats.inception_names import is_named_as_in_tensorflow, named_as_in_torchvision
from mmcm.checkpoints.weights import load_weights
from mmcm.evaluation.features.base import FeatureExtractor, Features, as_rgb, fingerprint_of
from mmcm.evaluation.features.tensorflow_resize import resize_bilinear
from mmcm.evaluation.features.torch_script import is_script, load_script
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from mmcm.utils.meta_device import without_weights

WEIGHTS = 'https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth'
# pytorch-fid's pt_inception-2015-12-05-6726825d.pth is the same file.
PUBLISHED_SHA256 = '6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2'

SIZE = 299  # pixels, of the input of the network
NUM_CLASSES = 1008
SPATIAL_CHANNELS = 7  # of 192: with 17 x 17 pixels, about as many features as the 2048
EPS = 0.001  # added to the variances


@MODELS.register_module()
class InceptionV3(FeatureExtractor):
    """Features of RGB or grey images of any size, which are resized to 299 x 299 first, without smoothing.

    Features are the 2048 averages before the classifier (`pool_3` in the graph). Spatial features are seven channels of
    `mixed_6/conv`, 17 x 17 pixels, in the order of TensorFlow: 2023, the channel counting fastest, as in the statistics
    that Dhariwal & Nichol published. Logits are those of 1008 classes without the bias of the classifier, which
    their Inception Score leaves out.

    `init_weights` reads the weights. They may be in a file of torch-fidelity or pytorch-fid (`.pth`, 95 MB), in a
    safetensors file with the same names, or in a TorchScript archive with these names or with those of NVIDIA's
    `inception-2015-12-05.pt`, of which only the weights are used.

    Args:
        checkpoint (str | Path): A file, or its http or https address; see `mmcm.checkpoints.resolve_checkpoint`.
        sha256 (str, optional): Digest that the file must have, in hexadecimal digits. A file whose name ends with the
            first eight digits of the published one has to be that.
        batch_size (int): Largest number of images per pass. On a GPU, a batch that does not fit is halved.

    Attributes:
        doubt (str, optional): Warning for weights that are not of the published file; set by `init_weights`. NVIDIA's
            are said to be the same, but theirs is another file.
    """

    def __init__(self, checkpoint: str | Path = WEIGHTS, sha256: str | None = None, batch_size: int = 64) -> None:
        super().__init__(batch_size)
        self.checkpoint = str(checkpoint)
        published = Path(self.checkpoint).stem.endswith(f'-{PUBLISHED_SHA256[:8]}')
        self.sha256 = sha256 or (PUBLISHED_SHA256 if published else None)
        self.doubt: str | None = None
        with without_weights():  # random weights would take longer than reading those of the file
            self.Conv2d_1a_3x3 = Convolution(3, 32, 3, stride=2)
            self.Conv2d_2a_3x3 = Convolution(32, 32, 3)
            self.Conv2d_2b_3x3 = Convolution(32, 64, 3, padding=1)
            self.Conv2d_3b_1x1 = Convolution(64, 80, 1)
            self.Conv2d_4a_3x3 = Convolution(80, 192, 3)
            self.Mixed_5b = BlockA(192, pool_channels=32)
            self.Mixed_5c = BlockA(256, pool_channels=64)
            self.Mixed_5d = BlockA(288, pool_channels=64)
            self.Mixed_6a = BlockB(288)
            self.Mixed_6b = BlockC(768, mid_channels=128)
            self.Mixed_6c = BlockC(768, mid_channels=160)
            self.Mixed_6d = BlockC(768, mid_channels=160)
            self.Mixed_6e = BlockC(768, mid_channels=192)
            self.Mixed_7a = BlockD(768)
            self.Mixed_7b = BlockE(1280, pool=average)
            self.Mixed_7c = BlockE(2048, pool=maximum)
            self.fc = nn.Linear(2048, NUM_CLASSES, bias=False)
        self.requires_grad_(False)

    def init_weights(self) -> None:
        """Read the weights, and download them if they are not on this machine. The second call does nothing.

        Raises:
            InputError: If the file cannot be downloaded or read, has another digest, or holds another network.
        """
        if self.fingerprint is not None:
            return
        path = resolve_checkpoint(self.checkpoint, sha256=self.sha256)
        weights = load_script(path).state_dict() if is_script(path) else read_state_dict(path)
        if is_named_as_in_tensorflow(weights):
            weights = named_as_in_torchvision(weights)
        try:
            load_weights(self, {key: value for key, value in weights.items() if not is_left_out(key)}, path)
        except InputError as error:
            raise InputError(
                f"{error} InceptionV3 takes the weights of 2015-12-05 ({WEIGHTS}), which are not torchvision's."
            ) from error
        if PUBLISHED_SHA256 not in (self.sha256, digests(path)[1]):
            self.doubt = (
                f'It is not known whether the weights in {path} are those of 2015-12-05: the published file '
                f'is another one ({WEIGHTS}).'
            )
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # its overloads leave it out
        self.fingerprint = fingerprint_of(self)

    def forward(self, images: Tensor) -> Features:
        """Return the features (N, 2048), logits (N, 1008) and spatial features (N, 2023) of `images`, uint8."""
        x = resize_bilinear(as_rgb(images).float(), SIZE, SIZE)
        x = ((x - 128) / 128).contiguous(memory_format=torch.channels_last)
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))  # 147 x 147
        x = F.max_pool2d(x, 3, stride=2)
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x))  # 71 x 71
        x = F.max_pool2d(x, 3, stride=2)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))  # 35 x 35
        x = self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x))))  # 17 x 17
        spatial = x[:, :SPATIAL_CHANNELS].permute(0, 2, 3, 1).flatten(1)  # the block begins with its 1 x 1 convolution
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(self.Mixed_6e(x))))  # 8 x 8
        features = x.mean((2, 3))
        return Features(features, self.fc(features), spatial)


def is_left_out(key: str) -> bool:
    """Return whether a tensor in files of this network is unused here."""
    return key == 'fc.bias' or key.startswith('AuxLogits.') or key.endswith('.num_batches_tracked')


class Convolution(nn.Module):
    """Convolution without bias, normalisation with constants, ReLU."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False)
        self.bn = Normalisation(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` (N, C_in, H, W) to (N, C_out, H', W')."""
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Normalisation(nn.Module):
    """Batch normalisation with the statistics of the training set, also in training mode."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ('weight', 'bias', 'running_mean', 'running_var'):
            self.register_buffer(name, torch.empty(channels, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `x` (N, C, H, W)."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=EPS)


def average(x: Tensor) -> Tensor:
    """Average over 3 x 3 pixels, without those outside the image."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def maximum(x: Tensor) -> Tensor:
    """Take the maximum of 3 x 3 pixels."""
    return F.max_pool2d(x, 3, stride=1, padding=1)


class BlockA(nn.Module):
    """Parallel branches with fields of 1, 5 and 5 pixels, and an average (Fig. 5 of the paper)."""

    def __init__(self, in_channels: int, pool_channels: int) -> None:
        super().__init__()
        self.branch1x1 = Convolution(in_channels, 64, 1)
        self.branch5x5_1 = Convolution(in_channels, 48, 1)
        self.branch5x5_2 = Convolution(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = Convolution(in_channels, 64, 1)
        self.branch3x3dbl_2 = Convolution(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Convolution(96, 96, 3, padding=1)
        self.branch_pool = Convolution(in_channels, pool_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` (N, C, H, W) to (N, 224 + pool_channels, H, W)."""
        five = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, double, self.branch_pool(average(x))], 1)


class BlockB(nn.Module):
    """From 35 x 35 to 17 x 17 pixels."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch3x3 = Convolution(in_channels, 384, 3, stride=2)
        self.branch3x3dbl_1 = Convolution(in_channels, 64, 1)
        self.branch3x3dbl_2 = Convolution(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = Convolution(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` (N, C, H, W) to (N, 480 + C, H', W')."""
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), double, F.max_pool2d(x, 3, stride=2)], 1)


class BlockC(nn.Module):
    """Parallel branches with 7 x 7 convolutions factorised into rows and columns (Fig. 6 of the paper, n = 7)."""

    def __init__(self, in_channels: int, mid_channels: int) -> None:
        super().__init__()
        self.branch1x1 = Convolution(in_channels, 192, 1)
        self.branch7x7_1 = Convolution(in_channels, mid_channels, 1)
        self.branch7x7_2 = Convolution(mid_channels, mid_channels, (1, 7), padding=(0, 3))
        self.branch7x7_3 = Convolution(mid_channels, 192, (7, 1), padding=(3, 0))
        self.branch7x7dbl_1 = Convolution(in_channels, mid_channels, 1)
        self.branch7x7dbl_2 = Convolution(mid_channels, mid_channels, (7, 1), padding=(3, 0))
        self.branch7x7dbl_3 = Convolution(mid_channels, mid_channels, (1, 7), padding=(0, 3))
        self.branch7x7dbl_4 = Convolution(mid_channels, mid_channels, (7, 1), padding=(3, 0))
        self.branch7x7dbl_5 = Convolution(mid_channels, 192, (1, 7), padding=(0, 3))
        self.branch_pool = Convolution(in_channels, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` (N, C, H, W) to (N, 768, H, W)."""
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), seven, double, self.branch_pool(average(x))], 1)


class BlockD(nn.Module):
    """From 17 x 17 to 8 x 8 pixels."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch3x3_1 = Convolution(in_channels, 192, 1)
        self.branch3x3_2 = Convolution(192, 320, 3, stride=2)
        self.branch7x7x3_1 = Convolution(in_channels, 192, 1)
        self.branch7x7x3_2 = Convolution(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = Convolution(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = Convolution(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` (N, C, H, W) to (N, 512 + C, H', W')."""
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([three, seven, F.max_pool2d(x, 3, stride=2)], 1)


class BlockE(nn.Module):
    """Parallel branches that end in a row and a column side by side (Fig. 7 of the paper).

    Args:
        in_channels (int): C.
        pool (Callable): Pooling at the start of the last branch, `average` or `maximum`.
    """

    def __init__(self, in_channels: int, pool: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.pool = pool
        self.branch1x1 = Convolution(in_channels, 320, 1)
        self.branch3x3_1 = Convolution(in_channels, 384, 1)
        self.branch3x3_2a = Convolution(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = Convolution(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = Convolution(in_channels, 448, 1)
        self.branch3x3dbl_2 = Convolution(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = Convolution(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = Convolution(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = Convolution(in_channels, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` (N, C, H, W) to (N, 2048, H, W)."""
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pairs = [self.branch3x3_2a(single), self.branch3x3_2b(single)]
        pairs += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)]
        return torch.cat([self.branch1x1(x), *pairs, self.branch_pool(self.pool(x))], 1)
