"""`mmcm web`: the models in a browser."""
from argparse import Namespace
from collections.abc import Sequence
from typing import Optional

from mmcm.cli.errors import command
from mmcm.cli.parser import CommandParser
from mmcm.utils.checks import check_count
from mmcm.web.limits import Limits

MEGABYTE = 1 << 20
LARGEST_PORT = 65535


def parse_args(argv: Optional[Sequence[str]] = None, prog: Optional[str] = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'Serve a page to draw, edit, interpolate and compare with, by default to this machine alone and with the '
        'models that come with the package. Nothing that visitors do leaves the machine.', prog,
        examples=('', '--port 8080 --device cuda', '--model digits cd_bedroom256_lpips work_dirs/my_model',
                  '--host 0.0.0.0 --queue 5 --max-upload-mb 4'))
    parser.add_argument(
        '--model',
        nargs='+',
        action='extend',
        default=[],
        metavar='NAME',
        help='models to choose from, as `mmcm sample --model` takes them; default: those that come with the package')
    parser.add_argument(
        '--host', default='127.0.0.1', help='address to listen at; 0.0.0.0: all that reach it; default: %(default)s')
    parser.add_argument(
        '--port', type=int, default=7860, metavar='N', help='port to listen at; 0: any free one; default: %(default)s')
    parser.add_argument('--device', help='cpu, cuda, ...; default: the best one present')
    parser.add_argument('--dtype', default='float32', help='float32, float16 or bfloat16; default: %(default)s')
    limits = Limits()
    parser.add_argument(
        '--queue',
        type=int,
        default=limits.queue,
        metavar='N',
        help='requests that may wait; further ones are turned away; default: %(default)s')
    parser.add_argument(
        '--max-upload-mb',
        type=int,
        default=limits.upload_bytes // MEGABYTE,
        metavar='N',
        help='size of an uploaded picture, in units of 2^20 bytes; default: %(default)s')
    parser.add_argument(
        '--max-images',
        type=int,
        default=limits.images,
        metavar='N',
        help='pictures of one request; default: %(default)s')
    args = parser.parse_args(argv)
    check_count('--port', args.port, 0, LARGEST_PORT)
    for name in ('queue', 'max_upload_mb', 'max_images'):
        check_count('--' + name.replace('_', '-'), getattr(args, name))
    return args


@command
def main(argv: Optional[Sequence[str]] = None, prog: Optional[str] = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    from mmcm.web.server import serve  # torch and Gradio are loaded only for arguments in order

    limits = Limits(images=args.max_images, upload_bytes=args.max_upload_mb * MEGABYTE, queue=args.queue)
    serve(args.model, args.host, args.port, args.device, args.dtype, limits)


if __name__ == '__main__':
    main()
