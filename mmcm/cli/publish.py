"""`tools/publish_model.py`: from a training checkpoint to a file to hand out."""
import ast
import hashlib
import json
import struct
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

import torch
from safetensors.torch import save

from mmcm.cli.errors import command
from mmcm.cli.parser import CommandParser
from mmcm.utils.errors import InputError
from mmcm.utils.files import make_folder, write_bytes
from mmcm.utils.weights import ONLINE, digest, kept_averages, read_backbone, read_checkpoint
from mmcm.version import __version__
from mmcm.zoo import cached_file


def parse_args(argv: Optional[Sequence[str]] = None, prog: Optional[str] = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser("Write a network's weights alone to a safetensors file.", prog)
    parser.add_argument('checkpoint', help='training checkpoint, or work directory (its last checkpoint)')
    parser.add_argument('out', help='file to write, ending in .safetensors')
    parser.add_argument('--ema', help="which weights: an average's decay, or 'online'; default: the first average")
    parser.add_argument(
        '--dtype', choices=['float32', 'float16', 'bfloat16'], default='float32', help='precision of the file')
    return parser.parse_args(argv)


def publish(checkpoint: str, out: Path, average: Optional[str] = None, dtype: torch.dtype = torch.float32) -> Path:
    """Write the weights of `checkpoint` to `out`, with what there is to know of them in its metadata.

    The metadata, all strings, are `config` (as text), `iteration` and `step` (of the optimiser) that the weights are
    from, `method` (type of the objective), `average` (its decay, or 'online'), `weights_sha256` (see `digest`) and
    `mmcm_version`; empty where the checkpoint does not say. The same checkpoint makes the same file, byte for byte.
    """
    if out.suffix != '.safetensors':
        raise InputError(f'{out} has to end in .safetensors.')
    make_folder(out.parent)
    path = cached_file(checkpoint)
    weights = {key: value.to(dtype).contiguous() for key, value in read_backbone(path, average).items()}
    content = read_checkpoint(path, mapped=True)
    meta = content.get('meta', {})
    text = str(meta.get('cfg', ''))
    config = config_values(text)
    iteration = meta.get('iter')
    counts = (setting(config, 'optim_wrapper', 'accumulative_counts') or
              setting(config, 'strategy', 'gradient_accumulation_steps') or 1)
    metadata = dict(
        mmcm_version=__version__,
        iteration='' if iteration is None else str(iteration),
        step='' if iteration is None else str(iteration // counts),
        method=setting(config, 'model', 'objective', 'type') or '',
        average=average_of(content, average),
        weights_sha256=digest(weights),
        config=text,
        format='pt')
    write_bytes(out, sorted_header(save(weights, metadata)))
    return out


def average_of(content: Mapping[str, Any], average: Optional[str]) -> str:
    """Return the decay of the average that `read_backbone` takes from a checkpoint, 'online', or '' for other files."""
    keys = content.get('state_dict', {})
    if not any(key.startswith('denoiser.backbone.') for key in keys):
        return ''
    return average or next((name.replace('_', '.') for name in kept_averages(keys)), ONLINE)


def config_values(text: str) -> dict[str, Any]:
    """Return the settings of a config from its text, which is read, never run: it comes from a checkpoint."""

    def value(node):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict' and not node.args:
            return {keyword.arg: value(keyword.value) for keyword in node.keywords}
        if isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values)
            return {key.value: value(item) for key, item in pairs if isinstance(key, ast.Constant)}
        return node.value if isinstance(node, ast.Constant) else None

    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError):
        return {}
    return {
        statement.targets[0].id: value(statement.value) for statement in statements
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
    }


def setting(config: dict[str, Any], *keys: str) -> Any:
    """Return the setting below `keys`, None if there is none."""
    value = config
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def sorted_header(file: bytes) -> bytes:
    """Return a safetensors `file` with the entries of its header in order; safetensors itself shuffles the metadata."""
    length = struct.unpack('<Q', file[:8])[0]
    header = json.dumps(json.loads(file[8:8 + length]), sort_keys=True, separators=(',', ':')).encode()
    header += b' ' * (-len(header) % 8)  # the tensors have to lie aligned
    return b''.join((struct.pack('<Q', len(header)), header, file[8 + length:]))


@command
def main(argv: Optional[Sequence[str]] = None, prog: Optional[str] = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    out = publish(args.checkpoint, Path(args.out), args.ema, getattr(torch, args.dtype))
    sha = hashlib.sha256(out.read_bytes()).hexdigest()
    print(f'Wrote {out} ({out.stat().st_size / 1e6:.2f} MB)\nsha256 of the file: {sha}')


if __name__ == '__main__':
    main()
