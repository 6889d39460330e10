"""Write files of weights: without a copy in memory, and under their name only when they are whole."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mmcm.utils.files import appearing

DTYPES = {torch.float32: 'F32', torch.float16: 'F16', torch.bfloat16: 'BF16'}  # in safetensors


def write_safetensors(path: Path, weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write `weights`, all of one dtype, to a safetensors file, in their order and with `metadata`.

    Equal arguments give equal bytes. safetensors' own writer puts metadata in random order and sorts the tensors.
    """
    # Paths in a config may hold bytes that are no characters, and safetensors reads no file with such text.
    texts = {key: text.encode(errors='backslashreplace').decode() for key, text in metadata.items()}
    header: dict[str, dict[str, Any]] = {'__metadata__': dict(sorted(texts.items()))}
    offset = 0
    for key, value in weights.items():
        size = value.numel() * value.element_size()
        header[key] = dict(dtype=DTYPES[value.dtype], shape=list(value.shape), data_offsets=[offset, offset + size])
        offset += size
    text = json.dumps(header, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)  # the tensors have to lie aligned
    with appearing(path) as part, part.open('wb') as file:
        file.write(struct.pack('<Q', len(text)) + text)
        for value in weights.values():
            file.write(_bytes_of(value).numpy().data)


def write_torch(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write `weights` as `torch.save` does, in their order and nothing else."""
    # torch.save writes the whole storage of a tensor: that of a view, or of a mapped file, may be much larger.
    own = {key: _bytes_of(value).view(value.dtype).view(value.shape) for key, value in weights.items()}
    # Given a path, torch would write its name into the file.
    with appearing(path) as part, part.open('wb') as file:
        try:
            torch.save(own, file)
        except RuntimeError as error:
            # Where a write fails, as on a full disk, torch closes its archive and raises an error about its size.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def _bytes_of(value: Tensor) -> Tensor:
    """Return the bytes of `value` as a tensor (numbytes,) with a storage of just that size, if possible not a copy."""
    return torch.from_numpy(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
