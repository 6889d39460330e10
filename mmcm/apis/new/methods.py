"""Methods of `mmcm new`: the one table from a method to its trainings, and the settings of each training.

A method of one more kind is one more row of `METHODS`, with its trainings in `STAGES`.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

PUBLISHED_START, PUBLISHED_SCALES = 10, 1280  # scales of iCT at the start and the end (Song & Dhariwal, 2024),
PUBLISHED_STEPS = 400000  # of a training of this length
SHORT_START, LEAST_SCALES = 4, 16  # of trainings of minutes, as in the recipe for the digits
SHORT_SCALES = 128  # scales at the end, up to which a training begins with SHORT_START
ECT_STAGES = 4  # the ratio 1 - r / t is halved three times, as in the recipe for the digits
LEAST_HUBER = 0.03  # c of the pseudo-Huber distance of short trainings, as in the recipes of minutes


class Stage(NamedTuple):
    """A training of a method.

    Attributes:
        objective (str): Base of its objective, in `configs/_base_/objectives`.
        start (str, optional): The setting of the model that names the run before: 'teacher' or 'init_from'.
        augmented (bool): Whether it trains on augmented images where they are few.
        settings (Callable): From the number of steps and the size of an image (C H W) to settings of the objective.
        does (str): What it does, for the head of its config.
    """

    objective: str
    start: str | None
    augmented: bool
    settings: Callable[[int, int], dict[str, Any]]
    does: str


class Method(NamedTuple):
    """A method.

    Attributes:
        stages (tuple[str, ...]): Its trainings, in their order.
        shares (tuple[float, ...]): Share of the time of each.
        summary (str): For the help.
    """

    stages: tuple[str, ...]
    shares: tuple[float, ...]
    summary: str


def no_settings(num_steps: int, num_values: int) -> dict[str, Any]:
    """Return no settings: the base has all."""
    return {}


def ect_settings(num_steps: int, num_values: int) -> dict[str, Any]:
    """Return the curriculum of ECT (Geng et al., 2025) in `ECT_STAGES` stages."""
    return dict(curriculum=dict(stage_length=max(1, num_steps // ECT_STAGES)))


def ict_settings(num_steps: int, num_values: int) -> dict[str, Any]:
    """Return the curriculum of iCT (Song & Dhariwal, 2024): fewer scales where there are fewer steps than published.

    N grows with the square root of the steps, as the number of scales in Song et al. (2023, Appendix C) does.
    """
    wanted = PUBLISHED_SCALES * math.sqrt(num_steps / PUBLISHED_STEPS)
    if wanted >= PUBLISHED_SCALES:
        return dict(curriculum=dict(total_steps=num_steps))
    end = max(LEAST_SCALES, 2 ** math.floor(math.log2(wanted)))
    start = PUBLISHED_START if end > SHORT_SCALES else SHORT_START
    settings: dict[str, Any] = dict(curriculum=dict(start_scales=start, end_scales=end, total_steps=num_steps))
    if 0.00054 * math.sqrt(num_values) < LEAST_HUBER:  # c = 0.00054 sqrt(d), their Eq. 8
        settings['distance'] = dict(type='PseudoHuber', factor=LEAST_HUBER)
    return settings


STAGES = {
    'edm': Stage('edm.py', None, True, no_settings, 'a diffusion model (EDM)'),
    'cd': Stage('cd_minutes.py', 'teacher', False, no_settings, 'consistency distillation of the diffusion model'),
    'ect': Stage('ect.py', 'init_from', True, ect_settings, 'easy consistency tuning of the diffusion model'),
    'ict': Stage('ict.py', None, True, ict_settings, 'improved consistency training'),
}
METHODS = {
    'edm+cd': Method(('edm', 'cd'), (0.55, 0.45), 'train a diffusion model, then distil it'),
    'ect': Method(('edm', 'ect'), (0.6, 0.4), 'train a diffusion model, then tune it; with --from, tune that model'),
    'ict': Method(('ict',), (1.0,), 'train on the data alone'),
}
DEFAULT = 'edm+cd'
DEFAULT_FROM = 'ect'  # with a model to start from


def stages_of(method: str, starts_from_model: bool) -> list[tuple[str, float]]:
    """Return the trainings of a method and their shares of the time.

    Tuning needs no diffusion model of its own where the user names a model to start from.
    """
    stages, shares = METHODS[method].stages, METHODS[method].shares
    if starts_from_model and STAGES[stages[-1]].start == 'init_from':
        return [(stages[-1], 1.0)]
    return list(zip(stages, shares))
