"""`mmcm convert`: convert weights between the files of OpenAI, diffusers and mmcm."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

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
    text = 'file of weights, work directory, diffusers folder, name of the zoo or of the Hugging Face hub, or address'
    with_models(parser.add_argument('--model', help=text))
    parser.add_argument('--out', help='file, or folder of diffusers, to write')
    parser.add_argument(
        '--config',
        metavar='CFG',
        help='config file, its name, or a name of the zoo; needed where IN does not say itself what network its '
        'weights are of',
    )
    parser.add_argument(
        '--to',
        choices=list(SUFFIXES),
        help='what to write: the state dict of a .pt file, a .safetensors file with its config, or a folder; default: '
        'what the name OUT says',
    )
    parser.add_argument('--ema', help=EMA_HELP)
    parser.add_saved_dtype('what is written')
    parser.add_cache_dir(', and for the hub its own cache')
    parser.add_force()
    args = parser.parse_args(argv)
    args.source, args.out = model_and_out(args.model, args.places, args.out)
    return args


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
    replaceable = not out.exists() or (out.is_dir() and not any(out.iterdir()))
    if not (replaceable or (is_diffusers_folder(out) if to == 'diffusers' else out.is_file())):
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
        from mmcm.apis.convert import convert  # torch is loaded only for arguments in order

        sha = convert(args.source, out, to, args.config, args.ema, args.dtype, args.cache_dir)
    files = [out] if out.is_file() else [file for file in out.rglob('*') if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    print(f'Wrote {out} ({size / 1e6:.2f} MB)\nsha256 of the weights, whatever they are written as: {sha}')
