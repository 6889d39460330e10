"""Choices of `mmcm new`: what a config needs to know, from what was found and measured."""

from dataclasses import dataclass, field
from typing import Any

from mmcm.apis.new.networks import Network, allowed, backbone_settings, cost_of
from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import height_and_width, plain_size

LEAST_HELD_OUT = 20  # images; with fewer, the distance to them says little
HELD_OUT_IMAGES = 500  # that are held out at most, and a twentieth of the images
FEW_PASSES = 20  # a training that sees each image more often is augmented,
AUGMENTATION = 0.12  # with this probability (Karras et al., 2022, Table 6, CIFAR-10)
AUGMENT_DIM = 9  # labels of EDM's transforms
WANTED_STEPS = 5000  # of a training; the largest network that allows this number is taken
LEAST_STEPS = 2000  # batches are halved down to LEAST_BATCH while there are fewer steps
LEAST_BATCH = 16
CPU_BATCH, GPU_BATCH = 32, 128
HALF_LIFE_SHARE = 0.05  # half-life of the average of the weights, as a share of the steps
MOST_DECAY = 0.9999


@dataclass(frozen=True)
class Data:
    """The images to train on.

    Attributes:
        config (dict): Config of the data set, without mirror images.
        num_images (int): Number of its images.
        size (tuple[int, int]): Height and width of the images.
        channels (int): 3, or 1 for grey images.
        classes (tuple[str, ...]): Names of the classes, empty without classes.
        encoded (bool): Whether images are decoded while training.
    """

    config: dict[str, Any]
    num_images: int
    size: tuple[int, int]
    channels: int
    classes: tuple[str, ...] = ()
    encoded: bool = False

    @property
    def held_out(self) -> float:
        """Fraction of the images that is held out for validation; 0 if there are too few."""
        fraction = min(0.05, HELD_OUT_IMAGES / self.num_images)
        return round(fraction, 4) if self.num_images * fraction >= LEAST_HELD_OUT else 0.0

    @property
    def num_training(self) -> int:
        """Number of images that are surely trained on; which ones are held out depends on their names."""
        return int(self.num_images * (1 - 2 * self.held_out))


@dataclass(frozen=True)
class Start:
    """A model to start from.

    Attributes:
        name (str): As the user names it.
        denoiser (dict): Config of its denoiser.
    """

    name: str
    denoiser: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """All that a config says.

    Attributes:
        stage (str): A key of `STAGES`.
        data (Data): The images.
        network (str): Name of the row of the table, or of the model whose network it is.
        denoiser (dict): Settings of the denoiser beside those of its base, with those of the backbone.
        batch_size (int): Images per step.
        lr (float): Learning rate.
        num_steps (int): Steps.
        interval (int): Steps between pauses.
        augmented (bool): Whether the network knows augmentation labels.
        threads (int, optional): CPU threads; None leaves them to torch.
        start (str, optional): Run or model to start from, for the stage's setting `start`.
        partial (bool): Whether weights of `start` that do not fit are adapted.
        val_samples (int): Samples of a validation.
        grid_cost (int): `max_cost` of the grids of samples.
        budget (str): The budget of the whole method, in words.
    """

    stage: str
    data: Data
    network: str
    denoiser: dict[str, Any] = field(hash=False)
    batch_size: int
    lr: float
    num_steps: int = 1000
    interval: int = 100
    augmented: bool = False
    threads: int | None = None
    start: str | None = None
    partial: bool = False
    val_samples: int = 200
    grid_cost: int = 500
    budget: str = ''

    @property
    def ema_decay(self) -> float:
        """Decay of the average of the weights."""
        return ema_decay(self.num_steps)


def ema_decay(num_steps: int) -> float:
    """Return the decay of an average whose half-life is `HALF_LIFE_SHARE` of the training, rounded."""
    decay = 0.5 ** (1 / max(1.0, HALF_LIFE_SHARE * num_steps))
    return min(MOST_DECAY, float(f'{decay:.4f}'))


def first_batch(num_training: int, accelerated: bool) -> int:
    """Return the largest power of two that is at most the usual batch and the number of images.

    Raises:
        InputError: If there are fewer than two images.
    """
    if num_training < 2:
        raise InputError(f'{num_training} image cannot be trained on: at least 2 are needed.')
    return min(GPU_BATCH if accelerated else CPU_BATCH, 2 ** (num_training.bit_length() - 1))


def augments(num_images: int, num_steps: int, batch_size: int) -> bool:
    """Return whether a training sees each image so often that it is to be augmented."""
    return num_steps * batch_size > FEW_PASSES * num_images


def choose_network(data: Data, throughput: float, batch_size: int, seconds: float) -> Network:
    """Return the largest network whose training of `WANTED_STEPS` steps takes at most `seconds`, else the smallest.

    Args:
        data (Data): The images.
        throughput (float): Floating-point operations per second of training that were measured.
        batch_size (int): Images per step.
        seconds (float): Time for the steps.
    """
    chosen, *larger = allowed(data.num_images)
    for network in larger:
        if WANTED_STEPS * batch_size * step_operations(network, data) > throughput * seconds:
            break
        chosen = network
    return chosen


def step_operations(network: Network, data: Data) -> float:
    """Return the floating-point operations of a training step for an image."""
    return cost_of(backbone_settings(network, data.size, data.channels, len(data.classes) or None))[1]


def network_from(start: Start, data: Data) -> dict[str, Any]:
    """Return the settings of the denoiser of a model to start from, for other images.

    The network keeps its layers: the feature maps with attention stay those of the same levels.

    Raises:
        InputError: If the network is no ADMUNet.
    """
    denoiser = dict(start.denoiser)
    backbone = dict(denoiser.pop('backbone'))
    kinds = denoiser.pop('type', 'KarrasDenoiser'), backbone.pop('type', 'ADMUNet')
    if kinds != ('KarrasDenoiser', 'ADMUNet'):
        raise InputError(
            f'--from {start.name}: its network, {kinds[1]} in {kinds[0]}, is not adapted to other images. Name a model '
            'with an ADMUNet in a KarrasDenoiser, such as one of `mmcm zoo`.'
        )
    denoiser.pop('boundary', None)  # of the method
    old = backbone.pop('image_size')
    ratio = min(data.size) / min(height_and_width(old))
    attention = tuple(int(side * ratio) for side in backbone.pop('attention_resolutions'))
    changed = dict(
        image_size=plain_size(data.size),
        in_channels=data.channels,
        out_channels=data.channels,
        attention_resolutions=attention,
        num_classes=len(data.classes) or None,
    )
    merged = {**dict(scale_shift_norm=False, resblock_updown=False), **backbone, **changed}
    for name in ('use_checkpoint', 'augment_dim'):
        merged.pop(name, None)
    return {**denoiser, 'backbone': merged}
