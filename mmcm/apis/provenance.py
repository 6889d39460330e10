"""Records of sampled and edited images, and the check of a record that a file brings.

`docs/sampling.md` lists the entries. Nothing of a record is run, and types of samplers are looked up among ours alone.
"""

import hashlib
import inspect
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from mmcm.apis.request import SampleRequest
from mmcm.checkpoints.trusted_config import SAMPLERS, Part
from mmcm.samplers import Sampler
from mmcm.utils.errors import InputError
from mmcm.utils.provenance import FORMAT, device_name, record_of, shown_source

MAX_LISTED = 2000  # labels or seeds in a record; longer lists are left out
MAX_IMAGES = 10**6
MAX_BATCH = 4096
MAX_NAME = 1000  # letters of a name
WRITERS = ('grid', 'grid-image', 'sheet', 'sheet-image')  # see `sampling_record`
DTYPES = ('float32', 'float16', 'bfloat16')


def sampling_record(inferencer: Any, request: SampleRequest, kind: str = 'sample', **more: Any) -> dict[str, Any]:
    """Return the record of a request that a `ConsistencyModelInferencer` with loaded weights has sampled.

    Args:
        inferencer (ConsistencyModelInferencer): The model.
        request (SampleRequest): The request.
        kind (str): 'sample', 'given-noise' if the caller gave noise or generators, or 'edit'.
        **more: Further entries: `writer` says which code made the file from the pixels, 'grid' and 'grid-image' those
            of `mmcm sample`, 'sheet' and 'sheet-image' those of `SamplingResult.save`; `columns` of a grid, `index` of
            a single image.
    """
    model = inferencer.model
    if inferencer.compile_options is not None:  # images of before compilation have no such entry
        more['compiled'] = True
    guidance = request.guidance.config() if request.guidance is not None and request.guidance.acts else None
    return record_of(
        kind,
        model=shown_source(inferencer.name),
        checkpoint=shown_source(inferencer.checkpoint),
        average=inferencer.average,
        weights=inferencer.weights_digest,
        config=dict(name=shown_source(inferencer.config.filename), denoiser=inferencer.config.model.denoiser),
        num_images=request.num_images,
        seed=listed(request.seed) if request.follows_seeds else None,
        labels=listed(request.classes),
        sampler=sampler_settings(request.sampler),
        nfe=model.nfe(request.sampler, request.guidance),
        clip=request.clip,
        guidance=guidance,
        batch_size=request.batch_size,
        dtype=str(inferencer.dtype).removeprefix('torch.'),
        device=device_name(inferencer.device),
        **more,
    )


def task_settings(task: Any) -> dict[str, Any] | None:
    """Return the name and the settings of the task of an edit; images in them by their type. None for no task."""
    if task is None:
        return None
    settings = {name: plain_setting(value) for name, value in vars(task).items() if value is not None}
    return dict(type=type(task).__name__, **settings)


def plain_setting(value: Any) -> Any:
    """Return a setting of a task for a record: numbers of a list as floats, whichever they were given as."""
    if isinstance(value, (tuple, list)):
        return [float(each) if isinstance(each, int) and not isinstance(each, bool) else each for each in value]
    return value if isinstance(value, (bool, int, float, str)) else type(value).__name__


def listed(values: Any) -> Any:
    """Return labels or seeds for a record: a long list as its length and digest."""
    if not isinstance(values, (list, tuple)) or len(values) <= MAX_LISTED:
        return values
    digest = hashlib.sha256(np.asarray(values, '<i8').tobytes()).hexdigest()
    return dict(number=len(values), sha256=digest)


def pixels_digest(image: Tensor) -> str:
    """Return the SHA-256 of the size and pixels of an image (C, H, W), uint8."""
    pixels = image.cpu().contiguous().numpy()
    return hashlib.sha256(f'{pixels.shape}'.encode() + pixels.tobytes()).hexdigest()


def sampler_settings(sampler: Sampler) -> dict[str, Any]:
    """Return the config that builds the same sampler again; settings at their defaults are left out."""
    found: dict[str, Any] = dict(type=type(sampler).__name__)
    for name, parameter in inspect.signature(type(sampler)).parameters.items():
        value = vars(sampler).get(name, vars(sampler).get(f'_{name}'))
        if value is not None and value != parameter.default:
            found[name] = list(value) if isinstance(value, (list, tuple)) else value
    if 'sigmas' in found:
        found.pop('num_steps', None)  # it follows from them
    return found


