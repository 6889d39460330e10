#!/usr/bin/env python
"""Compare fine-tuning with training from nothing, on the digits: new classes, and images of twice the size.

- classes: a diffusion model of the digits 0 to 4 becomes one of 0 to 9.
- size: the shipped model of 8 x 8 pixels, `edm_digits`, becomes one of 16 x 16 (the same digits, scaled up).

Training from nothing has `--steps` steps; fine-tuning has a half and a quarter of them. The scores are the Fréchet
distance in the features of the shipped classifier, of images averaged to 8 x 8 pixels, and the sliced Wasserstein
distance of the pixels. A run that has finished in the same work directory is not repeated.
"""

import json
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import Tensor
from torch.nn import functional as F

from mmcm.apis import ConsistencyModelInferencer
from mmcm.datasets import DigitsDataset
from mmcm.datasets.image_arrays import ImageArrays
from mmcm.evaluation.gaussian import RunningGaussian
from mmcm.evaluation.metrics.frechet_distance import frechet_distance
from mmcm.evaluation.metrics.sliced_wasserstein import sliced_wasserstein
from mmcm.registry import DATASETS, MODELS

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / 'configs' / 'digits' / 'edm_1xb32_digits-8x8.py'
CLASSIFIER = dict(type='DigitsClassifier', checkpoint='package:weights/digits_classifier.safetensors')
DECAY = 0.99  # of the average: the runs are short
LARGE = dict(image_size=16, channel_mult=(1, 1, 2))  # one level more, at the fine end


@DATASETS.register_module()
class DigitsPart(ImageArrays):
    """The digits below `num_classes`, scaled to `size` pixels."""

    def __init__(self, num_classes: int = 10, size: int = 8) -> None:
        digits = DigitsDataset()
        kept = np.asarray(digits.labels) < num_classes
        images = digits.images[torch.from_numpy(kept)]
        if size != 8:
            images = F.interpolate(images.float(), (size, size), mode='bicubic').round().clamp(0, 255).byte()
        super().__init__([images], np.asarray(digits.labels)[kept], digits.metainfo['classes'][:num_classes], 'digits')


def train(work_dir: Path, steps: int, seed: int, data: dict, backbone: dict, init_from: dict | None = None) -> Path:
    """Train the diffusion model of the digits, unless its last checkpoint exists; return the checkpoint."""
    last = work_dir / f'iter_{steps}.pth'
    if not last.exists():
        config = Config.fromfile(RECIPE)
        config.merge_from_dict(
            dict(
                work_dir=str(work_dir),
                experiment_name=str(work_dir).replace('/', '_'),
                train_cfg=dict(max_iters=steps),
                randomness=dict(seed=seed),
                model=dict(ema_decays=(DECAY,), denoiser=dict(backbone=backbone)),
                default_hooks=dict(checkpoint=dict(interval=steps)),
                log_level='WARNING',
            )
        )
        config.model.init_from = init_from
        config.train_dataloader.dataset = dict(type='DigitsPart', **data)
        for hook in ('sample_grid', 'trajectory'):
            config.default_hooks.pop(hook)
        for part in ('test_dataloader', 'test_evaluator', 'test_cfg'):
            config.pop(part)
        config.visualizer.vis_backends = []
        runner = Runner.from_cfg(config)
        runner.train()
        if init_from:
            print(runner.model.initial_load, flush=True)
    return last


def scores(checkpoint: Path, data: dict, num_images: int) -> dict[str, float]:
    """Return the scores of images of all classes."""
    real = DATASETS.build(dict(type='DigitsPart', **data)).images

    inferencer = ConsistencyModelInferencer(checkpoint, sampler=dict(num_steps=10))
    labels = [index % data['num_classes'] for index in range(num_images)]
    images = (inferencer(labels=labels, batch_size=250, output_type='pt').images * 255).round().byte()
    classifier = MODELS.build(CLASSIFIER)
    classifier.init_weights()

    def gaussian(images: Tensor):
        running = RunningGaussian()
        for part in F.adaptive_avg_pool2d(images.float(), 8).round().byte().split(500):
            with torch.no_grad():
                running.update(classifier.eval().extract(part).features.numpy())
        return running.result()

    return dict(
        frechet=frechet_distance(gaussian(images), gaussian(real)),
        sliced_wasserstein=sliced_wasserstein(*(each.flatten(1).numpy() / 127.5 - 1 for each in (images, real))),
    )


def main() -> None:
    """Run the script."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--steps', type=int, default=800, help='of training from nothing')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0])
    parser.add_argument('--cases', nargs='+', choices=['classes', 'size'], default=['classes', 'size'])
    parser.add_argument('--num-images', type=int, default=1000)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/reproduce_finetuning'))
    args = parser.parse_args()
    print(
        '| Case | Start | Steps | Fréchet distance | sliced Wasserstein |', '| :-- | :-- | --: | --: | --: |', sep='\n'
    )
    for case in args.cases:
        data = dict(num_classes=10, size=16 if case == 'size' else 8)
        backbone = LARGE if case == 'size' else {}
        for seed in args.seeds:
            folder = args.work_dir.resolve() / case / f'seed{seed}'
            source = 'edm_digits'
            if case == 'classes':
                few = dict(num_classes=5, size=8)
                source = str(train(folder / 'source', 2 * args.steps, seed, few, dict(num_classes=5)))
            start = dict(checkpoint=source, partial=True)
            for name, init_from, part in (('nothing', None, 1), ('checkpoint', start, 2), ('checkpoint', start, 4)):
                steps = args.steps // part
                run = folder / f'{name}_{steps}'
                out = run / 'scores.json'
                if not out.exists():
                    last = train(run, steps, seed, data, backbone, init_from)
                    out.write_text(json.dumps(scores(last, data, args.num_images)))
                found = json.loads(out.read_text())
                print(
                    f'| {case}, seed {seed} | {name} | {steps} | {found["frechet"]:.3f} | '
                    f'{found["sliced_wasserstein"]:.4f} |',
                    flush=True,
                )


if __name__ == '__main__':
    main()
