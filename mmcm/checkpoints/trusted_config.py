"""Rules for the config inside a file of weights, which is checked here before anything is built from it.

A name in a config decides which class is called, and MMEngine imports the module that a dotted name has. A file may
therefore name only the classes in these tables, each at its place, or classes that the user has registered. Numbers
have bounds, since a number alone can cost hours and all memory. `docs/security.md` has the table for users.
"""

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from reprlib import Repr
from typing import TYPE_CHECKING, Any, NamedTuple

from mmcm.checkpoints import transformer_cost, unet_cost
from mmcm.renamed import moved_name
from mmcm.utils.errors import InputError
from mmcm.zoo.autoencoders import AUTOENCODERS

if TYPE_CHECKING:
    from mmengine.registry import Registry

# Settings of a model that sampling does not need. They are dropped unread: a file cannot name files or addresses.
TRAINING_ONLY = ('objective', 'teacher', 'init_from', 'ema_decays', 'augmentation', 'label_dropout')
LEFT_OUT = (*TRAINING_ONLY, 'init_cfg')
SCOPE = 'mmcm'
SHORT = Repr()
SHORT.maxstring = SHORT.maxother = 80
WAY_OUT = (
    'If it is a network of your own, name its config, which imports it, and the file as the checkpoint: --model '
    'own.py --checkpoint FILE (mmcm convert: --config own.py).'
)


@dataclass(frozen=True)
class Number:
    """A rule: a number from `low` to `high`."""

    low: float
    high: float
    whole: bool = False

    def __str__(self) -> str:
        return f'{"an integer" if self.whole else "a number"} from {amount(self.low)} to {amount(self.high)}'

    def check(self, place: str, value: Any) -> Any:
        """Return `value`; an InputError if it breaks the rule."""
        right = isinstance(value, int if self.whole else (int, float)) and not isinstance(value, bool)
        if not (right and self.low <= value <= self.high):  # no NaN is
            raise InputError(f'{place} has to be {self}, got {shown(value)}.')
        return value


@dataclass(frozen=True)
class Choice:
    """A rule: one of `values`, of the same type."""

    values: tuple

    def __str__(self) -> str:
        return ' or '.join(map(repr, self.values))

    def check(self, place: str, value: Any) -> Any:
        """Return `value`; an InputError if it breaks the rule."""
        if not any(type(value) is type(known) and value == known for known in self.values):
            raise InputError(f'{place} has to be {self}, got {shown(value)}.')
        return value


@dataclass(frozen=True)
class Text:
    """A rule: printable text of at most `most` characters."""

    most: int = 1000

    def __str__(self) -> str:
        return f'printable text of at most {self.most} characters'

    def check(self, place: str, value: Any) -> Any:
        """Return `value`; an InputError if it breaks the rule."""
        if not isinstance(value, str) or len(value) > self.most or not value.isprintable():
            raise InputError(f'{place} has to be {self}, got {shown(value)}.')
        return value


@dataclass(frozen=True)
class Several:
    """A rule: a list of at most `most` values that keep `rule`; with `alone`, also a single value."""

    rule: Any
    most: int
    alone: bool = False

    def __str__(self) -> str:
        return f'at most {self.most:,} values, each {self.rule}'

    def check(self, place: str, value: Any) -> Any:
        """Return `value`; an InputError if it breaks the rule."""
        if self.alone and not isinstance(value, (list, tuple)):
            return self.rule.check(place, value)
        if not isinstance(value, (list, tuple)) or len(value) > self.most:
            raise InputError(f'{place} has to be a list of {self}, got {shown(value)}.')
        return type(value)(self.rule.check(f'{place}[{index}]', each) for index, each in enumerate(value))


@dataclass(frozen=True)
class Maybe:
    """A rule: None, or what keeps `rule`."""

    rule: Any

    def __str__(self) -> str:
        return f'{self.rule} or None'

    def check(self, place: str, value: Any) -> Any:
        """Return `value`; an InputError if it breaks the rule."""
        return None if value is None else self.rule.check(place, value)


