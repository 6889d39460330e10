"""Arguments of several commands: the model, how it is measured, and the steps of its sampler."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcm.cli.completion import with_configs, with_models
from mmcm.cli.config import add_pairs, as_values
from mmcm.cli.parser import CommandParser
from mmcm.utils.errors import InputError
from mmcm.zoo import find_config, list_configs, list_models

if TYPE_CHECKING:  # which loads torch
    from mmcm.apis.inferencer import ConsistencyModelInferencer


CONFIGS = ('.py', '.yaml', '.yml', '.json')  # suffixes of configs
MODEL_HELP = (
    'name of the zoo (`mmcm zoo` lists them), config, folder or hub id of diffusers, work directory, or file '
    'of weights with its config'
)
CHECKPOINT_HELP = "path, URL, work directory or zoo name; default: the model's own"
EMA_HELP = (
    "which weights of a checkpoint that has several: an average's decay, 'online', or the key of another "
    "program's; default: its first average"
)


def add_model_arguments(parser: CommandParser) -> None:
    """Add the arguments that choose a model."""
    with_models(parser.add_argument('--model', required=True, help=MODEL_HELP))
    with_models(parser.add_argument('--checkpoint', help=CHECKPOINT_HELP))
    parser.add_argument('--ema', help=EMA_HELP)
    parser.add_cache_dir()


def add_measured_arguments(parser: ArgumentParser) -> None:
    """Add the arguments that choose a model to measure, and its config; `settle_measured` reads them."""
    text = (
        'config that says how to measure, a file or a name; default: that of the model in the zoo, or the one of ours '
        'that a run was trained by'
    )
    with_configs(parser.add_argument('config', nargs='?', help=text))
    text = 'the same as --model, or as --checkpoint beside it'
    with_models(parser.add_argument('weights', nargs='?', metavar='checkpoint', help=text))
    with_models(parser.add_argument('--model', help=MODEL_HELP))
    with_models(parser.add_argument('--checkpoint', help=CHECKPOINT_HELP))


def settle_measured(args: Namespace) -> None:
    """Set `config` and `checkpoint` of `args` from the arguments of `add_measured_arguments`.

    Raises:
        InputError: If no config follows from them, or they name two configs or checkpoints.
    """
    words = [word for word in (args.weights, args.checkpoint) if word is not None]
    config = None
    if args.model is None and args.config in {entry.name for entry in list_models()}:
        args.model, args.config = args.config, None
    if args.model is not None:
        entry = next((entry for entry in list_models() if entry.name == args.model), None)
        if entry is not None:
            config = str(entry.config_file)
            words = words or [args.model]
        elif Path(args.model).suffix in CONFIGS or (not Path(args.model).exists() and named_config(args.model)):
            config = args.model
            if args.config is not None:
                raise InputError(f'two configs are named, {args.config} and {config}: leave one out.')
        else:
            config = None if args.config else recipe_of(Path(args.model))
            if config is not None:
                name = Path(config).stem
                print(
                    f'note: {args.model} is measured as our config {name} says; name another one in front',
                    file=sys.stderr,
                )
            words.append(args.model)
    if len(words) > 1:
        raise InputError(f'two checkpoints are named, {words[0]} and {words[1]}: leave one out.')
    args.config = args.config or config
    args.checkpoint = words[0] if words else None
    if args.config is None:
        if args.model is None:
            raise InputError('no model is named: give one, --model digits for example.')
        raise InputError(
            f'{args.model} is no model of the zoo, no config and no run of one of our configs, so it '
            f'does not say how to measure. Name the config, too: CONFIG --model {args.model}.'
        )


def recipe_of(run: Path) -> str | None:
    """Return the path of our config that a work directory was trained by, None for other configs.

    The copy of the config that MMEngine writes into a work directory is not used: reading it would run it.
    """
    ours = {path.stem: path for path in list_configs(former_names=True)}
    copies = sorted(run.glob('*.py')) if run.is_dir() else []
    return next((str(ours[path.stem]) for path in copies if path.stem in ours), None)


def named_config(name: str) -> bool:
    """Return whether a config of ours, or a file, has this name."""
    try:
        find_config(name)
    except InputError:
        return False
    return True


def model_and_out(model: str | None, words: Sequence[str], out: str | None) -> tuple[str, str]:
    """Return the model and the output: --model or the first of `words`, and --out or the last one.

    Raises:
        InputError: Unless there is one of each.
    """
    places = [*([] if model is None else [model]), *words, *([] if out is None else [out])]
    if len(places) != 2:
        raise InputError(
            f'one model and one output are needed, as --model MODEL --out OUT or as two words, got '
            f'{len(places)}: {" ".join(places)}'.rstrip(': ')
            + '.'
        )
    return places[0], places[1]


def add_step_arguments(parser: ArgumentParser) -> None:
    """Add the arguments for the steps of the sampler."""
    levels = parser.add_mutually_exclusive_group()
    levels.add_argument('--steps', type=int, metavar='N', help='number of steps')
    levels.add_argument(
        '--timesteps', type=int, nargs='+', metavar='T', help='timesteps as in diffusers, descending, such as 22 0'
    )
    levels.add_argument('--sigmas', type=float, nargs='+', metavar='S', help='noise levels, descending, such as 80 1.5')
    text = 'another sampler, or changes to the one of the model, for example type=HeunSampler num_steps=18'
    add_pairs(parser, '--sampler', text, {})


def add_guidance_arguments(parser: ArgumentParser) -> None:
    """Add the arguments for guidance."""
    parser.add_argument(
        '--guidance',
        type=float,
        metavar='W',
        help='guide models with a null class: D_u + W (D_c - D_u); default: that of the model, usually 1, no guidance',
    )
    parser.add_argument(
        '--guidance-interval',
        type=float,
        nargs=2,
        metavar=('LO', 'HI'),
        help='guide only at noise levels above LO and up to HI',
    )


def build_inferencer(args: Namespace, **options: Any) -> 'ConsistencyModelInferencer':
    """Build the inferencer that `args` ask for; `options` are its further arguments.

    Raises:
        InputError: If it cannot be built, or the steps are given twice.
    """
    sampler = as_values(getattr(args, 'sampler', {}))
    steps = [name for name in ('steps', 'timesteps', 'sigmas') if getattr(args, name, None) is not None]
    also = [key for key in ('num_steps', 'indices', 'sigmas') if key in sampler]
    if steps and also:
        raise InputError(
            f'--{steps[0]} and --sampler {also[0]}={sampler[also[0]]} both say where the steps are: give one of them.'
        )
    if steps and 'type' in sampler:  # it is not built without any steps; `choose_sampler` then sets those asked for
        sampler |= dict(indices=[0]) if str(sampler['type']).endswith('MultistepSampler') else dict(num_steps=1)
    from mmcm.apis.inferencer import ConsistencyModelInferencer  # torch is loaded only for arguments in order

    return ConsistencyModelInferencer(
        args.model, args.checkpoint, sampler=sampler, average=args.ema, cache_dir=args.cache_dir, **options
    )


def labels_of(words: Sequence[str] | None) -> Sequence[str] | str | None:
    """Return the labels in the words of a command line: one word is one label, or a rule, for all images."""
    return words[0] if words and len(words) == 1 else words
