#!/usr/bin/env python
"""Draw the pictures of docs/consistency_models.md: `python tools/draw_explanations.py [FOLDER]`.

FOLDER is docs/images by default.

Models of the package alone; a minute on one core.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from mmcm.apis import ConsistencyModelInferencer
from mmcm.curricula import DoublingCurriculum, ProgressiveCurriculum
from mmcm.noise.schedules import karras_sigmas
from mmcm.utils.images import write_image
from mmcm.utils.provenance import record_of
from mmcm.visualization.figures import new_figure, rendered
from mmcm.visualization.grids import named_grid

LABELS, SEEDS = [3, 1, 4, 8], [0, 1, 2, 3]
SHOWN = (0, 3, 6, 8, 10, 12, 14, 17)  # of 18 steps
ITERATIONS = 400_000  # of the curricula


def trajectory():
    """Return a grid: images on their way along the ODE, and what a consistency model makes of each of them."""
    states = {}
    teacher = ConsistencyModelInferencer('edm_digits', device='cpu')
    teacher(
        labels=[3],
        seed=5,
        num_steps=18,
        callback=lambda step, sigma, x, x0: states.update({step: (sigma, x.clone(), x0)}),
    )
    student = ConsistencyModelInferencer('digits', device='cpu').load().model
    rows = [[], [], []]
    with torch.no_grad():
        for step in SHOWN:
            sigma, x, x0 = states[step]
            levels, label = torch.full((1,), sigma), torch.tensor([3])
            ends = student.inference_denoiser(x, levels, label)
            shown = x / max(1.0, (sigma**2 + 0.25) ** 0.5 * 2)  # noise of any level, in a range that can be seen
            for row, image in zip(rows, (shown, x0, ends)):
                row.append(pixels(image[0]))
    names = ['the image on its way', 'diffusion: D(x, sigma)', 'consistency: f(x, sigma)']
    return named_grid(rows, names, [f'sigma {states[step][0]:.2g}' for step in SHOWN])


def pixels(image):
    """Return an image (C, H, W) in [-1, 1] as uint8."""
    return ((image.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def discretisation():
    """Return a figure: the noise levels for three numbers of levels, and N over a training of CT and iCT."""
    figure = new_figure(1000, 340)
    left, right = figure.subplots(1, 2)
    for row, number in enumerate((4, 18, 40)):
        sigmas = karras_sigmas(number, 0.002, 80.0, 7.0)
        left.plot(sigmas, np.full(number, row), '|', markersize=24, color=f'C{row}')
    left.set_xscale('log')
    left.set_yticks(range(3), ['N = 4', 'N = 18', 'N = 40'])
    left.set_ylim(-0.6, 2.6)
    left.set_xlabel('sigma')
    left.set_title('noise levels of the schedule')
    steps = np.linspace(0, ITERATIONS - 1, 800).astype(int)
    for name, curriculum in (
        ('CT', ProgressiveCurriculum(start_scales=2, end_scales=150, total_steps=ITERATIONS, start_decay=0.9)),
        ('iCT', DoublingCurriculum(start_scales=10, end_scales=1280, total_steps=ITERATIONS)),
    ):
        right.plot(steps / 1000, [curriculum(int(step)).num_scales for step in steps], label=name)
    right.set_yscale('log')
    right.set_xlabel('thousand training steps')
    right.set_title('number of levels N(k)')
    right.legend()
    return rendered(figure)


def evaluations():
    """Return a grid of the same seeds with one to four network evaluations."""
    generate = ConsistencyModelInferencer('digits', device='cpu')
    rows = [generate(labels=LABELS * 2, seed=list(range(8)), num_steps=number).pixels for number in (1, 2, 3, 4)]
    names = [f'{number} evaluation{"s" * (number > 1)}' for number in (1, 2, 3, 4)]
    return named_grid(rows, names, [f'seed {seed}' for seed in range(8)])


def main(folder):
    """Write the pictures."""
    for picture in (trajectory, discretisation, evaluations):
        record = record_of('figure', command='python tools/draw_explanations.py', picture=picture.__name__)
        write_image(Path(folder) / f'explain_{picture.__name__}.png', picture(), record)


if __name__ == '__main__':
    main(*(sys.argv[1:2] or [Path(__file__).parents[1] / 'docs' / 'images']))