@dataclass(frozen=True)
class Named:
    """A rule: the name of a class in `registry`, either one of `names` or a class of the user."""

    registry: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return ' or '.join(self.names)

    def check(self, place: str, value: Any) -> Any:
        """Return `value`; an InputError if it breaks the rule."""
        self.is_own(place, value)
        return value

    def is_own(self, place: str, name: Any) -> bool:
        """Return True for a class of mmcm, False for one of the user; an InputError for any other name.

        No module is imported for a name but those of mmcm.
        """
        from mmcm import registry  # torch is not loaded before a config is looked at

        registered: Registry = getattr(registry, self.registry)
        registered.import_from_location()
        known = registered.module_dict.get(unscoped(name)) if isinstance(name, str) else None
        if known is None:
            raise InputError(
                f'{place} has to be {self}, got {shown(name)}: nothing is imported or run for a file of '
                f'weights. {WAY_OUT}'
            )
        own = getattr(known, '__module__', '').split('.')[0] == SCOPE
        if own and unscoped(name) not in self.names:
            raise InputError(f'{place} has to be {self}, got {shown(name)}, which does not belong there.')
        return own


@dataclass(frozen=True)
class Part:
    """A rule: the config of one of `types`, which maps each class to the rules for its settings."""

    registry: str
    types: Mapping[str, Mapping[str, Any]] = field(hash=False)

    def check(self, place: str, value: Any) -> dict:
        """Return the settings of `value` that sampling needs; an InputError if it breaks the rule."""
        if not isinstance(value, dict):
            raise InputError(f'{place} has to be a config, dict(type=...), got {shown(value)}.')
        if not self.is_own(place, value):
            return plain(place, value)
        name = unscoped(value['type'])
        return checked_settings(place, value, {'type': Text(), **self.types[name]}, name)

    def is_own(self, place: str, value: dict) -> bool:
        """Return whether `value` is the config of a class of mmcm; an InputError if it may not stand there."""
        return Named(self.registry, tuple(self.types)).is_own(f'{place}.type', value.get('type'))


class Network(Part):
    """A rule: the config of a network of mmcm within the limits of `check_cost`, or of a network of the user."""

    def check(self, place: str, value: Any) -> dict:
        """Return the settings of `value` that sampling needs; an InputError if it breaks the rule."""
        value = super().check(place, value)
        if self.is_own(place, value):
            COSTS[unscoped(value['type'])].check(place, value)
        return value


@dataclass(frozen=True)
class Settings:
    """A rule: a dict of settings without a type."""

    rules: Mapping[str, Any] = field(hash=False)

    def check(self, place: str, value: Any) -> dict:
        """Return `value`; an InputError if it breaks the rule."""
        if not isinstance(value, dict):
            raise InputError(f'{place} has to be a dict, got {shown(value)}.')
        return checked_settings(place, value, self.rules, place)


class OneNetwork(Settings):
    """A rule: guidance of one network; that of a second one would come from another file."""

    def check(self, place: str, value: Any) -> dict:
        """Return `value`; an InputError if it breaks the rule."""
        if isinstance(value, dict) and 'checkpoint' in value:
            raise InputError(
                f'{place} names the checkpoint of a second network, and a file of weights may name no other file. '
                'Name the config of the run and the file as the checkpoint: --model own.py --checkpoint FILE.'
            )
        return super().check(place, value)


class KnownAutoencoder(Choice):
    """A rule: the name of a known autoencoder; folders and addresses are files beside that of the weights."""

    def check(self, place: str, value: Any) -> Any:
        """Return `value`; an InputError if it breaks the rule."""
        if value not in self.values:
            raise InputError(
                f'{place} has to be {self}, got {shown(value)}: a file of weights may name no other file. Name the '
                'config of the run and the file as the checkpoint: --model own.py --checkpoint FILE.'
            )
        return value


