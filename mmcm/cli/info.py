"""`mmcm info`: parameters, FLOPs, NFE and memory of a model, without its weights."""

import json
from argparse import Namespace
from collections.abc import Sequence

from mmcm.cli.completion import with_models
from mmcm.cli.config import add_pairs, as_values
from mmcm.cli.errors import command
from mmcm.cli.parser import CommandParser


def parse_args(argv: Sequence[str] | None = None, prog: str | None = None) -> Namespace:
    """Parse the command line."""
    parser = CommandParser(
        'Print what a model costs: parameters, FLOPs of a network evaluation, NFE of its sampler, memory of a batch. '
        'Weights are neither read nor downloaded.',
        prog,
        examples=('digits', 'cd_imagenet64_l2 --batch-size 16 --dtype bfloat16', 'edm_1xb32_digits-8x8 --json'),
    )
    text = 'name of the zoo, config, folder or hub id of diffusers, work directory, or file of weights with its config'
    with_models(parser.add_argument('model', help=text))
    parser.add_integer('--batch-size', 'images of the batch whose memory is computed', 1)
    parser.add_dtype()
    add_pairs(parser, '--sampler', 'changes to the sampler, for example num_steps=18', {})
    parser.add_cache_dir()
    parser.add_argument('--json', action='store_true', help='print JSON, for programs')
    return parser.parse_args(argv)


@command
def main(argv: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the command."""
    args = parse_args(argv, prog)
    from mmcm.apis.analysis.model_facts import described, model_facts  # torch is loaded only for valid arguments

    facts = model_facts(args.model, args.batch_size, args.dtype, args.cache_dir, as_values(args.sampler) or None)
    print(json.dumps(facts, indent=2) if args.json else described(facts))
