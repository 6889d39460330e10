"""Configs that were written for the implementation of consistency models that MMagic never released.

Its `ConsistencyModel` takes the network, the denoiser and all settings of a run side by side, some of them as lists in
strings. Here they become the config of our `ConsistencyModel`.
"""

import logging
from collections.abc import Iterable
from copy import deepcopy
from functools import cache
from typing import Any

from mmengine.logging import print_log

from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import height_and_width, plain_size

MODEL = 'ConsistencyModel'
NETWORK = 'ConsistencyUNetModel'
DENOISER = 'KarrasDenoiser'

# What its classes take, and the default of each; REQUIRED has none.
REQUIRED = object()
MODEL_KEYS = dict(
    unet=REQUIRED,
    denoiser=REQUIRED,
    attention_resolutions='32,16,8',
    batch_size=4,
    channel_mult='',
    class_cond=False,
    generator='determ-indiv',
    image_size=256,
    learn_sigma=False,
    model_path=None,
    num_classes=0,
    num_samples=0,
    sampler='onestep',
    seed=0,
    sigma_max=80.0,
    sigma_min=0.002,
    training_mode='consistency_distillation',
    ts='',
    clip_denoised=True,
    s_churn=0.0,
    s_noise=1.0,
    s_tmax=float('inf'),
    s_tmin=0.0,
    steps=40,
    data_preprocessor=None,
)
NETWORK_KEYS = dict(
    in_channels=REQUIRED,
    model_channels=REQUIRED,
    num_res_blocks=REQUIRED,
    dropout=0,
    use_checkpoint=False,
    use_fp16=False,
    num_heads=1,
    num_head_channels=-1,
    num_heads_upsample=-1,
    use_scale_shift_norm=False,
    resblock_updown=False,
    use_new_attention_order=False,
    conv_resample=True,
    dims=2,
    image_size=None,
    out_channels=None,
    attention_resolutions=None,
    channel_mult=None,
    num_classes=None,
)
DENOISER_KEYS = dict(
    sigma_data=0.5,
    sigma_max=80.0,
    sigma_min=0.002,
    rho=7.0,
    weight_schedule='karras',
    distillation=None,
    loss_norm='lpips',
)
OURS = ('denoiser', 'sampler', 'data_preprocessor')  # keys of our own ConsistencyModel that have the same name

CHANNEL_MULT = {256: (1, 1, 2, 2, 4, 4), 128: (1, 1, 2, 3, 4), 64: (1, 2, 3, 4)}
NOISES = {'determ-indiv': 'PerSampleNoise', 'determ': 'DeterministicNoise'}  # 'dummy': what comes next
SAMPLERS = dict(
    onestep='MultistepSampler',
    multistep='MultistepSampler',
    heun='HeunSampler',
    dpm='DPM2Sampler',
    euler='EulerSampler',
    ancestral='EulerAncestralSampler',
    progdist='ProgressiveDistillationSampler',
)
WITH_CHURN = ('heun', 'dpm')


def is_mmagic_model(model: Any) -> bool:
    """Return whether `model` is the config of a model of that implementation."""
    return (
        isinstance(model, dict)
        and unscoped(model.get('type')) == MODEL
        and any(key in model for key in MODEL_KEYS if key not in OURS)
    )


def translate_config(config: dict) -> dict:
    """Return the top level of a config file, its model translated if it is one of that implementation's.

    Args:
        config (dict): The content of a config file. It is not changed.

    Returns:
        dict: The same, with our model, with `checkpoint` from the model's `model_path`, and with `mmcm` as the default
        scope; `config` itself if the model is not of that implementation.

    Raises:
        InputError: If settings are missing, unknown or contradict each other.
    """
    if not is_mmagic_model(config.get('model')):
        return config
    model, checkpoint = translate_model(config['model'])
    translated = {**config, 'model': model, 'default_scope': 'mmcm'}
    if checkpoint and not config.get('checkpoint'):
        translated['checkpoint'] = checkpoint
    _note(
        f"the model is written for MMagic's own implementation, whose settings become {model}, "
        f'checkpoint={translated.get("checkpoint")!r}. Loss, distance and weighting, if any, are left out: a config '
        'of ours in configs/ shows how to train.'
    )
    return translated


