"""`tools/test.py`: draw images from a checkpoint and measure them."""
import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from mmengine.config import Config

from mmcm.cli.config import add_runner_arguments, runner_config
from mmcm.cli.errors import command
from mmcm.cli.parser import CommandParser
from mmcm.utils.errors import InputError
from mmcm.utils.files import make_folder, write_bytes
from mmcm.zoo import cached_file


def parse_args(argv: Optional[Sequence[str]] = None, prog: Optional[str] = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'Draw images from a checkpoint and measure them.', prog,
        examples=('cd_1xb32_digits-8x8 digits',
                  'edm_1xb32_digits-8x8 work_dirs/edm_1xb32_digits-8x8 --out scores.json'))
    parser.add_argument('config', help='config file, or the name of one that comes with mmcm')
    parser.add_argument('checkpoint', help='path, URL, zoo name, or work directory (its last checkpoint)')
    parser.add_argument('--ema', help="which weights of a training checkpoint: an average's decay, or 'online'; "
                        'default: its first average')
    parser.add_argument('--out', help='JSON file for the metrics')
    add_runner_arguments(parser)
    return parser.parse_args(argv)


def test(config: Config, checkpoint: str, average: Optional[str] = None) -> dict:
    """Draw the requests of `config.test_dataloader` with the weights of `checkpoint`; return the metrics."""
    from mmengine.runner import Runner  # torch is loaded only to draw

    from mmcm.apis.model_source import sampler_config
    from mmcm.cli.runner import built_from_config
    from mmcm.models.consistency_model import drawing_config
    from mmcm.utils.model_wrappers import unwrapped

    for part in ('test_dataloader', 'test_evaluator', 'test_cfg'):
        if config.get(part) is None:
            raise InputError(f'the config does not say what to measure: it has no {part}.')
    config.model = drawing_config(config.model)
    if config.model.get('sampler'):
        config.model.sampler = sampler_config(config.model.sampler, checkpoint)
    for part in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
        config.pop(part, None)
    config.load_from, config.resume = None, False
    cached_file(checkpoint)  # a missing file is told before anything is built
    with built_from_config():
        runner = Runner.from_cfg(config)
        unwrapped(runner.model).load_checkpoint(checkpoint, average)
        return runner.test()


@command
def main(argv: Optional[Sequence[str]] = None, prog: Optional[str] = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    config = runner_config(args, subfolder='test')  # training keeps its own config there
    if args.out:
        make_folder(Path(args.out).parent)
    from mmengine.dist import is_main_process

    from mmcm.cli.runner import prepare
    prepare(config, args)
    metrics = test(config, args.checkpoint, args.ema)
    if is_main_process():
        for name, value in metrics.items():
            print(f'{name}: {value:.4f}')
        if args.out:
            write_bytes(Path(args.out), (json.dumps(metrics, indent=2) + '\n').encode())


if __name__ == '__main__':
    main()