# Bounds: about ten times the largest published values, and small enough that no file exhausts a machine.
FLAG = Choice((True, False))
SIDE = Number(1, 2048, whole=True)  # pixels: the largest published models make 1024
IMAGE_CHANNELS = Number(1, 64, whole=True)  # of an image, or of latents
DOWNSCALE = Number(1, 64, whole=True)  # pixels per side of a latent: 8 of Stable Diffusion, 32 of the newest
PATCH_SIDE = Number(1, 64, whole=True)  # pixels: pMF has up to 32
BASE_CHANNELS = Number(1, 4096, whole=True)  # EDM2-XXL has 448
RES_BLOCKS = Number(0, 32, whole=True)  # per level: ADM and EDM2 have 2 to 4
LEVELS = 12  # of a U-Net: 2048 pixels can be halved 11 times
WIDENING = Number(1, 64, whole=True)  # of a level, in base channels: ADM has 1 to 8
CLASSES = Number(1, 1_000_000, whole=True)  # ImageNet has 21 841 at most
AUGMENT_LABELS = Number(1, 1024, whole=True)  # EDM has 9
NOISE_MULT = Number(1, 16, whole=True)  # NCSN++ has 2
FILTER_TAP = Number(1, 1000, whole=True)  # NCSN++ has 1, 3, 3, 1
HEADS = Number(1, 4096, whole=True)
NORM_GROUPS = Number(1, 4096, whole=True)  # 32 in all that was published
HEAD_CHANNELS = Number(1, 65536, whole=True)
FEATURES = Number(1, 65536, whole=True)  # of a noise level: EDM2 has 128
SCALES = Number(1, 100_000, whole=True)  # the methods here train with 10 to 8192
STEPS = Number(1, 10_000, whole=True)  # each one or two calls of the network: DDPM has 4000
INDEX = Number(0, 100_000, whole=True)
SIGMA = Number(0, 1e18)  # squares have to be numbers in single precision
RHO = Number(1e-3, 1e3)
IMAGES = Number(1, 100_000, whole=True)
SEED = Number(0, 2**63 - 1, whole=True)
ATTENTION_SIDE = 128  # of a square feature map with attention, which compares each pixel with each: 64 is in use
FEATURE_MAP = 2**28  # numbers in the widest feature map of one image, 1 GiB; 256 channels of 1024 pixels
FEATURE_MAPS = 2**31  # numbers in all feature maps of one image that are kept: LSUN's network has 2**27

SCHEDULE = dict(sigma_min=SIGMA, sigma_max=SIGMA, rho=RHO)
LEVELS_OF_STEPS = Maybe(Several(SIGMA, int(STEPS.high)))
KARRAS = dict(num_steps=Maybe(STEPS), sigmas=LEVELS_OF_STEPS, **SCHEDULE)
CHURN = dict(**KARRAS, s_churn=SIGMA, s_tmin=SIGMA, s_tmax=Number(0, math.inf), s_noise=SIGMA)

TRANSFORMER_CHANNELS = Number(1, 8192, whole=True)  # pMF-H has 1280
BLOCKS = Number(1, 512, whole=True)  # pMF-H has 48
TOKENS = Number(1, 256, whole=True)  # of one condition: pMF and iMF have up to 8
TRANSFORMER = dict(
    image_size=Several(SIDE, 2, alone=True),
    patch_size=PATCH_SIDE,
    embed_dims=TRANSFORMER_CHANNELS,
    depth=BLOCKS,
    num_heads=HEADS,
    num_classes=Maybe(CLASSES),
    in_channels=IMAGE_CHANNELS,
    out_channels=IMAGE_CHANNELS,
    head_depth=BLOCKS,
    num_class_tokens=TOKENS,
    num_time_tokens=TOKENS,
    num_guidance_tokens=TOKENS,
    num_interval_tokens=TOKENS,
    use_checkpoint=FLAG,
)

