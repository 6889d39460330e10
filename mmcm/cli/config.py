"""`mmcm config`, which prints configs, and the reading of config files by the other commands."""

import ast
import os
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config, ConfigDict, DictAction

from mmcm.cli.completion import with_models
from mmcm.cli.config_names import MMENGINE_HOOKS, SETTINGS, check_file_names, files_of
from mmcm.cli.errors import command
from mmcm.cli.launch import HELP, LAUNCHERS, find_launcher
from mmcm.cli.parser import CommandParser
from mmcm.config import read_config
from mmcm.utils.checks import check_choice
from mmcm.utils.errors import InputError, printable
from mmcm.utils.files import make_folder, write_bytes
from mmcm.utils.nearest import nearest
from mmcm.utils.outputs import check_name, claimed
from mmcm.zoo import find_config, list_models, root

if TYPE_CHECKING:  # which loads torch
    from mmcm.datasets.image_dataset import ImageDataset

PATHS = ('data_root', 'data_file')  # settings that are paths, also where they look like numbers, such as 2012


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line of `mmcm config`."""
    parser = CommandParser(
        'Print a config with all that it inherits, as a config of one file; or the settings in which two differ.',
        prog,
        examples=(
            'ct_1xb32_digits-8x8',
            'ct_1xb32_digits-8x8 ict_1xb32_digits-8x8',
            'ct_1xb32_digits-8x8 --get model.sampler',
            'ct_1xb32_digits-8x8 --cfg-options train_cfg.max_iters=100 --out mine.py',
            'ct_1xb32_digits-8x8 --files',
        ),
    )
    text = 'config, model of the zoo, work directory, or file of weights with its config'
    with_models(parser.add_argument('name', help=text))
    with_models(parser.add_argument('other', nargs='?', help='the same: print the settings in which they differ'))
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument('--get', metavar='KEY', help='print one setting, such as model.sampler')
    shown.add_argument('--files', action='store_true', help='print the config file and its bases, the nearest first')
    add_pairs(parser, '--cfg-options', 'change settings of the config (of both), as in mmcm train')
    parser.add_argument('--out', type=Path, metavar='FILE', help='write the config to a .py file')
    parser.add_cache_dir()
    parser.add_force()
    args = parser.parse_args(argv)
    if args.other is not None and (args.get or args.files or args.out):
        raise InputError('--get, --files and --out are for one config, and two are named: leave one out.')
    if args.out is not None and (args.get or args.files or args.out.suffix != '.py'):
        raise InputError(f'--out writes a whole config to a .py file, got {args.out}: leave out --get and --files.')
    return args


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run `mmcm config`."""
    args = parse_args(argv, prog)
    from mmcm.apis.analysis.config_settings import differences, resolved_config, setting_of, text_of  # which load torch

    if args.files:
        models = {model.name: model.config_file for model in list_models()}
        print(
            *(os.path.normpath(file.path) for file in files_of(find_config(models.get(args.name, args.name)))), sep='\n'
        )
        return
    config = resolved_config(args.name, args.cfg_options, args.cache_dir)
    if args.other is not None:
        for name, left, right in differences(config, resolved_config(args.other, args.cfg_options, args.cache_dir)):
            print(name, *(f'  {sign} {text}' for sign, text in (('-', left), ('+', right)) if text), sep='\n')
    elif args.get:
        print(printable(str(setting_of(config, args.get, args.name))))
    elif args.out:
        with claimed({'--out': args.out}, args.force, {'NAME': args.name}):
            write_bytes(args.out, text_of(config, args.name).encode())
        print(f'Wrote {args.out}')
    else:
        print(text_of(config, args.name), end='')


class Options(DictAction):
    """Settings as KEY=VALUE pairs; the values of `PATHS` are text, whatever they look like."""

    def __call__(self, parser: Any, namespace: Namespace, values: Any, option_string: Any = None) -> None:
        """Parse `values`; an InputError if they are no such pairs."""
        try:
            super().__call__(parser, namespace, values, option_string)
        except (ValueError, AssertionError) as error:
            raise InputError(f'{option_string} takes KEY=VALUE pairs, got {" ".join(values)!r}.') from error
        options = getattr(namespace, self.dest)
        options.update((key, text) for key, _, text in (value.partition('=') for value in values) if is_path(key))


def add_pairs(parser: ArgumentParser, name: str, what: str, default: dict | None = None) -> None:
    """Add an option that takes settings as KEY=VALUE pairs."""
    parser.add_argument(name, nargs='+', action=Options, default=default, metavar='KEY=VALUE', help=what)


def is_path(key: str) -> bool:
    """Return whether the setting `key`, such as train_dataloader.dataset.data_root, is a path."""
    return key.split('.')[-1] in PATHS


