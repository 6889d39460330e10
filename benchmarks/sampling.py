"""One call of the inferencer, against diffusers' pipeline with the same weights."""

from functools import partial

import peers
import torch
from measure import Row, in_turn

from mmcm.apis import ConsistencyModelInferencer

GOALS = {1: '<= 0.7', 16: '<= 0.85', 256: '<= 1'}


COMPILED = {1: '<= 0.4', 16: '', 256: '<= 0.8'}


def measure(args, compile=False, goals=GOALS) -> list[Row]:
    """Measure seconds of a call of one step for digits."""
    from diffusers import ConsistencyModelPipeline

    rows = []
    with peers.folder('digits') as path:
        generate = ConsistencyModelInferencer(path, device=args.device, compile=compile).load()
        pipeline = ConsistencyModelPipeline.from_pretrained(path).to(args.device)
        pipeline.set_progress_bar_config(disable=True)
        for size, goal in goals.items():
            options = dict(generator=torch.Generator().manual_seed(0))
            labels = [index % 10 for index in range(size)]
            calls = [
                partial(generate, size, labels, batch_size=size, num_steps=1, **options),
                partial(pipeline, size, labels, num_inference_steps=1, **options),
            ]
            times = in_turn(calls, 4 * args.rounds, args.device)
            what = f'digits, {size} images, one step{", compiled" if compile else ""}'
            rows.append(
                Row.paired('compiled' if compile else 'sampling', what, 's', times, 'ConsistencyModelPipeline', goal)
            )
    return rows
