"""Log of a training run: what MMEngine's LocalVisBackend has written, resumed parts joined, as numbers and figures."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from mmcm.checkpoints.config_parser import parse_config, setting
from mmcm.checkpoints.work_directory import finished_goal
from mmcm.utils.bounded import Unreadable, parse_json, read_file, read_text
from mmcm.utils.errors import InputError, printable
from mmcm.visualization.figures import literal, new_figure, rendered

SCALARS = 'vis_data/scalars.json'  # MMEngine's, below a folder of a time stamp for each start of the run
STAMP = re.compile(r'\d{8}_\d{6}', re.ASCII)
MAX_ETA = 1e9  # seconds, thirty years
MAX_NAME = 200  # letters of the name of a number
LOG_BYTES = 2**28  # of one start: 100 000 logs of 20 numbers have 40 MB
LINE_BYTES = 2**16
CONFIG_BYTES = 2**20
BY_SIGMA = 'loss_by_sigma/'  # of LossBySigmaHook
CURRICULUM = ('num_scales', 'target_decay', 'ratio')
OF_TIME = ('time', 'data_time', 'memory', 'iter', 'step')
MAX_NAMES = 500  # of numbers: a run with every range of sigma, metric and average has fewer than 100
MAX_METRICS = 12  # on the figure
RECENT = 10  # logs whose times the ETA is computed from
PANEL = (620, 340)  # pixels


@dataclass(frozen=True)
class TrainingLog:
    """Numbers that a run has logged.

    Attributes:
        name (str): Name of the work directory.
        scalars (dict): For each name, the iterations and the values, two lists of one length.
        max_iters (int, optional): Iterations of the whole run, None if its config does not say.
        finished (bool): Whether the run has reached its end.
    """

    name: str
    scalars: dict[str, tuple[list[int], list[float]]] = field(default_factory=dict)
    max_iters: int | None = None
    finished: bool = False

    @property
    def iteration(self) -> int:
        """The last iteration that was logged."""
        return max((steps[-1] for steps, _ in self.scalars.values()), default=0)

    @property
    def seconds_per_iteration(self) -> float | None:
        """Mean time of the last iterations, None without any."""
        times = self.scalars.get('time', ([], []))[1][-RECENT:]
        return float(np.mean(times)) if times else None

    @property
    def eta(self) -> float | None:
        """Seconds until the end at this speed; 0 for a finished run, None if unknown."""
        if self.finished:
            return 0.0
        if self.max_iters is None or self.seconds_per_iteration is None:
            return None
        seconds = max(0, self.max_iters - self.iteration) * self.seconds_per_iteration
        return seconds if seconds < MAX_ETA else None  # nor where it is no number

    def numbers(self) -> dict[str, Any]:
        """Return the log as plain values for JSON; numbers that are not finite are None."""
        scalars = {
            name: dict(iterations=steps, values=[value if math.isfinite(value) else None for value in values])
            for name, (steps, values) in self.scalars.items()
        }
        return dict(
            name=self.name,
            iteration=self.iteration,
            max_iters=self.max_iters,
            finished=self.finished,
            seconds_per_iteration=self.seconds_per_iteration,
            eta=self.eta,
            scalars=scalars,
        )


def read_log(run: str | Path) -> TrainingLog:
    """Read the log in a work directory, or below it in the folder of one start.

    A resumed run has a log for each start. The iterations that a later start has computed again are its own.

    Raises:
        InputError: If there is no log, or it cannot be read.
    """
    run = Path(run).expanduser()
    folders = [run] if (run / SCALARS).is_file() else starts_of(run)
    if not folders:
        raise InputError(f'{run} holds no log of a training: name a work directory, in which MMEngine wrote {SCALARS}.')
    scalars: dict[str, tuple[list[int], list[float]]] = {}
    for folder in folders:
        records = read_records(folder / SCALARS)
        first = min((record['step'] for record in records), default=math.inf)
        for steps, values in scalars.values():
            while steps and steps[-1] >= first:
                steps.pop()
                values.pop()
        for record in records:
            validated = any('/' in name and not name.startswith(BY_SIGMA) for name in record)
            for name, value in record.items():
                if name not in ('iter', 'step') and not (validated and name in OF_TIME):
                    steps, values = scalars.setdefault(name, ([], []))
                    steps.append(record['step'])
                    values.append(value)
    scalars = {name: found for name, found in scalars.items() if found[0]}
    if len(scalars) > MAX_NAMES:
        raise InputError(
            f'{run} has {len(scalars)} names of numbers, more than {MAX_NAMES}: it is no log of a training.'
        )
    if not scalars:
        raise InputError(f'{run} has logged nothing yet: the first numbers come after default_hooks.logger.interval.')
    place = run if len(folders) > 1 or folders[0] != run else run.parent
    return TrainingLog(place.resolve().name, scalars, max_iters_of(folders[-1]), finished_goal(place) is not None)


def starts_of(run: Path) -> list[Path]:
    """Return the folders of the starts of a run, in order of time."""
    try:
        names = [path.name for path in run.iterdir() if STAMP.fullmatch(path.name)]
    except OSError:
        return []
    return [run / name for name in sorted(names) if (run / name / SCALARS).is_file()]


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log as {name: number}, each with its iteration `step`; a last, cut line is left out."""
    try:
        lines = read_file(path, LOG_BYTES).splitlines()
    except (OSError, Unreadable) as error:
        raise InputError(f'{path} cannot be read: {getattr(error, "strerror", None) or error}.') from error
    records = []
    for number, line in enumerate(lines, 1):
        try:
            record = parse_json(line, LINE_BYTES)
            if not isinstance(record, dict) or not is_count(record.get('step')):
                raise Unreadable('it has no step, an iteration')
            if any(len(name) > MAX_NAME for name in record):
                raise Unreadable(f'a name in it has more than {MAX_NAME} letters')
        except Unreadable as error:
            if number == len(lines):  # of a run that is being written, or was killed
                break
            raise InputError(f'{path}, line {number}: {error}; it is no log of MMEngine.') from error
        records.append({name: value for name, value in record.items() if is_number(value)})
    return records