UNET = dict(  # settings of all U-Nets here
    image_size=Several(SIDE, 2, alone=True),
    base_channels=BASE_CHANNELS,
    num_res_blocks=RES_BLOCKS,
    attention_resolutions=Several(Number(0, SIDE.high, whole=True), 2 * LEVELS),
    channel_mult=Several(WIDENING, LEVELS),
    in_channels=IMAGE_CHANNELS,
    out_channels=IMAGE_CHANNELS,
    num_classes=Maybe(CLASSES),
    dropout=Number(0, 1),
    use_checkpoint=FLAG,
    null_class=FLAG,
    dropout_resolution=Maybe(SIDE),
)
BACKBONES: dict[str, dict[str, Any]] = dict(
    PMFTransformer=TRANSFORMER,
    IMFTransformer=TRANSFORMER,
    ADMUNet=dict(
        **UNET,
        num_heads=HEADS,
        num_head_channels=Maybe(HEAD_CHANNELS),
        scale_shift_norm=FLAG,
        resblock_updown=FLAG,
        norm_groups=NORM_GROUPS,
        norm_eps=Number(0, 1),
        activation=Choice(('silu', 'gelu', 'mish', 'relu')),
        patch_size=PATCH_SIDE,
        num_conditions=Number(0, 16, whole=True),
        augment_dim=Maybe(AUGMENT_LABELS),
    ),
    SongUNet=dict(
        **UNET,
        augment_dim=Maybe(AUGMENT_LABELS),
        embedding=Choice(('positional', 'fourier')),
        encoder=Choice(('standard', 'residual')),
        noise_mult=NOISE_MULT,
        resample_filter=Several(FILTER_TAP, 16),
    ),
    DhariwalUNet=dict(**UNET, augment_dim=Maybe(AUGMENT_LABELS)),
    EDM2UNet=dict(
        **UNET,
        num_head_channels=Maybe(HEAD_CHANNELS),
        noise_channel_mult=Maybe(WIDENING),
        embed_channel_mult=Maybe(WIDENING),
        label_balance=Number(0, 1),
        concat_balance=Number(0, 1),
        res_balance=Number(0, 1),
        attention_balance=Number(0, 1),
        clip=Maybe(Number(1e-6, 1e6)),
        log_variance_channels=FEATURES,
    ),
)
BACKBONE = Network('MODELS', BACKBONES)
C_NOISE = Choice(('250 log sigma', 'log(sigma) / 4'))
DENOISERS: dict[str, dict[str, Any]] = dict(
    KarrasDenoiser=dict(
        backbone=BACKBONE,
        sigma_data=Number(1e-6, 1e6),
        sigma_min=SIGMA,
        boundary=FLAG,
        c_noise=C_NOISE,
        guided=FLAG,
        guidance=Number(1, 1e6),
    ),
    FlowMapDenoiser=dict(
        backbone=BACKBONE,
        time_scale=Number(1e-6, 1e6),
        guided=FLAG,
        guidance=Number(1, 1e6),
        guidance_interval=Several(Number(0, 1), 2),
        velocity_head=FLAG,
        prediction=Choice(('velocity', 'x')),
        noise_scale=Number(1e-6, 1e6),
    ),
    TruncatedDenoiser=dict(backbone=BACKBONE, transition=SIGMA, sigma_data=Number(1e-6, 1e6), c_noise=C_NOISE),
    TrigFlowDenoiser=dict(
        backbone=BACKBONE, sigma_data=Number(1e-6, 1e6), time_scale=Maybe(Number(-1e6, 1e6)), c_noise=C_NOISE
    ),
)
SAMPLERS: dict[str, dict[str, Any]] = dict(
    MultistepSampler=dict(
        sigmas=Maybe(Several(SIGMA, int(STEPS.high), alone=True)),
        indices=Maybe(Several(INDEX, int(STEPS.high), alone=True)),
        num_scales=Maybe(SCALES),
        sigma_end=Maybe(SIGMA),
        **SCHEDULE,
    ),
    FlowMapSampler=dict(
        num_steps=Maybe(STEPS),
        times=Maybe(Several(Number(0, 1), int(STEPS.high), alone=True)),
        stochastic=FLAG,
        noise_scale=Number(1e-6, 1e6),
    ),
    EulerSampler=KARRAS,
    EulerAncestralSampler=KARRAS,
    ProgressiveDistillationSampler=KARRAS,
    HeunSampler=CHURN,
    DPM2Sampler=CHURN,
)
PREPROCESSORS = dict(
    ImagePreprocessor=dict(
        channel_order=Choice(('rgb', 'bgr')), value_range=Several(Number(-1e6, 1e6), 2), non_blocking=FLAG
    )
)
LATENT_AUTOENCODERS: dict[str, dict[str, Any]] = dict(
    LatentAutoencoder=dict(
        pretrained=KnownAutoencoder(tuple(AUTOENCODERS)),
        mean=Several(Number(-1e6, 1e6), int(IMAGE_CHANNELS.high)),
        std=Several(Number(1e-6, 1e6), int(IMAGE_CHANNELS.high)),
        value_range=Several(Number(-1e6, 1e6), 2),
        downscale=DOWNSCALE,
        batch_size=Number(1, 1024, whole=True),
    )
)
NOISES = Named('NOISES', ('DeterministicNoise', 'PerSampleNoise', 'SharedNoise'))
REQUESTS = Settings(dict(num_samples=IMAGES, batch_size=Maybe(IMAGES), seed=Maybe(SEED), noise=Maybe(NOISES)))
GUIDANCE = OneNetwork(dict(scale=Number(0, 1e6), interval=Maybe(Several(Number(0, math.inf), 2))))
MODELS: dict[str, dict[str, Any]] = dict(
    ConsistencyModel=dict(
        denoiser=Part('MODELS', DENOISERS),
        sampler=Maybe(Part('SAMPLERS', SAMPLERS)),
        data_preprocessor=Maybe(Part('MODELS', PREPROCESSORS)),
        requests=Maybe(REQUESTS),
        guidance=Maybe(GUIDANCE),
        autoencoder=Maybe(Part('MODELS', LATENT_AUTOENCODERS)),
    )
)
MODEL = Part('MODELS', MODELS)
PARTS = (
    Part('MODELS', DENOISERS),
    BACKBONE,
    Part('SAMPLERS', SAMPLERS),
    Part('MODELS', PREPROCESSORS),
    Part('MODELS', LATENT_AUTOENCODERS),
)
CLASS_NAMES = Several(Text(), int(CLASSES.high))

