"""Make an image again from the record in its file, and compare the two.

The record is input from others (`checked_record`). A name in it is resolved as a user's, except that configs are those
of mmcm alone, since reading a config runs it, and that addresses are those of the zoo alone.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.apis.provenance import checked_record, sampling_record
from mmcm.apis.request import SampleRequest
from mmcm.apis.resolve_model import WEIGHTS
from mmcm.apis.sampling.bulk import sample_to_files
from mmcm.apis.sampling.image_archives import encode_png
from mmcm.checkpoints import addresses, cached_place, holds_run
from mmcm.datasets.transforms.load_image import decode
from mmcm.registry import SAMPLERS
from mmcm.samplers import Sampler
from mmcm.utils.bounded import Unreadable, read_file
from mmcm.utils.errors import InputError
from mmcm.utils.image_limits import MAX_IMAGE_BYTES
from mmcm.utils.images import to_pixels, write_image
from mmcm.utils.provenance import device_name, read_png, versions, with_record
from mmcm.visualization.grids import TILE_SIDE
from mmcm.zoo import list_configs, lookup, root


@dataclass(frozen=True)
class Reproduction:
    """An image that was made again.

    Attributes:
        content (bytes): The new PNG file.
        same_bytes (bool): Whether it equals the old one byte for byte.
        max_difference (int, optional): Largest difference of two values of the same pixel, 0 to 255; None if the sizes
            of the images differ.
        num_different (int): Number of pixels that differ.
        changes (list[str]): What differs from the record: versions, the device, the weights.
    """

    content: bytes
    same_bytes: bool
    max_difference: int | None
    num_different: int
    changes: list[str]


def reproduce(
    path: str | Path,
    model: str | None = None,
    checkpoint: str | None = None,
    device: str | None = None,
    cache_dir: str | Path | None = None,
    note: Callable[[str], None] = print,
) -> Reproduction:
    """Make the samples in a PNG again that `mmcm sample` or `SamplingResult.save` has written.

    Args:
        path (str | Path): The PNG.
        model (str, optional): The model, in place of the one in the record; see `ConsistencyModelInferencer`.
        checkpoint (str, optional): Its checkpoint.
        device (str, optional): Where to sample; by default the kind of device in the record if it is present.
        cache_dir (str | Path, optional): Where downloads are kept.
        note (Callable): Called with one line about the model, before anything is downloaded.

    Raises:
        InputError: If the file has no record of sampled images, or names a model that cannot be used.
    """
    path = Path(path).expanduser()
    record, old = record_in(path)
    before = decode(old, path)
    check_size(path, before.shape, record)
    recorded = model is None
    if model is None:
        model, checkpoint = names_in(record, checkpoint)
    note(f'Model of {path.name}: {model}{"" if checkpoint is None else f", checkpoint {checkpoint}"}')
    released = lookup(checkpoint or model)
    place = None if released is None else cached_place(released, cache_dir)
    if released is not None and place is not None and not place.is_file() and addresses(released):
        note(f'Downloading {addresses(released)[0]}')
    inferencer = ConsistencyModelInferencer(
        model,
        checkpoint,
        device or device_of(record),
        average=record['average'],
        cache_dir=cache_dir,
        dtype=record['dtype'],
        compile=bool(record.get('compiled')),
    )
    if recorded:
        inferencer.name = record['model']  # as the new record calls it, wherever its file is
    request = request_of(inferencer, record)
    content = drawn_again(inferencer, request, record)
    after = decode(content, 'the new picture')
    differs = np.abs(before.astype(int) - after).max(2) if before.shape == after.shape else None
    return Reproduction(
        content,
        content == old,
        None if differs is None else int(differs.max()),
        before.shape[0] * before.shape[1] if differs is None else int((differs > 0).sum()),
        changes_since(record, inferencer),
    )


def record_in(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return the checked record in a PNG, and the content of the file; an InputError if it has none."""
    try:
        return checked_record(read_png(path)), read_file(path, MAX_IMAGE_BYTES)
    except OSError as error:
        raise InputError(f'{path} cannot be read: {error.strerror}.') from error
    except Unreadable as error:
        raise InputError(f'{path} cannot be made again: {error}.') from error
    except InputError as error:
        raise InputError(f'{path} cannot be made again: {error}') from error


def names_in(record: dict[str, Any], checkpoint: str | None) -> tuple[str, str | None]:
    """Return model and checkpoint of a record; `checkpoint`, if given, is the user's.

    Raises:
        InputError: If the record names none, or one that only a user may name.
    """
    model, own = record['model'], record['checkpoint']
    if model is None:
        raise InputError('the record names no model, since a config object was given: name it, --model CONFIG.')
    if checkpoint is None and own not in (None, model):
        checkpoint = resolve_recorded(own)
    return resolve_recorded(model), checkpoint


