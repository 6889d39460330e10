"""Reading config files for the commands."""
import ast
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict, DictAction

from mmcm.utils.configs import read_config
from mmcm.utils.errors import InputError
from mmcm.utils.files import make_folder
from mmcm.zoo import nearest

# The settings at the top level of a config that someone reads: MMEngine's runners, or we.
SETTINGS = frozenset((
    'activation_checkpointing', 'auto_scale_lr', 'checkpoint', 'class_names', 'compile', 'custom_hooks',
    'custom_imports', 'data_preprocessor', 'default_hooks', 'default_scope', 'efficient_conv_bn_eval', 'env_cfg',
    'experiment_name', 'find_unused_parameters', 'launcher', 'load_from', 'log_level', 'log_processor', 'model',
    'model_wrapper_cfg', 'optim_wrapper', 'param_scheduler', 'randomness', 'resume', 'runner_type', 'samplers',
    'strategy', 'sync_bn', 'test_cfg', 'test_dataloader', 'test_evaluator', 'train_cfg', 'train_dataloader', 'val_cfg',
    'val_dataloader', 'val_evaluator', 'visualizer', 'work_dir'))


class Options(DictAction):
    """Settings as KEY=VALUE pairs."""

    def __call__(self, parser: Any, namespace: Namespace, values: Any, option_string: Any = None) -> None:
        """Parse `values`; an InputError if they are no such pairs."""
        try:
            super().__call__(parser, namespace, values, option_string)
        except (ValueError, AssertionError) as error:
            raise InputError(f'{option_string} takes KEY=VALUE pairs, got {" ".join(values)!r}: {error}') from error


def add_runner_arguments(parser: ArgumentParser) -> None:
    """Add the arguments that training and testing share; they are MMagic's."""
    parser.add_argument('--work-dir', help='folder for logs and checkpoints; default: work_dirs/<name of the config>')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=Options,
        metavar='KEY=VALUE',
        help='change settings of the config, for example train_dataloader.batch_size=64 or '
        '"model.ema_decays=[0.99,0.999]"')
    parser.add_argument(
        '--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='what started the processes')
    # torch.distributed.launch passes it; torchrun sets the environment variable instead.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by the launcher')


def runner_config(args: Namespace, subfolder: str = '') -> Config:
    """Read the config that `args` name, with what they say of work directory and launcher.

    Args:
        args (Namespace): Of `add_runner_arguments`.
        subfolder (str): Where to write below the default work directory.

    Raises:
        InputError: If there is no such config, it has no model, an option sets what nothing reads, or the work
            directory cannot be written to.
    """
    config = read_config(args.config, args.cfg_options)
    check_options(args)
    config.launcher = args.launcher
    if args.work_dir:
        config.work_dir = args.work_dir
    elif config.get('work_dir') is None:
        config.work_dir = str(Path('work_dirs') / Path(args.config).stem / subfolder)
    if not isinstance(config.get('model'), dict):
        raise InputError(f'{args.config} describes no model: it needs model = dict(type=...).')
    make_folder(Path(config.work_dir))
    return config


def check_options(args: Namespace) -> None:
    """Raise an InputError if an option of `args` is of a setting that neither the config has, nor anyone reads."""
    names = {key.split('.')[0] for key in args.cfg_options or {}} - SETTINGS
    unknown = sorted(names.difference(read_config(args.config))) if names else []
    if unknown:
        raise InputError(f'--cfg-options: nothing reads a setting {unknown[0]!r}{nearest(unknown[0], SETTINGS)}.')


def as_values(options: dict) -> dict:
    """Return `options` with strings that are Python literals read as such, and everything as plain values."""

    def value(text):
        if isinstance(text, str):
            try:
                return ast.literal_eval(text)
            except (SyntaxError, ValueError):
                return text
        return text

    return {key: value(text) for key, text in ConfigDict(options).to_dict().items()}