# Settings of diffusers, which are converted to a config of ours. None stands for the default of diffusers.
UNET2D = dict(
    sample_size=Several(SIDE, 2, alone=True),
    in_channels=IMAGE_CHANNELS,
    out_channels=IMAGE_CHANNELS,
    block_out_channels=Several(Number(1, BASE_CHANNELS.high * WIDENING.high, whole=True), LEVELS),
    layers_per_block=RES_BLOCKS,
    down_block_types=Several(Text(), LEVELS),
    up_block_types=Several(Text(), LEVELS),
    downsample_type=Text(),
    upsample_type=Text(),
    attention_head_dim=HEAD_CHANNELS,
    num_class_embeds=CLASSES,
    dropout=Number(0, 1),
    time_embedding_dim=HEAD_CHANNELS,
    norm_num_groups=NORM_GROUPS,
    attn_norm_num_groups=NORM_GROUPS,
    resnet_time_scale_shift=Text(),
    act_fn=Text(),
)
AUTOENCODER_KL = dict(
    in_channels=IMAGE_CHANNELS,
    out_channels=IMAGE_CHANNELS,
    latent_channels=IMAGE_CHANNELS,
    block_out_channels=Several(Number(1, BASE_CHANNELS.high, whole=True), LEVELS),
    layers_per_block=RES_BLOCKS,
    down_block_types=Several(Text(), LEVELS),
    up_block_types=Several(Text(), LEVELS),
    norm_num_groups=NORM_GROUPS,
    act_fn=Choice(('silu', 'swish', 'gelu', 'mish', 'relu')),
    mid_block_add_attention=FLAG,
    use_quant_conv=FLAG,
    use_post_quant_conv=FLAG,
)
SCHEDULER = dict(num_train_timesteps=SCALES, sigma_data=Number(1e-6, 1e6), s_noise=SIGMA, **SCHEDULE)


def checked_config(config: dict[str, Any], name: str | Path, num_weights: int | None = None) -> dict[str, Any]:
    """Return `model` and `class_names` of the config in a checkpoint; an InputError if they are refused.

    Args:
        config (dict): Its top level.
        name (str | Path): What an error calls the file or folder.
        num_weights (int, optional): How many weights there are for the network; None leaves that open.
    """
    try:
        model = MODEL.check('model', config['model'])
        names = config.get('class_names')
        if names is not None and not isinstance(names, str):  # a string is the name of a list
            names = CLASS_NAMES.check('class_names', names)
        backbone = model.get('denoiser', {}).get('backbone')
        if num_weights is not None and isinstance(backbone, dict) and BACKBONE.is_own('backbone', backbone):
            check_num_weights(backbone, num_weights)
    except InputError as error:
        raise InputError(f'{name}: the config that comes with the weights is refused: {error}') from error
    return dict(model=model) if names is None else dict(model=model, class_names=names)