def resolve_recorded(name: str) -> str:
    """Return the name or path of a model that a file may name: of the zoo, a config of mmcm, or a file of weights here.

    Reading a config runs it, and an address may be anybody's.

    Raises:
        InputError: If it is another one.
    """
    entry, ours = lookup(name), list_configs(former_names=True)
    if entry is not None and entry.name == name:
        return name
    config = next((path for path in ours if name in (path.stem, path.name) or root() / name == path), None)
    if config is not None:
        return str(config)
    is_weights = Path(name).suffix.lower() in WEIGHTS and Path(name).is_file()
    if '://' not in name and (is_weights or holds_run(name)):
        return name
    raise InputError(
        f'the record names the model {name!r}, which is neither of the zoo, nor a config of mmcm, nor a file of '
        'weights here. If you trust it, name it yourself: --model, and --checkpoint beside a config.'
    )


def check_size(path: Path, shape: tuple[int, ...], record: dict[str, Any]) -> None:
    """Raise an InputError if a record asks for more images than its picture can show, or for an image that is none."""
    index, number = record.get('index'), record['num_images']
    if record['writer'].endswith('image'):
        if index is None or index >= number:
            raise InputError(f'{path} records image {index} of {number}.')
    elif number * TILE_SIDE > shape[0] * shape[1]:  # a tile is at least so high
        raise InputError(f'{path} has {shape[1]} x {shape[0]} pixels, too few for the {number} images recorded.')


def device_of(record: dict[str, Any]) -> str | None:
    """Return the kind of device that a record names, 'cuda' for a name of a GPU, if it is present; else None."""
    kind = str(record['device']).partition(' ')[0]
    if kind == 'cpu':
        return 'cpu'
    return 'cuda' if kind != 'mps' and torch.cuda.is_available() else None


def request_of(inferencer: ConsistencyModelInferencer, record: dict[str, Any]) -> SampleRequest:
    """Return the request of a record; an InputError if it does not fit the model."""
    most = inferencer.batch_size  # of one image, the whole batch is sampled
    if record['writer'].endswith('image') and min(record['batch_size'], record['num_images']) > most:
        raise InputError(
            f'the record has batches of {record["batch_size"]} images, and this model samples {most} at once by '
            'default: sample it yourself, mmcm sample --batch-size.'
        )
    guidance = record['guidance'] or {}
    return inferencer.request(
        record['num_images'],
        record['labels'],
        record['seed'],
        record['batch_size'],
        clip=record['clip'],
        sampler=sampler_of(record),
        guidance=guidance.get('scale', 1.0),
        guidance_interval=guidance.get('interval'),
    )


def sampler_of(record: dict[str, Any]) -> Sampler:
    """Build the sampler of a record."""
    return SAMPLERS.build(dict(record['sampler']))


def drawn_again(inferencer: ConsistencyModelInferencer, request: SampleRequest, record: dict[str, Any]) -> bytes:
    """Return the content of the file of a record, made again by the code that made it."""
    writer, columns, index = record['writer'], record.get('columns'), record.get('index')
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / 'again.png'
        if writer == 'grid':
            guidance = record['guidance'] or {}
            sample_to_files(
                inferencer,
                out,
                record['num_images'],
                record['labels'],
                record['seed'],
                request.sampler,
                record['batch_size'],
                columns,
                record['clip'],
                guidance=guidance.get('scale', 1.0),
                guidance_interval=guidance.get('interval'),
            )
        elif writer == 'sheet':
            inferencer.sample(request).save(out, columns)
        else:  # the batch that the image was in: its rounding depends on it
            assert index is not None
            start = index // request.batch_size * request.batch_size
            part = slice(start, min(start + request.batch_size, request.num_images))
            image = inferencer.sample(request.rows(part)).pixels[index - start]
            made = {**sampling_record(inferencer, request), 'writer': writer, 'index': index}
            if writer == 'grid-image':
                return with_record(encode_png(image.permute(1, 2, 0).numpy()), made)
            write_image(out, to_pixels(image), made)
        return out.read_bytes()


def changes_since(record: dict[str, Any], inferencer: ConsistencyModelInferencer) -> list[str]:
    """Return what differs from a record: weights, versions and the device."""
    here = dict(versions(), device=device_name(inferencer.device), weights=inferencer.weights_digest)
    there = dict(record['versions'], device=record['device'], weights=record['weights'])
    changed = {name: value for name, value in here.items() if value != there.get(name)}
    return [f'{name} {value} here, {there.get(name)} in the record' for name, value in changed.items()]
