"""Trajectories from noise to images during training."""

import numpy as np
import torch
from mmengine.runner import Runner
from torch import Tensor

from mmcm.engine.hooks.sample_grid_hook import names_of
from mmcm.engine.hooks.sheet_hook import MAX_COST, SheetHook
from mmcm.models import ConsistencyModel
from mmcm.noise.generators import SampleNoise, sample_seeds
from mmcm.noise.schedules import SIGMA_MIN, karras_sigmas
from mmcm.registry import HOOKS, SAMPLERS
from mmcm.samplers import FlowMapSampler, MultistepSampler
from mmcm.samplers.base import Sampler
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.model_wrappers import unwrapped
from mmcm.visualization.grids import named_grid, titled

FEWEST = 4  # levels of a trajectory


@HOOKS.register_module()
class TrajectoryHook(SheetHook):
    """Write the trajectories of fixed seeds every `interval` iterations and at the end, to `trajectories/iter_<n>.png`.

    Each seed has two rows, the input of the denoiser and the denoised image, with a column for each noise level of the
    sampler; of many levels, some evenly spaced ones. The names of the rows are seeds and classes; above are the
    iteration and the NFE of an image. A MultistepSampler or FlowMapSampler of the model with fewer than 4 levels has no
    trajectory to show, and a schedule with `columns` levels takes its place. The noisy images are scaled to the spread
    of clean ones. See SheetHook.

    Args:
        num_samples (int): Number of seeds; conditional models get the classes 0, 1, ....
        columns (int): Largest number of noise levels in the grid, 2 or more.
        sampler (dict, optional): Config of a sampler in place of the model's own, such as
            dict(type='MultistepSampler', sigmas=(80.0, 10.0, 1.0)).
        seed (int): Seed of the images.
        interval, max_cost: See SheetHook.
    """

    name, switch = 'trajectories', 'trajectory'

    def __init__(
        self,
        interval: int = 1000,
        num_samples: int = 4,
        columns: int = 8,
        sampler: dict | None = None,
        seed: int = 0,
        max_cost: int = MAX_COST,
    ) -> None:
        check_count('num_samples', num_samples)
        check_count('columns', columns, 2)
        super().__init__(interval, max_cost)
        self.num_samples = num_samples
        self.columns = columns
        self.sampler = None if sampler is None else SAMPLERS.build(sampler)
        self.seeds = sample_seeds(num_samples, seed)

    def before_train(self, runner: Runner) -> None:
        """Raise an InputError before the first step if there is no sampler."""
        self.sampler_for(unwrapped(runner.model).sampler)

    def sheet(self, runner: Runner) -> np.ndarray:
        """See SheetHook."""
        model = unwrapped(runner.model)
        num_calls = model.nfe(self.sampler_for(model.sampler))
        number = self.affordable(runner, self.num_samples, num_calls)
        self.announce(runner, number, self.num_samples, num_calls)
        levels = self.trajectory(model, number)
        seeds = self.seeds[:number]
        classes = [''] * number
        if model.num_classes is not None:
            known = names_of(runner, model.num_classes)
            classes = [f'\nclass {known[index % model.num_classes]}' for index in range(number)]
        names = [name for seed, label in zip(seeds, classes) for name in (f'seed {seed}{label}', 'estimate')]
        rows = [[pair[part][index] for _, *pair in levels] for index in range(number) for part in (0, 1)]
        columns = [f'{sigma:.3g}' for sigma, _, _ in levels]
        return titled(named_grid(rows, names, columns), self.title(runner, num_calls))

    def sampler_for(self, sampler: Sampler | None) -> Sampler:
        """Return the sampler of the trajectories, for a model with `sampler`."""
        if self.sampler is not None:
            return self.sampler
        if sampler is None:
            raise InputError('the model has no sampler: set model.sampler, or the sampler of the TrajectoryHook.')
        if sampler.num_steps >= FEWEST:
            return sampler
        if isinstance(sampler, FlowMapSampler):
            return FlowMapSampler(self.columns, stochastic=sampler.stochastic, noise_scale=sampler.noise_scale)
        if not isinstance(sampler, MultistepSampler):
            return sampler
        lowest = sampler.sigma_min or SIGMA_MIN
        levels = karras_sigmas(self.columns + 1, lowest, sampler.first_sigma).tolist()[:-1]
        return MultistepSampler(sigmas=levels, sigma_min=sampler.sigma_min)

    def trajectory(self, model: ConsistencyModel, num_samples: int | None = None) -> list[tuple[float, Tensor, Tensor]]:
        """Return the levels of the grid: each sigma, with noisy and denoised images, (N, C, H, W), uint8.

        Args:
            model (ConsistencyModel): The model.
            num_samples (int, optional): N, for the first N seeds; None: all of them.
        """
        seeds = self.seeds[:num_samples]
        sampler = self.sampler_for(model.sampler)
        number = min(self.columns, sampler.num_steps)
        places = torch.linspace(0, sampler.num_steps - 1, number, dtype=torch.float32, device='cpu')
        shown = {round(place) for place in places.tolist()}
        levels = []

        def note(step: int, sigma: float, x: Tensor, x0: Tensor) -> None:
            if step in shown:
                levels.append((sigma, pixels(x / (1 + (sigma / model.denoiser.sigma_data) ** 2) ** 0.5), pixels(x0)))

        def pixels(images: Tensor) -> Tensor:
            return model.data_preprocessor.destruct(model.to_images(images)).cpu()

        classes = model.num_classes
        labels = None if classes is None else [index % classes for index in range(len(seeds))]
        model.sample(len(seeds), labels, SampleNoise(seeds), sampler=sampler, callback=note)
        return levels
