"""Small classifiers of digits, for label accuracy and as feature extractors."""

from collections.abc import Sequence

from mmengine.model import BaseModel
from torch import Tensor, nn
from torch.nn import functional as F

from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.evaluation.features.base import Features, fingerprint_of, full_precision
from mmcm.registry import MODELS
from mmcm.structures import DataSample, labels_of
from mmcm.utils.checks import check_choice
from mmcm.utils.errors import InputError


def convolutional(dropout: float) -> nn.Sequential:
    """Return three convolutions with maxima of neighbours, and two linear layers."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(dropout), nn.Linear(256, 64), nn.ReLU(),
        nn.Dropout(dropout), nn.Linear(64, 10))  # yapf: disable


def normalised(dropout: float) -> nn.Sequential:
    """Return three convolutions with batch normalisation, averages over the image, and one linear layer."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1, stride=2), nn.BatchNorm2d(64), nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Dropout(dropout), nn.Linear(64, 10))  # yapf: disable


def perceptron(dropout: float) -> nn.Sequential:
    """Return three linear layers, without any notion of neighbouring pixels."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 256), nn.ReLU(), nn.Dropout(dropout), nn.Linear(256, 64), nn.ReLU(),
        nn.Dropout(dropout), nn.Linear(64, 10))  # yapf: disable


ARCHITECTURES = dict(convolutional=convolutional, normalised=normalised, perceptron=perceptron)


@MODELS.register_module()
class DigitsClassifier(BaseModel):
    """A classifier of 8 x 8 digits, trained on the 'train' half of the data set.

    Its features are the 64 inputs of its last linear layer. Classifiers of other architectures and seeds are
    independent judges: report a model that was selected by one of them with another.

    Args:
        checkpoint (str, optional): Weights to load by `init_weights`; None to train it.
        dropout (float): Fraction of the features dropped in training.
        architecture (str): 'convolutional', 'normalised' (batch normalisation and averages over the image, sensitive to
            textures) or 'perceptron' (linear layers alone).
        label_smoothing (float): Fraction of the label that is spread over all classes in training, in [0, 1]. It bounds
            the features: without it, a few outliers dominate the covariance of a convolutional network.
    """

    channels = 1  # of its images

    def __init__(
        self,
        checkpoint: str | None = None,
        dropout: float = 0.5,
        architecture: str = 'convolutional',
        label_smoothing: float = 0.1,
    ) -> None:
        check_choice('architecture', architecture, tuple(ARCHITECTURES))
        super().__init__(MODELS.build(dict(type='ImagePreprocessor')))
        self.checkpoint = None if checkpoint is None else str(checkpoint)
        self.fingerprint: str | None = None
        self.label_smoothing = label_smoothing
        self.backbone = ARCHITECTURES[architecture](dropout)

    def init_weights(self) -> None:
        """Load the checkpoint, if there is one."""
        if self.checkpoint is not None:
            Checkpoint.open(self.checkpoint).load_into(self.backbone)
            self.fingerprint = fingerprint_of(self)

    def extract(self, images: Tensor) -> Features:
        """Return features (N, 64) and logits (N, 10) of `images` (N, 1, 8, 8), uint8; others are an InputError."""
        if images.shape[1:] != (1, 8, 8):
            raise InputError(f'DigitsClassifier takes digits, (N, 1, 8, 8), got images of {tuple(images.shape)}.')
        with full_precision(images.device):
            x = self.data_preprocessor(dict(inputs=images))['inputs']
            features = self.backbone[:-2](x)
            return Features(features, self.backbone[-2:](features))

    def forward(
        self, inputs: Tensor, data_samples: DataSample | Sequence[DataSample] | None = None, mode: str = 'tensor'
    ) -> dict | list | Tensor:
        """Return the loss, the predicted labels ('predict', as `pred_label`) or the logits of `inputs` (N, 1, 8, 8)."""
        logits = self.backbone(inputs)
        if mode not in ('loss', 'predict'):
            return logits
        labels = labels_of(data_samples)
        assert labels is not None  # of the digits, each has one
        if mode == 'loss':
            return dict(loss=F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing))
        return [DataSample.of(label=label, pred_label=read) for label, read in zip(labels, logits.argmax(1))]
