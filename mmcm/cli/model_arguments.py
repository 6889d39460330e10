"""The arguments by which commands choose a model to draw with, and its steps."""
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

from mmcm.cli.config import Options, as_values
from mmcm.utils.errors import InputError

if TYPE_CHECKING:  # which loads torch
    from mmcm.apis.inferencer import ConsistencyModelInferencer


def add_model_arguments(parser: ArgumentParser) -> None:
    """Add what says which model."""
    parser.add_argument(
        '--model',
        required=True,
        help='name of the zoo (`mmcm zoo` lists them), config, folder or hub id of diffusers, work directory, or file '
        'of weights with its config')
    parser.add_argument('--checkpoint', help="path, URL, work directory or zoo name; default: the model's own")
    parser.add_argument('--ema', help="which weights of a training checkpoint: an average's decay, or 'online'; "
                        'default: its first average')
    parser.add_argument('--cache-dir', help='where downloads are kept; default: $MMCM_HOME, else ~/.cache/mmcm')


def add_step_arguments(parser: ArgumentParser) -> None:
    """Add what says by which steps to draw."""
    levels = parser.add_mutually_exclusive_group()
    levels.add_argument('--steps', type=int, metavar='N', help='number of steps')
    levels.add_argument(
        '--timesteps', type=int, nargs='+', metavar='T', help='timesteps as in diffusers, descending, such as 22 0')
    levels.add_argument('--sigmas', type=float, nargs='+', metavar='S', help='noise levels, descending, such as 80 1.5')
    parser.add_argument(
        '--sampler',
        nargs='+',
        action=Options,
        default={},
        metavar='KEY=VALUE',
        help='another sampler, or changes to the one of the model, for example type=HeunSampler num_steps=18')


def build_inferencer(args: Namespace, **options: Any) -> 'ConsistencyModelInferencer':
    """Build the inferencer that `args` ask for; `options` are its further arguments.

    Raises:
        InputError: If it cannot be, or the steps are given twice.
    """
    sampler = as_values(getattr(args, 'sampler', {}))
    steps = [name for name in ('steps', 'timesteps', 'sigmas') if getattr(args, name, None) is not None]
    also = [key for key in ('num_steps', 'indices', 'sigmas') if key in sampler]
    if steps and also:
        raise InputError(f'--{steps[0]} and --sampler {also[0]}={sampler[also[0]]} both say where the steps are: give '
                         'one of them.')
    if steps and 'type' in sampler:  # it is not built without any steps; `choose_sampler` then sets those asked for
        sampler |= dict(indices=[0]) if str(sampler['type']).endswith('MultistepSampler') else dict(num_steps=1)
    from mmcm.apis.inferencer import ConsistencyModelInferencer  # torch is loaded only for arguments in order

    return ConsistencyModelInferencer(
        args.model, args.checkpoint, sampler=sampler, average=args.ema, cache_dir=args.cache_dir, **options)


def labels_of(words: Optional[Sequence[str]]) -> Union[list[str], str, None]:
    """Return the labels that the words of the command line mean: one word may be a rule for all images."""
    return words[0] if words and len(words) == 1 else words
