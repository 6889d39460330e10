"""Planning of trainings: network, batch, steps and the rest, by measurements on this machine."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from mmcm.apis.new.budget import in_words, plan_steps
from mmcm.apis.new.choose import (
    LEAST_BATCH,
    LEAST_STEPS,
    Data,
    Plan,
    Start,
    augments,
    choose_network,
    first_batch,
    network_from,
    step_operations,
)
from mmcm.apis.new.measure import SECONDS, Measurement, TooLarge, measure, memory_limit, thread_counts
from mmcm.apis.new.methods import STAGES, stages_of
from mmcm.apis.new.networks import Network, allowed, backbone_settings
from mmcm.apis.new.request import Request, Trained
from mmcm.apis.new.write_config import config_text, with_augmentation
from mmcm.utils.errors import InputError

FINE_TUNING_RATE = 1e-4  # of a model that is trained already
QUICK = 2.0  # seconds of steps to measure the throughput, before a network is chosen; and of others, at least,
MEASURED_SHARE = 1 / 60  # but this share of the budget
PAUSE_NFE_SHARE = 0.02  # of the time, for the network evaluations of a pause
VALIDATION_NFE = 9  # largest number of evaluations of a sample in a validation; see SampleValLoop
LEAST_SAMPLES, MOST_SAMPLES = 64, 500  # of a validation
LEAST_GRID, MOST_GRID = 100, 1000  # network evaluations of a grid

Report = Callable[[str], None]


class Planner:
    """Plan the trainings of a request, by measurements.

    Args:
        request (Request): What the user asks for.
        data (Data): The images.
        start (Start, optional): The model to start from.
        folder (Path): A folder for measurements.
        report (Callable): Called with a line before each measurement.
    """

    def __init__(self, request: Request, data: Data, start: Start | None, folder: Path, report: Report) -> None:
        self.request = request
        self.data = data
        self.start = start
        self.folder = folder
        self.report = report
        self.limit = memory_limit()
        self.num_measured = 0

    def trainings(self) -> list[Trained]:
        """Return the trainings, the first one planned from nothing, the others with its network and batch."""
        made: list[Trained] = []
        runs: list[Path] = []
        budget = f'{in_words(self.request.budget)} by {self.request.method}'
        for (stage, share), out in zip(stages_of(self.request.method, self.start is not None), self.request.outs):
            seconds = share * self.request.budget
            if not made:
                plan, found = self.first(stage, seconds)
            else:
                plan = replace(made[-1].plan, stage=stage, start=str(runs[-1]), partial=False)
                plan, found = self.fitted(plan, [] if plan.threads is None else [plan.threads])
            runs.append(self.folder / f'{self.num_measured}' / 'run')
            num_steps, interval = plan_steps(seconds, found.costs)
            plan = replace(plan, num_steps=num_steps, interval=interval, budget=budget)
            if made:
                plan = replace(plan, start=f'work_dirs/{made[-1].out.stem}')
            predicted = found.costs.seconds(num_steps, num_steps // interval)
            made.append(Trained(out, plan, predicted, found.memory, found.costs.step))
        return made

    def first(self, stage: str, seconds: float) -> tuple[Plan, Measurement]:
        """Choose network, batch and augmentation of the first training, which may take `seconds` in all."""
        batch_size = first_batch(self.data.num_training, torch.cuda.is_available())
        smallest = allowed(self.data.num_images)[0]
        plan = self.plan(stage, smallest, batch_size)
        quick = replace(plan, val_samples=LEAST_BATCH, grid_cost=LEAST_BATCH)
        quick, found = self.fitted(quick, seconds=QUICK)
        threads = None if found.threads is None else [found.threads]
        step = found.costs.step
        if self.start is None:
            throughput = quick.batch_size * step_operations(smallest, self.data) / step
            network = choose_network(self.data, throughput, quick.batch_size, seconds)
            step *= step_operations(network, self.data) / step_operations(smallest, self.data)
            plan = self.plan(stage, network, quick.batch_size)
            if network != smallest:  # wider layers may gain from more threads
                threads = None
        plan = replace(plan, batch_size=quick.batch_size)
        while seconds / step < LEAST_STEPS and plan.batch_size > LEAST_BATCH:
            plan, step = replace(plan, batch_size=plan.batch_size // 2), step / 2
        if STAGES[stage].augmented and augments(self.data.num_images, int(seconds / step), plan.batch_size):
            plan = replace(plan, augmented=True, denoiser=with_augmentation(plan.denoiser))
        # A step takes three times the operations of a network evaluation.
        affordable = PAUSE_NFE_SHARE * seconds / (step / plan.batch_size / 3)
        plan = replace(
            plan,
            val_samples=int(min(MOST_SAMPLES, max(LEAST_SAMPLES, affordable / VALIDATION_NFE))),
            grid_cost=int(min(MOST_GRID, max(LEAST_GRID, affordable / 2))),
        )
        plan, found = self.fitted(plan, threads)
        return replace(plan, threads=found.threads), found

    def plan(self, stage: str, network: Network, batch_size: int) -> Plan:
        """Return a plan for a network of the table, or for that of the model to start from."""
        if self.start is not None:
            denoiser = network_from(self.start, self.data)
            return Plan(
                stage,
                self.data,
                f'that of {self.start.name}',
                denoiser,
                batch_size,
                FINE_TUNING_RATE,
                start=self.start.name,
                partial=True,
            )
        classes = len(self.data.classes) or None
        backbone = backbone_settings(network, self.data.size, self.data.channels, classes)
        return Plan(stage, self.data, network.name, dict(backbone=backbone), batch_size, network.lr)

    def fitted(
        self, plan: Plan, threads: list[int] | None = None, seconds: float | None = None
    ) -> tuple[Plan, Measurement]:
        """Measure a plan, with smaller batches until its memory fits.

        Raises:
            InputError: If a batch of one image does not fit.
        """
        seconds = seconds or min(SECONDS, max(QUICK, MEASURED_SHARE * self.request.budget))
        while True:
            self.num_measured += 1
            self.report(f'measuring {plan.stage} with the network {plan.network!r} and batches of {plan.batch_size}')
            threads = thread_counts() if threads is None else threads
            try:
                place = self.folder / f'{self.num_measured}'
                return plan, measure(config_text(plan), place, self.limit, threads, seconds)
            except TooLarge as error:
                if plan.batch_size == 1:
                    raise InputError(
                        f'the network {plan.network!r} does not fit into memory with a single image, {error}: give a '
                        'smaller --size, or end other programs.'
                    ) from error
                plan = replace(plan, batch_size=plan.batch_size // 2)
