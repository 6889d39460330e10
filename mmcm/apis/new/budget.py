"""Time of a training: reading a budget, and the number of steps that it allows."""

import re
from dataclasses import dataclass

from mmcm.utils.errors import InputError

UNITS = dict(d=86400, h=3600, m=60, s=1)
BUDGET = re.compile(r'(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?')
LEAST_SECONDS = 30
MOST_SECONDS = 365 * 86400
MOST_PAUSES = 20  # pauses of a run: each one validates, saves a checkpoint and draws the grids
PAUSE_SHARE = 0.15  # largest share of the time for pauses, except for the last one


def parse_budget(text: str) -> int:
    """Return the seconds of a budget such as '30m', '8h' or '1h30m'.

    Raises:
        InputError: If it is no time from `LEAST_SECONDS` to `MOST_SECONDS`.
    """
    found = BUDGET.fullmatch(text.strip().lower())
    seconds = sum(int(number or 0) * unit for number, unit in zip(found.groups(), UNITS.values())) if found else 0
    if not LEAST_SECONDS <= seconds <= MOST_SECONDS:
        raise InputError(
            f"a budget has to be a time from {LEAST_SECONDS}s to {MOST_SECONDS // UNITS['d']}d, such as '30m', '8h' or "
            f"'1h30m', got {text!r}."
        )
    return seconds


def in_words(seconds: float) -> str:
    """Return a time in its two largest units, such as '1 h 30 min'."""
    seconds = round(seconds)
    if seconds < 120:
        return f'{seconds} s'
    if seconds < 2 * UNITS['h']:
        minutes, rest = divmod(seconds, UNITS['m'])
        return f'{minutes} min' + (f' {rest} s' if rest and minutes < 10 else '')
    if seconds >= 2 * UNITS['d']:
        hours = round(seconds / UNITS['h'])
        return f'{hours // 24} d' + (f' {hours % 24} h' if hours % 24 else '')
    minutes = round(seconds / UNITS['m'])
    return f'{minutes // 60} h' + (f' {minutes % 60} min' if minutes % 60 else '')


@dataclass(frozen=True)
class Costs:
    """Measured times of a training, in seconds.

    Attributes:
        start (float): From the start of the process to the first step, with the end of the process.
        step (float): A step, with its share of data loading.
        pause (float): A pause: validation, checkpoint and grids of samples.
        first_pause (float): What the first pause takes in addition, such as reading held-out images.
    """

    start: float
    step: float
    pause: float = 0.0
    first_pause: float = 0.0

    def seconds(self, num_steps: int, num_pauses: int) -> float:
        """Return the time of a training."""
        return self.start + self.first_pause + num_steps * self.step + num_pauses * self.pause


def plan_steps(seconds: float, costs: Costs) -> tuple[int, int]:
    """Return the steps of a training that takes `seconds`, and the interval of its pauses in steps.

    The number of steps is a multiple of the interval, so that the last pause is the end of the run.

    Raises:
        InputError: If there is no time for a step.
    """
    left = seconds - costs.start - costs.first_pause
    num_pauses = MOST_PAUSES
    if costs.pause > 0:
        num_pauses = min(MOST_PAUSES, max(1, int(PAUSE_SHARE * left / costs.pause)))
    interval = int((left - num_pauses * costs.pause) / costs.step / num_pauses)
    if interval < 1:
        num_pauses = 1
        interval = int((left - costs.pause) / costs.step)
    if interval < 1:
        least = in_words(costs.seconds(1, 1) + 1)
        raise InputError(
            f'the budget is too short: {in_words(seconds)} are for this training, and {least} are needed for one step. '
            'Give a longer --budget or a smaller --size.'
        )
    return num_pauses * interval, interval
