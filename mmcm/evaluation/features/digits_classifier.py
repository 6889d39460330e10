"""Small classifiers of digits, for label accuracy and as feature extractors."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.evaluation.features.base import Features, fingerprint_of, full_precision
from mmcm.registry import MODELS
from mmcm.structures import DataSample, labels_of
from mmcm.utils.checks import check_choice, check_count
from mmcm.utils.errors import InputError
from mmcm.utils.mmengine_bases import BaseModel

HALVED_ABOVE = 16  # pixels: larger images are halved once more, so that all architectures stay as small


def convolutional(dropout: float, size: int) -> nn.Sequential:
    """Return three convolutions with maxima of neighbours, and two linear layers."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), *halved(size),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(dropout), nn.Linear(64 * (inner_size(size) // 4) ** 2, 64), nn.ReLU(),
        nn.Dropout(dropout), nn.Linear(64, 10))  # yapf: disable


def normalised(dropout: float, size: int) -> nn.Sequential:
    """Return three convolutions with batch normalisation, averages over the image, and one linear layer."""
    return nn.Sequential(
        *halved(size, nn.AvgPool2d), nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1, stride=2), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Dropout(dropout), nn.Linear(64, 10))  # yapf: disable


def perceptron(dropout: float, size: int) -> nn.Sequential:
    """Return three linear layers, without any notion of neighbouring pixels but for means of larger images."""
    return nn.Sequential(
        *halved(size, nn.AvgPool2d), nn.Flatten(),
        nn.Linear(inner_size(size) ** 2, 256), nn.ReLU(), nn.Dropout(dropout), nn.Linear(256, 64), nn.ReLU(),
        nn.Dropout(dropout), nn.Linear(64, 10))  # yapf: disable


def inner_size(size: int) -> int:
    """Return the height and width of the feature maps for images of `size` pixels: half, if these are large."""
    return size // 2 if size > HALVED_ABOVE else size


def halved(size: int, pool: Callable[[int], nn.Module] = nn.MaxPool2d) -> list[nn.Module]:
    """Return the layers between the size of the images and `inner_size`: one of `pool`, or none."""
    return [pool(2)] if inner_size(size) < size else []


ARCHITECTURES = dict(convolutional=convolutional, normalised=normalised, perceptron=perceptron)


@MODELS.register_module()
class DigitsClassifier(BaseModel):
    """A classifier of handwritten digits, trained on a part of a data set.

    Its features are the 64 inputs of its last linear layer. Classifiers of other architectures and seeds are
    independent judges: report a model that was selected by one of them with another.

    Args:
        checkpoint (str, optional): Weights to load by `init_weights`; None to train it.
        dropout (float): Fraction of the features dropped in training.
        architecture (str): 'convolutional', 'normalised' (batch normalisation and averages over the image, sensitive to
            textures) or 'perceptron' (linear layers alone).
        label_smoothing (float): Fraction of the label that is spread over all classes in training, in [0, 1]. It bounds
            the features: without it, a few outliers dominate the covariance of a convolutional network.
        image_size (int): Height and width of its images in pixels: 8 for the digits in this package, 28 for MNIST.
    """

    channels = 1  # of its images

    def __init__(
        self,
        checkpoint: str | None = None,
        dropout: float = 0.5,
        architecture: str = 'convolutional',
        label_smoothing: float = 0.1,
        image_size: int = 8,
    ) -> None:
        check_choice('architecture', architecture, tuple(ARCHITECTURES))
        check_count('image_size', image_size, least=8)
        super().__init__(MODELS.build(dict(type='ImagePreprocessor')))
        self.checkpoint = None if checkpoint is None else str(checkpoint)
        self.fingerprint: str | None = None
        self.label_smoothing = label_smoothing
        self.image_size = image_size
        self.backbone = ARCHITECTURES[architecture](dropout, image_size)

    def init_weights(self) -> None:
        """Load the checkpoint, if there is one."""
        if self.checkpoint is not None:
            Checkpoint.open(self.checkpoint).load_into(self.backbone)
            self.fingerprint = fingerprint_of(self)

    def extract(self, images: Tensor) -> Features:
        """Return features (N, 64) and logits (N, 10) of `images` (N, 1, H, W), uint8; others are an InputError."""
        expected = (1, self.image_size, self.image_size)
        if images.shape[1:] != expected:
            raise InputError(
                f'DigitsClassifier takes digits, (N, {", ".join(map(str, expected))}), got images of '
                f'{tuple(images.shape)}. image_size is the size of its images.'
            )
        with full_precision(images.device):
            x = self.data_preprocessor(dict(inputs=images))['inputs']
            features = self.backbone[:-2](x)
            return Features(features, self.backbone[-2:](features))

    def forward(
        self, inputs: Tensor, data_samples: DataSample | Sequence[DataSample] | None = None, mode: str = 'tensor'
    ) -> dict | list | Tensor:
        """Return the loss, the predicted labels ('predict', as `pred_label`) or the logits of `inputs` (N, 1, H, W)."""
        logits = self.backbone(inputs)
        if mode not in ('loss', 'predict'):
            return logits
        labels = labels_of(data_samples)
        assert labels is not None  # of the digits, each has one
        if mode == 'loss':
            return dict(loss=F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing))
        return [DataSample.of(label=label, pred_label=read) for label, read in zip(labels, logits.argmax(1))]