def add_runner_arguments(parser: ArgumentParser) -> None:
    """Add the arguments that training and testing share; they are MMagic's."""
    parser.add_argument('--work-dir', help='folder for logs and checkpoints; default: work_dirs/<name of the config>')
    example = 'train_dataloader.batch_size=64 or "model.ema_decays=[0.99,0.999]"'
    add_pairs(parser, '--cfg-options', f'change settings of the config, for example {example}')
    parser.add_argument('--launcher', choices=LAUNCHERS, help=HELP)
    # torch.distributed.launch passes it; torchrun sets the environment variable instead.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help='set by the launcher')


def runner_config(args: Namespace, subfolder: str = '') -> Config:
    """Read the config that `args` name, with their work directory (by default with a `subfolder`) and launcher.

    Raises:
        InputError: If there is no such config, it has no model, an option sets what nothing reads, or the work
            directory cannot be written to.
    """
    config = read_config(args.config, args.cfg_options)
    check_options(args.cfg_options, args.config)
    check_file_names(find_config(args.config), config)
    asked = args.launcher or (args.cfg_options or {}).get('launcher')
    if asked is not None:
        check_choice('launcher', asked, LAUNCHERS)
    args.launcher = config.launcher = find_launcher(asked)
    if args.work_dir:
        config.work_dir = args.work_dir
    elif config.get('work_dir') is None:
        config.work_dir = str(Path('work_dirs') / Path(args.config).stem / subfolder)
    config.work_dir = str(config.work_dir)  # an option may have made a number of a name
    if not isinstance(config.get('model'), dict):
        raise InputError(f'{args.config} describes no model: it needs model = dict(type=...).')
    check_name(Path(config.work_dir))
    make_folder(Path(config.work_dir))
    return config


def check_options(options: dict | None, config: str) -> None:
    """Raise an InputError if one of `options` is a setting that is neither in the `config` nor known."""
    options = options or {}
    names = {key.split('.')[0] for key in options} - SETTINGS
    switched_off = [key for key, value in options.items() if value is None and re.fullmatch(r'default_hooks\.\w+', key)]
    content = read_config(config) if names or switched_off else {}
    unknown = sorted(names.difference(content))
    # Variables of a config of the user may be read by hooks of the user; those of ours are not.
    ours = bool(names) and find_config(config).is_relative_to(root() / 'configs')
    for name in sorted(names.intersection(content)) if ours else ():
        raise InputError(
            f'--cfg-options: {name} is a variable of the config file, from which settings were computed '
            f'already. Set what uses it, such as train_cfg.{name}.'
        )
    if any(key.split('.')[0] == 'custom_imports' for key in options):
        raise InputError('--cfg-options: custom_imports is read with the config file, so it has to stand in one.')
    if unknown:
        raise InputError(f'--cfg-options: nothing reads a setting {unknown[0]!r}{nearest(unknown[0], SETTINGS)}.')
    hooks = (*MMENGINE_HOOKS, *(content.get('default_hooks') or {}))
    for name in (key.split('.')[1] for key in switched_off):
        if name not in hooks:
            raise InputError(f'--cfg-options: default_hooks has no {name!r} to leave out{nearest(name, hooks)}.')


def check_size(size: Any, datasets: dict[str, dict]) -> None:
    """Raise an InputError if `size`, the value of --size, affects none of the `datasets`, configs by their names."""
    transforms = [transform for config in datasets.values() for transform in config.get('pipeline') or ()]
    if size is not None and not any(transform.get('size') == size for transform in transforms):
        raise InputError(
            f'--size is for images in files; {" and ".join(datasets)} say{"s" * (len(datasets) == 1)} '
            'what size they have. Leave it out, or give a folder of images instead.'
        )


def report_transparency(*datasets: 'ImageDataset') -> None:
    """Print how many of the read images are transparent, if any, and the colour that they were composited on."""
    for dataset in datasets:
        text = dataset.transparency and dataset.transparency.described()
        if text:
            print(text)


def as_values(options: dict) -> dict:
    """Return `options` as plain values: strings that are Python literals are parsed, except for `PATHS`.

    Names with dots are settings of settings: `network.type=resnet50` is `network=dict(type='resnet50')`.
    """

    def value(text):
        if isinstance(text, dict):
            return {key: value(part) for key, part in text.items()}
        if isinstance(text, str):
            try:
                return ast.literal_eval(text)
            except (SyntaxError, ValueError):
                return text
        return text

    nested: dict[str, Any] = {}
    for name, setting in ConfigDict(options).to_dict().items():
        *path, last = name.split('.')
        place = nested
        for part in path:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise InputError(f'{name} is a setting of {part}, which is given as {place!r}: give one of them.')
        if last in place:
            raise InputError(f'{name} is given twice, as a whole and by its parts: give one of them.')
        place[last] = setting if is_path(last) else value(setting)
    return nested


def first_extractor(config: Any) -> dict | None:
    """Return the first config of an extractor inside `config`, None if there is none."""
    if isinstance(config, dict):
        if isinstance(config.get('extractor'), dict):
            return config['extractor']
        config = list(config.values())
    if isinstance(config, (list, tuple)):
        return next((found for found in map(first_extractor, config) if found is not None), None)
    return None
