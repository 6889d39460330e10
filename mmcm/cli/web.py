"""`mmcm web`: web demo of the models."""

from argparse import Namespace
from collections.abc import Sequence
from ipaddress import ip_address

from mmcm.cli.errors import command
from mmcm.cli.parser import CommandParser
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.web.limits import Limits
from mmcm.web.password import FORM, SHORTEST, VARIABLE, read_secret

MEGABYTE = 1 << 20
LARGEST_PORT = 65535


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'Serve a page to sample, edit, interpolate and compare, by default to this machine alone and with the '
        'models that come with the package. Nothing that visitors do leaves the machine.',
        prog,
        examples=(
            '',
            '--port 8080 --device cuda',
            '--model digits cd_bedroom256_lpips work_dirs/my_model',
            '--model own.py --checkpoint work_dirs/own',
            '--host 0.0.0.0 --auth-file password.txt --queue 5',
            '--allowed-host demo.example.org --auth-file password.txt',
        ),
    )
    parser.add_argument(
        '--model',
        nargs='+',
        action='extend',
        default=[],
        metavar='NAME',
        help='models to choose from, as for `mmcm sample --model`; default: those in the package',
    )
    text = "weights of the one --model: path, URL, work directory or zoo name; default: the model's own"
    parser.add_argument('--checkpoint', help=text)
    parser.add_argument(
        '--host',
        default='127.0.0.1',
        help='address to listen at; 0.0.0.0: all of this machine, for the network, with a password; default: '
        '%(default)s, for this machine alone',
    )
    parser.add_integer('--port', 'port to listen at; 0: any free one', 7860)
    parser.add_argument(
        '--allowed-host',
        nargs='+',
        action='extend',
        default=[],
        metavar='NAME',
        help='further names of the server in browsers, such as of a proxy, with a port unless it is the usual one; '
        'requests to other names are refused',
    )
    secret = parser.add_mutually_exclusive_group()
    text = f'file whose first line is the USER:PASSWORD of visitors; or set ${VARIABLE}'
    secret.add_argument('--auth-file', metavar='FILE', help=text)
    text = 'the same as an argument, which other users of this machine can see'
    secret.add_argument('--auth', metavar='USER:PASSWORD', help=text)
    text = 'ask for no password, though the server is open to the network'
    secret.add_argument('--no-auth', action='store_true', help=text)
    parser.add_device()
    parser.add_dtype()
    limits = Limits()
    parser.add_integer('--queue', 'requests that may wait; further ones are refused', limits.queue)
    text = 'size of an uploaded image, in units of 2^20 bytes'
    parser.add_integer('--max-upload-mb', text, limits.upload_bytes // MEGABYTE)
    parser.add_integer('--max-images', 'images of one request', limits.images)
    args = parser.parse_args(argv)
    check_count('--port', args.port, 0, LARGEST_PORT)
    for name in ('queue', 'max_upload_mb', 'max_images'):
        check_count('--' + name.replace('_', '-'), getattr(args, name))
    if args.checkpoint is not None and len(args.model) != 1:
        raise InputError(f'--checkpoint is for one model: give it with one --model, got {len(args.model)}.')
    args.secret = None if args.no_auth else read_secret(args.auth, args.auth_file)
    if args.secret is None and not args.no_auth and not is_loopback(args.host):
        raise InputError(
            f'--host {args.host} opens the server to the network, without a password: give --auth-file '
            f'FILE, whose first line {FORM.format(SHORTEST)}, or --no-auth.'
        )
    return args


def is_loopback(host: str) -> bool:
    """Return whether a server at `host` is reachable from this machine only."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == 'localhost'


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    from mmcm.web.server import serve  # here: torch and Gradio are loaded only for valid arguments

    limits = Limits(images=args.max_images, upload_bytes=args.max_upload_mb * MEGABYTE, queue=args.queue)
    access = (args.allowed_host, args.secret)
    serve(args.model, args.host, args.port, args.device, args.dtype, limits, args.checkpoint, *access)