def translate_model(model: dict) -> tuple[dict, str | None]:
    """Return the config of our `ConsistencyModel` that `model` means, and the checkpoint that it names.

    Raises:
        InputError: If settings are missing, unknown or contradict each other.
    """
    model = deepcopy(dict(model))
    model.pop('type')
    settings = _with_defaults('model', model, MODEL_KEYS)
    denoiser = _part('denoiser', settings, DENOISER, DENOISER_KEYS)
    distilled = 'consistency' in str(settings['training_mode'])
    if denoiser['distillation'] not in (None, distilled):
        raise InputError(
            f'model.denoiser.distillation is {denoiser["distillation"]}, but training_mode='
            f'{settings["training_mode"]!r} says {distilled}: leave it out.'
        )
    translated = dict(
        type=MODEL,
        denoiser=dict(
            type=DENOISER,
            sigma_data=denoiser['sigma_data'],
            sigma_min=denoiser['sigma_min'],
            boundary=distilled,
            backbone=_network(settings),
        ),
        sampler=_sampler(settings, denoiser['rho']),
        requests=_requests(settings),
    )
    _check_preprocessor(settings['data_preprocessor'])
    if not settings['clip_denoised']:
        raise InputError(
            'model.clip_denoised=False is no setting of a model here: leave it out, and pass clip=False '
            'to the inferencer.'
        )
    return translated, settings['model_path'] or None


def unscoped(name: Any) -> Any:
    """Return the name of a type without the scope in front, `mmagic.` for example; anything but a string as it is."""
    return name.rpartition('.')[2] if isinstance(name, str) else name


