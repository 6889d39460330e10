"""`tools/publish_model.py`: from a training checkpoint to a file to hand out."""
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import torch
from safetensors.torch import save

from mmcm.cli.errors import command
from mmcm.utils.errors import InputError
from mmcm.utils.files import make_folder, write_bytes
from mmcm.utils.weights import read_backbone, read_checkpoint
from mmcm.version import __version__
from mmcm.zoo import cached_file


def parse_args(argv: Optional[Sequence[str]] = None) -> Namespace:
    """Parse the command line."""
    parser = ArgumentParser(description="Write a network's weights alone to a safetensors file.")
    parser.add_argument('checkpoint', help='training checkpoint, or work directory (its last checkpoint)')
    parser.add_argument('out', help='file to write, ending in .safetensors')
    parser.add_argument('--ema', help="which weights: an average's decay, or 'online'; default: the first average")
    parser.add_argument(
        '--dtype', choices=['float32', 'float16', 'bfloat16'], default='float32', help='precision of the file')
    return parser.parse_args(argv)


def publish(checkpoint: str, out: Path, average: Optional[str] = None, dtype: torch.dtype = torch.float32) -> Path:
    """Write the weights of `checkpoint`, with the config and the step that they come from, to `out`."""
    if out.suffix != '.safetensors':
        raise InputError(f'{out} has to end in .safetensors.')
    make_folder(out.parent)
    path = cached_file(checkpoint)
    weights = {key: value.to(dtype).contiguous() for key, value in read_backbone(path, average).items()}
    meta = read_checkpoint(path, mapped=True).get('meta', {})
    metadata = dict(
        mmcm_version=__version__,
        iteration=str(meta.get('iter', '')),
        average=average or '',
        config=str(meta.get('cfg', '')),
        format='pt')
    write_bytes(out, save(weights, metadata))
    return out


@command
def main(argv: Optional[Sequence[str]] = None) -> None:
    """Run the command."""
    args = parse_args(argv)
    out = publish(args.checkpoint, Path(args.out), args.ema, getattr(torch, args.dtype))
    print(f'Wrote {out} ({out.stat().st_size / 1e6:.2f} MB)')


if __name__ == '__main__':
    main()