def checked_record(found: Any) -> dict[str, Any]:
    """Return a record of sampled images from a file, whose values have the types and ranges of our own records.

    Raises:
        InputError: If it is none, or of another format.
    """
    if not isinstance(found, dict) or not isinstance(found.get('kind'), str):
        raise InputError('the record is no JSON object with a kind.')
    if found.get('format') != FORMAT:
        raise InputError(f'the record has the format {short(found.get("format"))}, and this version reads {FORMAT}.')
    if found['kind'] != 'sample':
        raise InputError(
            f'the record is of the kind {short(found["kind"])}, and only images that were sampled '
            'from seeds are made again.'
        )
    for name, (check, expected) in SCHEMA.items():
        if not check(found.get(name)):
            raise InputError(f'the record has {name} {short(found.get(name))}, and {expected} is expected.')
    return {name: found[name] for name in SCHEMA if name in found}


def short(value: Any) -> str:
    """Return a value of a record for a message."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + '...'


def is_name(value: Any) -> bool:
    """Return whether `value` is a name without control characters, or None."""
    return value is None or (isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable())


def is_finite_number(value: Any) -> bool:
    """Return whether `value` is a finite number that a float holds."""
    return type(value) in (int, float) and abs(value) <= 1e300 and math.isfinite(value)


def is_int(low: int, high: int) -> Callable[[Any], bool]:
    """Return a check for an integer from `low` to `high`."""
    return lambda value: type(value) is int and low <= value <= high


def is_list_of(check: Callable[[Any], bool], most: int) -> Callable[[Any], bool]:
    """Return a check for a list of 1 to `most` values."""
    return lambda value: isinstance(value, list) and 0 < len(value) <= most and all(map(check, value))


def or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return a check that also takes None."""
    return lambda value: value is None or check(value)


is_seed = is_int(-(2**63), 2**64 - 1)
is_label = is_int(0, 10**6)


def is_sampler(value: Any) -> bool:
    """Return whether `value` is the config of one of our samplers, of plain numbers; it may not be valid."""
    if not isinstance(value, dict) or not isinstance(value.get('type'), str):
        return False
    if value['type'] not in SAMPLERS:
        return False
    try:
        Part('SAMPLERS', SAMPLERS).check('sampler', value)  # within the bounds of configs in files
    except InputError:
        return False
    return True


def is_guidance(value: Any) -> bool:
    """Return whether `value` is the config of a guidance."""
    if not isinstance(value, Mapping) or not set(value) <= {'scale', 'interval'}:
        return False
    interval = value.get('interval')
    in_bounds = interval is None or (is_list_of(is_finite_number, 2)(interval) and len(interval) == 2)
    return is_finite_number(value.get('scale')) and in_bounds


def is_texts(value: Any) -> bool:
    """Return whether `value` is an object of a few short texts."""
    return isinstance(value, dict) and len(value) <= 20 and all(map(is_name, value.values()))


# Each entry that a reproduction uses: its check, and what an error says is expected.
SCHEMA: dict[str, tuple[Callable[[Any], bool], str]] = dict(
    model=(is_name, 'a name'),
    checkpoint=(is_name, 'a name'),
    average=(is_name, 'a name'),
    weights=(lambda value: is_name(value) and len(value or '') == 64, 'a SHA-256'),
    num_images=(is_int(1, MAX_IMAGES), f'an integer from 1 to {MAX_IMAGES}'),
    seed=(lambda value: is_seed(value) or is_list_of(is_seed, MAX_LISTED)(value), 'an integer, or a list of them'),
    labels=(
        lambda value: value in (None, 'balanced', 'random') or is_list_of(is_label, MAX_LISTED)(value),
        "a list of classes, 'balanced' or 'random'",
    ),
    sampler=(is_sampler, 'the config of a sampler of mmcm'),
    clip=(lambda value: isinstance(value, bool), 'true or false'),
    compiled=(lambda value: value in (None, True), 'true, or no entry'),
    guidance=(or_none(is_guidance), 'a scale and an interval'),
    batch_size=(is_int(1, MAX_BATCH), f'an integer from 1 to {MAX_BATCH}'),
    dtype=(lambda value: value in DTYPES, ' or '.join(DTYPES)),
    device=(lambda value: value is not None and is_name(value), 'the name of a device'),
    versions=(is_texts, 'an object of versions'),
    writer=(lambda value: value in WRITERS, ' or '.join(WRITERS)),
    columns=(or_none(is_int(1, MAX_IMAGES)), 'a number of columns'),
    index=(or_none(is_int(0, MAX_IMAGES)), 'the number of an image'),
)