def _network(settings: dict) -> dict:
    unet = _part('unet', settings, NETWORK, NETWORK_KEYS)
    size = plain_size(settings['image_size'], 'model.image_size')
    shorter = min(height_and_width(size))
    if settings['learn_sigma']:
        raise InputError(
            'model.learn_sigma=True has no counterpart: the second half of six output channels would be a '
            "variance, which no consistency model has, and OpenAI's program cannot sample with it. Leave "
            'it out.'
        )
    if settings['channel_mult'] == '' and shorter not in CHANNEL_MULT:
        raise InputError(
            f'model.channel_mult is needed: it is known by itself for images of '
            f'{", ".join(map(str, sorted(CHANNEL_MULT)))} pixels, not of {size}.'
        )
    classes = None
    if settings['class_cond']:
        classes = settings['num_classes']
        if not isinstance(classes, int) or classes < 1:
            raise InputError(f'model.class_cond=True needs num_classes, the number of classes, got {classes!r}.')
    attention = _numbers('attention_resolutions', settings['attention_resolutions'])
    if min(attention, default=1) < 1:
        raise InputError(f'model.attention_resolutions are sizes in pixels, from 1 on, got {attention}.')
    mult = (
        CHANNEL_MULT[shorter] if settings['channel_mult'] == '' else _numbers('channel_mult', settings['channel_mult'])
    )
    # What the model tells the network; the same said once more is fine, anything else is not.
    told = dict(
        image_size=size,
        out_channels=3,
        num_classes=classes,
        channel_mult=mult,
        attention_resolutions=tuple(shorter // resolution for resolution in attention),
    )
    for key, value in told.items():
        given = unet[key]
        if given not in (None, '') and _same_notation(f'unet.{key}', given, value) != value:
            raise InputError(
                f'model.unet.{key} is {given!r}, but the settings of the model say {value!r}: leave it out.'
            )
    for key, only, why in (
        ('in_channels', 3, 'images have three channels'),
        ('dims', 2, 'images have two dimensions'),
        ('conv_resample', True, 'the network resamples by convolutions'),
        ('num_heads_upsample', (-1, unet['num_heads']), 'all levels have as many heads'),
    ):
        if unet[key] not in (only if isinstance(only, tuple) else (only,)):
            raise InputError(f'model.unet.{key}={unet[key]!r} has no counterpart: {why}. Leave it out.')
    if unet['use_fp16']:
        raise InputError(
            'model.unet.use_fp16=True is no setting of a network here: leave it out, and pass '
            "dtype='float16' to the inferencer."
        )
    return dict(
        type='ADMUNet',
        image_size=size,
        in_channels=unet['in_channels'],
        base_channels=unet['model_channels'],
        num_res_blocks=unet['num_res_blocks'],
        attention_resolutions=attention,
        channel_mult=mult,
        num_classes=classes,
        num_heads=unet['num_heads'],
        num_head_channels=None if unet['num_head_channels'] == -1 else unet['num_head_channels'],
        scale_shift_norm=unet['use_scale_shift_norm'],
        resblock_updown=unet['resblock_updown'],
        dropout=unet['dropout'],
        use_checkpoint=unet['use_checkpoint'],
    )


def _sampler(settings: dict, rho: float) -> dict:
    name, steps = settings['sampler'], _positive('steps', settings['steps'])
    if name not in SAMPLERS:
        raise InputError(f'model.sampler has to be one of {", ".join(SAMPLERS)}, got {name!r}.')
    sampler = dict(type=SAMPLERS[name], sigma_min=settings['sigma_min'], sigma_max=settings['sigma_max'], rho=rho)
    if name == 'onestep':
        return {**sampler, 'indices': (0,)}
    if name != 'multistep':
        churn = {key: settings[key] for key in ('s_churn', 's_tmin', 's_tmax', 's_noise')} if name in WITH_CHURN else {}
        return {**sampler, 'num_steps': steps, **churn}
    if settings['ts'] in ('', None, ()):
        raise InputError(
            "model.sampler='multistep' needs ts, its points among the steps, such as ts='0,22,39' of steps=40."
        )
    points = _numbers('ts', settings['ts'])
    # The last point is where to stop. Only at the end of the schedule is no noise left.
    if len(points) < 2 or points[-1] != steps - 1:
        raise InputError(
            f'model.ts has to end with steps - 1, here {steps - 1}, where no noise is left (each point '
            f'before is a call of the network), got {settings["ts"]!r} of steps={steps}.'
        )
    return {**sampler, 'indices': points[:-1], 'num_scales': steps}


def _requests(settings: dict) -> dict:
    generator = settings['generator']
    if generator not in (*NOISES, 'dummy'):
        raise InputError(f'model.generator has to be one of {", ".join(NOISES)} and dummy, got {generator!r}.')
    batch_size = _positive('batch_size', settings['batch_size'])
    num_samples = _positive('num_samples', settings['num_samples'] or batch_size)  # 0: a batch
    noise = {} if generator == 'dummy' else dict(noise=NOISES[generator], seed=settings['seed'])
    return dict(num_samples=num_samples, batch_size=batch_size, **noise)


def _check_preprocessor(preprocessor: dict | None) -> None:
    if preprocessor is None:
        return
    grey = all(value == 127.5 for key in ('mean', 'std') for value in preprocessor.get(key, [127.5]))
    if set(preprocessor) - {'type', 'mean', 'std'} or not grey:
        raise InputError(
            f'model.data_preprocessor has to map 0 to 255 to -1 to 1, with mean=[127.5] * 3 and '
            f'std=[127.5] * 3, got {dict(preprocessor)}.'
        )


def _part(name: str, settings: dict, type_: str, keys: dict) -> dict:
    part = settings[name]
    if not isinstance(part, dict) or unscoped(part.get('type')) != type_:
        raise InputError(f'model.{name} has to be the config of a {type_}, dict(type={type_!r}, ...), got {part!r}.')
    return _with_defaults(f'model.{name}', {key: value for key, value in part.items() if key != 'type'}, keys)


def _with_defaults(what: str, given: dict, keys: dict) -> dict:
    unknown = [key for key in given if key not in keys]
    if unknown:
        from mmcm.utils.nearest import nearest

        raise InputError(
            f"{what} of MMagic's implementation knows no {unknown[0]!r}{nearest(unknown[0], keys)}; its "
            f'settings and those of ours cannot be mixed.'
        )
    missing = [key for key, default in keys.items() if default is REQUIRED and key not in given]
    if missing:
        raise InputError(f"{what} of MMagic's implementation needs {', '.join(missing)}.")
    return {**keys, **given}


def _numbers(name: str, value: Any) -> tuple[int, ...]:
    """Return '32,16,8', or the numbers themselves, as a tuple of positive integers or zeros."""
    values = value.split(',') if isinstance(value, str) else value if isinstance(value, Iterable) else [value]
    try:
        numbers = tuple(int(each) for each in values)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"model.{name} has to be integers with commas between them, such as '32,16,8', got {value!r}."
        ) from error
    return numbers


def _same_notation(name: str, given: Any, value: Any) -> Any:
    """Return `given` as `value` is written: a tuple of integers, from a list or a string with commas, or an integer."""
    if isinstance(value, tuple):
        return _numbers(name, given)
    try:
        return int(given) if isinstance(given, str) else given
    except ValueError:
        return given


def _positive(name: str, value: Any) -> int:
    if not isinstance(value, int) or value < 1:
        raise InputError(f'model.{name} has to be an integer of at least 1, got {value!r}.')
    return value


@cache  # a command may read the same config more than once
def _note(text: str) -> None:
    print_log(text, logger='current', level=logging.INFO)