def is_count(value: Any) -> bool:
    """Return whether `value` is a number of iterations."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def is_number(value: Any) -> bool:
    """Return whether `value` is a number that a figure has room for; NaN and infinity are numbers."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not 1e300 < abs(value) < math.inf


def max_iters_of(folder: Path) -> int | None:
    """Return `train_cfg.max_iters` of the config beside a log, which is parsed and not run; None if unknown."""
    path = folder / 'vis_data' / 'config.py'
    try:
        found = setting(parse_config(read_text(path, CONFIG_BYTES), path), 'train_cfg', 'max_iters')
    except (OSError, Unreadable, InputError):
        return None
    return found if is_count(found) else None


def described(log: TrainingLog) -> str:
    """Return the state of a run in one line."""
    parts = [f'iteration {log.iteration}' + ('' if log.max_iters is None else f' of {log.max_iters}')]
    for name, label in (('loss', 'loss'), ('lr', 'learning rate'), ('num_scales', 'N')):
        if name in log.scalars:
            values = log.scalars[name][1]
            before = f' ({values[0]:.4g} at first)' if len(values) > 1 and values[0] != values[-1] else ''
            parts.append(f'{label} {values[-1]:.4g}{before}')
    parts += [f'{name} {log.scalars[name][1][-1]:.4g}' for name in metrics_of(log)]
    if log.seconds_per_iteration is not None:
        parts.append(f'{log.seconds_per_iteration:.3g} s per iteration')
    if log.finished:
        parts.append('finished')
    elif log.eta is not None:
        parts.append(f'ETA {timedelta(seconds=round(log.eta))}')
    return printable(f'{log.name}: {", ".join(parts)}')