def refuse_imports(config: dict[str, Any], name: str | Path) -> None:
    """Raise an InputError if a config asks for other files, or for modules that the user has not imported."""
    if '_base_' in config:
        raise InputError(
            f'{name}: the config in it has a _base_, and a file of weights may name no other file. {WAY_OUT}'
        )
    imports = config.get('custom_imports')
    modules = imports.get('imports') if isinstance(imports, dict) else imports
    modules = modules if isinstance(modules, (list, tuple)) else [modules] if modules else []
    missing = [module for module in modules if not (isinstance(module, str) and module in sys.modules)]
    if missing:
        raise InputError(
            f'{name}: the config in it asks to import {shown(missing[0])} (custom_imports), and nothing '
            f'is imported for a file of weights. {WAY_OUT}'
        )


def checked_settings(place: str, value: dict, rules: Mapping[str, Any], name: str) -> dict:
    """Return the settings that sampling needs; an InputError if one is unknown or breaks its rule."""
    found = {}
    for key, setting in value.items():
        if key == '_scope_' and setting == SCOPE:  # MMEngine's mark of parts that come from a base of ours
            continue
        if key in rules:
            found[key] = rules[key].check(f'{place}.{key}', setting)
        elif key not in LEFT_OUT:
            raise InputError(f'{place} has a setting {shown(key)}, and {name} has none of that name.')
    return found


def check_diffusers(settings: dict[str, Any], rules: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the settings of a part of a diffusers folder; an InputError if one breaks its rule."""
    for key, rule in rules.items():
        if settings.get(key) is not None:
            rule.check(f'{path}: {key}', settings[key])
    return settings


def check_num_weights(backbone: dict, num_weights: int) -> None:
    """Raise an InputError if a network of mmcm needs more weights than the file with its config holds."""
    least = COSTS[unscoped(backbone['type'])].least_weights(backbone)
    if least > num_weights:
        raise InputError(
            f'model.denoiser.backbone would have more than {least:,} weights, and the file holds {num_weights:,}.'
        )


class Cost(NamedTuple):
    """What the config of a network says about its cost.

    Attributes:
        check (Callable): Of the place and the config: raises an InputError if the network costs too much.
        least_weights (Callable): Of the config: a lower bound of the number of weights.
    """

    check: Callable[[str, dict], None]
    least_weights: Callable[[dict], int]


TRANSFORMER_COST = Cost(
    lambda place, backbone: transformer_cost.check_transformer(place, backbone, ATTENTION_SIDE**2, FEATURE_MAP),
    transformer_cost.least_weights,
)
UNET_COST = Cost(
    lambda place, backbone: unet_cost.check_unet(place, backbone, ATTENTION_SIDE, FEATURE_MAP, FEATURE_MAPS),
    unet_cost.least_weights,
)
COSTS = dict(
    ADMUNet=UNET_COST,
    SongUNet=UNET_COST,
    DhariwalUNet=UNET_COST,
    EDM2UNet=UNET_COST,
    PMFTransformer=TRANSFORMER_COST,
    IMFTransformer=TRANSFORMER_COST,
)


def plain(place: str, value: Any) -> Any:
    """Return a setting of a class of the user, without `init_cfg`; values may be any.

    A `type` in it has to name another class of the user, or a class of mmcm whose settings keep their rules.
    """
    if isinstance(value, (list, tuple)):
        return type(value)(plain(f'{place}[{index}]', each) for index, each in enumerate(value))
    if not isinstance(value, dict):
        return value
    if value.get('_scope_', SCOPE) != SCOPE:  # MMEngine imports the package that a scope names
        raise InputError(
            f'{place}._scope_ has to be {SCOPE}, got {shown(value["_scope_"])}: nothing is imported or '
            f'run for a file of weights. {WAY_OUT}'
        )
    if 'type' in value:
        name = unscoped(value['type']) if isinstance(value['type'], str) else None
        for part in PARTS:
            if name in part.types:
                return part.check(place, value)
        Named('MODELS', tuple(name for part in PARTS for name in part.types)).is_own(f'{place}.type', value['type'])
    return {key: plain(f'{place}.{key}', each) for key, each in value.items() if key not in LEFT_OUT}


def unscoped(name: str) -> str:
    """Return a name without the scope of mmcm in front."""
    return name.removeprefix(f'{SCOPE}.')


def amount(number: float) -> str:
    """Return a number as a bound is written."""
    return f'{number:,}' if isinstance(number, int) else f'{number:g}'


def shown(value: Any) -> str:
    """Return a value as an error shows it: in one line that is not long."""
    return SHORT.repr(value)


def __getattr__(name: str) -> object:
    return moved_name(__name__, name)
