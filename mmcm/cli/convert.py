"""`mmcm convert`: the same weights in the files of OpenAI, of diffusers and of mmcm."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmcm.cli.completion import with_models
from mmcm.cli.errors import command
from mmcm.cli.model_arguments import EMA_HELP, model_and_out
from mmcm.cli.parser import CommandParser
from mmcm.utils.errors import InputError
from mmcm.utils.outputs import check_name, claimed

SUFFIXES = dict(openai=('.pt', '.pth'), mmcm=('.safetensors',), diffusers=('',))


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'Convert weights between the files of OpenAI, diffusers and mmcm, bit by bit.',
        prog,
        examples=(
            'cd_imagenet64_l2.pt cd_imagenet64_l2 --config cd_imagenet64_l2 --to diffusers',
            'openai/diffusers-cd_imagenet64_l2 model.safetensors',
            'work_dirs/my_run model.pt --to openai --ema 0.9999',
        ),
    )
    with_models(parser.add_argument('places', nargs='*', metavar='IN OUT', help='the same as --model and --out'))
    with_models(
        parser.add_argument(
            '--model',
            help='file of weights, work directory, diffusers folder, name of the '
            'zoo or of the Hugging Face hub, or address',
        )
    )
    parser.add_argument('--out', help='file, or folder of diffusers, to write')
    parser.add_argument(
        '--config',
        metavar='CFG',
        help='config file, its name, or a name of the zoo; needed where IN '
        'does not say itself what network its weights are of',
    )
    parser.add_argument(
        '--to',
        choices=list(SUFFIXES),
        help='what to write: the state dict of a .pt file, a '
        '.safetensors file with its config, or a folder; default: what the name OUT says',
    )
    parser.add_argument('--ema', help=EMA_HELP)
    parser.add_argument(
        '--dtype', choices=['float32', 'float16', 'bfloat16'], default='float32', help='precision of what is written'
    )
    parser.add_argument(
        '--cache-dir',
        help='where downloads are kept; default: $MMCM_HOME, else ~/.cache/mmcm, and for the hub its own cache',
    )
    parser.add_force()
    args = parser.parse_args(argv)
    args.source, args.out = model_and_out(args.model, args.places, args.out)
    return args


def convert(
    source: str,
    out: Path,
    to: str,
    config: str | None = None,
    average: str | None = None,
    dtype: str = 'float32',
    cache_dir: str | None = None,
) -> str:
    """Convert the weights of `source`; the arguments are those of the command line.

    Returns:
        str: SHA-256 of the weights under the names of the released checkpoints: the same whatever they are written as.

    Raises:
        InputError: If anything cannot be used; nothing has been written then.
    """
    import torch

    from mmcm.checkpoints import cached_file
    from mmcm.checkpoints.formats.diffusers_folder import write_folder
    from mmcm.checkpoints.weights import digest
    from mmcm.checkpoints.write import write_safetensors, write_torch
    from mmcm.denoisers import load_denoiser
    from mmcm.registry import MODELS
    from mmcm.utils.finite import in_dtype
    from mmcm.version import __version__

    path = cached_file(source, cache_dir)
    text, model = config_of(source, path, config)
    with torch.device('meta'):  # its names and shapes are all that is needed of it
        denoiser = MODELS.build(model['denoiser'])
    load_denoiser(denoiser, source, average, cache_dir)
    weights = in_dtype(denoiser.backbone.state_dict(), getattr(torch, dtype))
    sha = digest(weights)
    if to == 'diffusers':
        write_folder(out, model, weights)
    elif to == 'openai':
        write_torch(out, weights)
    else:
        metadata = dict(mmcm_version=__version__, weights_sha256=sha, config=text, format='pt')
        write_safetensors(out, weights, metadata)
    return sha


def config_of(source: str, path: Path, given: str | None) -> tuple[str, dict[str, Any]]:
    """Return the config that goes with a checkpoint, as text, and what it says of the model.

    Args:
        source (str): What the user calls the checkpoint.
        path (Path): The file or folder that is.
        given (str, optional): The config that the user names.

    Raises:
        InputError: If there is none, or it describes no model with a backbone.
    """
    from mmengine.config import Config

    from mmcm import checkpoints as interop
    from mmcm.config import read_config
    from mmcm.zoo import list_models, released_sampler

    name = given or source
    entry = next((entry for entry in list_models() if name in (entry.name, entry.weights)), None)
    if not given and interop.is_diffusers_folder(path):
        values = interop.read_config(path)
        text = Config(values).pretty_text
    elif given or entry:
        config = read_config(entry.config_file if entry else name)
        levels = released_sampler(source) or released_sampler(name)
        if levels:
            config.model.sampler.num_scales = levels['num_scales']
        text, values = config.pretty_text, config.to_dict()
    else:
        read = interop.text_and_size(path)
        text, values = read[0], interop.embedded_config(path, source, read)
    model = values.get('model')
    try:
        model['denoiser']['backbone']['type']
    except (KeyError, TypeError) as error:
        raise InputError(
            f'{name} does not say what network the weights are of (model.denoiser.backbone): give its '
            'config by --config, a file or a name that comes with mmcm.'
        ) from error
    return text, model


def target(out: Path, to: str | None) -> str:
    """Return what `out` is to become, by its suffix where `to` does not say it.

    Raises:
        InputError: If that is not clear, or `out` is there already and is something else.
    """
    from mmcm.checkpoints.formats.diffusers_folder import is_diffusers_folder

    named = next((name for name, suffixes in SUFFIXES.items() if out.suffix in suffixes), None)
    to = to or named
    if to is None:
        raise InputError(
            f'{out} does not say what to write: end it in .pt (openai) or .safetensors (mmcm), or add --to diffusers.'
        )
    if to != (named or 'diffusers'):
        needed = f'a file that ends in {" or ".join(SUFFIXES[to])}' if SUFFIXES[to][0] else 'a folder'
        raise InputError(f'--to {to} writes {needed}, got {out}.')
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        if not (is_diffusers_folder(out) if to == 'diffusers' else out.is_file()):
            raise InputError(f'{out} is there already and no such output, so it is not replaced. Choose another place.')
    return to


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    out = Path(args.out).expanduser()
    check_name(out)
    to = target(out, args.to)
    # By force, weights may take the place of what they are read from: they are whole before they do.
    read = {} if args.force else {'--model': args.source, '--config': args.config}
    with claimed({'--out': out}, args.force, read, folders=to == 'diffusers'):
        sha = convert(args.source, out, to, args.config, args.ema, args.dtype, args.cache_dir)
    files = [out] if out.is_file() else [file for file in out.rglob('*') if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    print(f'Wrote {out} ({size / 1e6:.2f} MB)\nsha256 of the weights, whatever they are written as: {sha}')


if __name__ == '__main__':
    main()