def metrics_of(log: TrainingLog) -> list[str]:
    """Return the names of the metrics of validations."""
    return [name for name in log.scalars if '/' in name and not name.startswith(BY_SIGMA)]


def panels_of(logs: Sequence[TrainingLog]) -> dict[str, list[str]]:
    """Return the names of the numbers in each panel; empty panels, and metrics after the first ones, are left out."""
    names = list(dict.fromkeys(name for log in logs for name in log.scalars))
    metrics = list(dict.fromkeys(name for log in logs for name in metrics_of(log)))[:MAX_METRICS]
    plain = [name for name in names if '/' not in name and name not in (*OF_TIME, *CURRICULUM, 'lr')]
    panels = {
        'loss': plain,
        'learning rate': [name for name in names if name == 'lr'],
        'N, number of noise levels': [name for name in names if name == 'num_scales'],
        'curriculum': [name for name in names if name in CURRICULUM and name != 'num_scales'],
        'loss by sigma': [name for name in names if name.startswith(BY_SIGMA)],
        **{f'validation: {name}': [name] for name in metrics},
        'seconds per iteration': [name for name in names if name in ('time', 'data_time')],
    }
    return {title: found for title, found in panels.items() if found}


def draw_logs(logs: Sequence[TrainingLog]) -> np.ndarray:
    """Return the figure of one or several runs, (H, W, 3), uint8 RGB: a panel for each kind of number.

    With several runs, the panel of the loss by sigma has their last values only.
    """
    panels = panels_of(logs)
    columns = min(2, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = new_figure(columns * PANEL[0], rows * PANEL[1])
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes, (panel, names) in zip(grid, panels.items()):
        title = names[0] if panel == 'curriculum' and len(names) == 1 else panel
        if title == 'loss by sigma' and len(logs) > 1:
            draw_by_sigma(axes, logs)
        else:
            draw_curves(axes, logs, names)
        if title.startswith('loss') and all(value > 0 for line in axes.lines for value in line.get_ydata()):
            axes.set_yscale('log')
        axes.set_title(literal(title))
        axes.grid(alpha=0.3)
        if len(axes.lines) > 1:
            axes.legend(fontsize='x-small', ncols=2)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    return rendered(figure)


def draw_curves(axes: Any, logs: Sequence[TrainingLog], names: Sequence[str]) -> None:
    """Draw numbers against the iteration, a line for each run and name."""
    for log in logs:
        for name in names:
            if name in log.scalars:
                steps, values = (np.asarray(part, np.float64) for part in log.scalars[name])
                finite = np.isfinite(values)
                label = name.removeprefix(BY_SIGMA)
                label = label if len(logs) == 1 else log.name if len(names) == 1 else f'{log.name}: {label}'
                marker = 'o' if finite.sum() == 1 else ''
                axes.plot(steps[finite], values[finite], label=literal(label), linewidth=1, marker=marker)
    axes.set_xlabel('iteration')


def draw_by_sigma(axes: Any, logs: Sequence[TrainingLog]) -> None:
    """Draw the last loss in each range of noise levels, a line for each run."""
    ranges = sorted(
        {name.removeprefix(BY_SIGMA) for log in logs for name in log.scalars if name.startswith(BY_SIGMA)},
        key=lambda name: lower_bound(name),
    )
    for log in logs:
        known = [
            (place, log.scalars[BY_SIGMA + name][1][-1])
            for place, name in enumerate(ranges)
            if BY_SIGMA + name in log.scalars and math.isfinite(log.scalars[BY_SIGMA + name][1][-1])
        ]
        if known:
            axes.plot(*zip(*known), label=literal(log.name), marker='o', linewidth=1)
    axes.set_xticks(range(len(ranges)), ranges, fontsize='x-small')
    axes.set_xlabel('sigma')


def lower_bound(name: str) -> float:
    """Return the lower bound of a range such as '0.1-0.3'; infinity for another name."""
    try:
        return float(name.split('-')[0])
    except ValueError:
        return math.inf
