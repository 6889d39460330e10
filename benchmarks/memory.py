"""Measure the memory of a step of consistency training, with and without recomputed activations.

The network is that of ImageNet 64x64 with random weights; each variant runs in a process of its own, whose peak of
resident memory is read at its end.
"""

import json
import resource
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper

from mmcm.registry import MODELS
from mmcm.structures import DataSample
from mmcm.zoo import find_config


def main() -> None:
    """Run the benchmark."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument('--batch-size', type=int, default=2)
    parser.add_argument('--micro-batch', type=int, help='images per forward pass; default: the batch size')
    parser.add_argument('--use-checkpoint', type=int, choices=(0, 1), help='run this variant alone, in this process')
    args = parser.parse_args()
    if args.use_checkpoint is not None:
        print(json.dumps(measure(args)))
        return
    for use_checkpoint in (0, 1):
        command = [sys.executable, __file__, *sys.argv[1:], '--use-checkpoint', str(use_checkpoint)]
        result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        print(
            f'use_checkpoint={bool(use_checkpoint)}: peak {result["peak"]:.2f} GB, of which {result["model"]:.2f} GB '
            f'before the step; {result["seconds"]:.1f} s'
        )


def measure(args: Namespace) -> dict:
    """Return the peak of resident memory before and after a step, in GB, and the seconds of the step."""
    config = Config.fromfile(find_config('edm_8xb512_imagenet1k-64x64')).model
    config.denoiser.update(boundary=True)
    config.denoiser.backbone.use_checkpoint = bool(args.use_checkpoint)
    config.objective = dict(
        type='ConsistencyTraining',
        curriculum=dict(type='FixedCurriculum', num_scales=18, target_decay=0.9),
        distance=dict(type='L2'),
    )
    config.ema_decays = ()
    model = MODELS.build(config).train()
    model.step = 0
    micro_batch = args.micro_batch or args.batch_size
    # SGD keeps no moments, which would add the same to both variants.
    wrapper = OptimWrapper(
        torch.optim.SGD(model.denoiser.parameters(), lr=1e-4, foreach=False),
        accumulative_counts=args.batch_size // micro_batch,
    )
    batch = dict(
        inputs=torch.randint(256, (micro_batch, 3, 64, 64), dtype=torch.uint8),
        data_samples=DataSample.of(label=torch.randint(1000, (micro_batch,))),
    )
    before = peak()
    started = time.perf_counter()
    for _ in range(args.batch_size // micro_batch):
        model.train_step(batch, wrapper)
    return dict(model=before, peak=peak(), seconds=time.perf_counter() - started)


def peak() -> float:
    """Return the peak of this process's resident memory so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024) / 1e9


if __name__ == '__main__':
    main()
