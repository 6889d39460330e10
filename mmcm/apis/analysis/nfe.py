"""Plot of a metric against the NFE (network evaluations per image), with a line for each method."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mmcm.apis.evaluation.scores import FORMAT
from mmcm.utils.bounded import read_json
from mmcm.utils.errors import InputError
from mmcm.visualization.figures import literal, new_figure, rendered

CLOSEST_TICKS = 1.2  # ratio of two numbers on the axis; closer ones would touch
MARKERS = 'osD^vP*Xh<>'  # so that lines differ without their colours, too


class Curve(NamedTuple):
    """Scores of one method.

    Attributes:
        name (str): Name in the legend.
        calls (list[int]): NFE, ascending; empty for images whose NFE is unknown.
        values (list[float]): The metric at each of these; a single one where there are none.
    """

    name: str
    calls: list[int]
    values: list[float]


def read_curves(
    paths: Sequence[Path], metric: str | None = None, names: Sequence[str] | None = None
) -> tuple[str, list[Curve]]:
    """Read files that `tools/test.py --out` wrote.

    Args:
        paths (Sequence[Path]): The files; each is a method, or more than one where it has several averages or kinds of
            samplers.
        metric (str, optional): `prefix/name`, or the field's name (FID); the first that all files have if None.
        names (Sequence[str], optional): What to call the files; their config's name if None.

    Returns:
        tuple[str, list[Curve]]: The name of the metric, and a curve for each method.

    Raises:
        InputError: If a file cannot be read, or has no such metric.
    """
    records = [read_record(path) for path in paths]
    if names is not None and len(names) != len(paths):
        raise InputError(f'a name for each file is needed: got {len(names)} for {len(paths)} files.')
    key = choose_metric(records, metric)
    curves = []
    for index, (path, record) in enumerate(zip(paths, records)):
        name = names[index] if names else Path(record.get('config') or path).stem
        curves += curves_of(name, record['scores'], key)
    title = next((record['titles'][key] for record in records if key in record.get('titles', {})), key)
    if not curves:
        raise InputError(f'no file has a finite value of {title}.')
    return title, curves


def read_record(path: Path) -> dict:
    """Return the content of one file."""
    try:
        record = read_json(path, pipes=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise InputError(f'{path} cannot be read as scores: {reason}. mmcm test --out writes them.') from error
    scores = record.get('scores') if isinstance(record, dict) else None
    whole = (
        isinstance(scores, list)
        and scores
        and all(
            isinstance(score, dict) and isinstance(score.get('metrics'), dict) and 'sampler' in score
            for score in scores
        )
    )
    if not whole or record.get('format') != FORMAT:
        raise InputError(f'{path} holds no scores of format {FORMAT}: write them anew with mmcm test --out.')
    return record


def choose_metric(records: Sequence[dict], metric: str | None) -> str:
    """Return the `prefix/name` that `metric` means, or the first that all files have."""
    keys = [list(dict.fromkeys(key for score in record['scores'] for key in score['metrics'])) for record in records]
    shared = [key for key in keys[0] if all(key in others for others in keys[1:])]
    titles = {title.lower(): key for record in records for key, title in record.get('titles', {}).items()}
    key = shared[0] if metric is None and shared else titles.get(str(metric).lower(), metric)
    if key is None or key not in shared:
        raise InputError(
            f'{metric or "a metric"} is not in all of the files: they share {", ".join(shared) or "none"}.'
        )
    return key


def curves_of(name: str, scores: Sequence[dict], key: str) -> list[Curve]:
    """Return the curves of one file: a line for each average and kind of sampler, and single values of files."""
    groups = defaultdict(list)
    for score in scores:
        value = score['metrics'].get(key)
        if value is not None:
            kind = (score.get('sampler_config') or {}).get('type', '').split('.')[-1]
            judged = score['sampler'] if score.get('network_calls') is None else None
            groups[score.get('ema'), kind, judged].append((score.get('network_calls'), value))
    # Only what differs is part of the name.
    emas, kinds = ({group[place] for group in groups if group[2] is None} for place in (0, 1))
    curves = []
    for (ema, kind, judged), points in groups.items():
        if judged is not None:
            curves += [Curve(Path(judged).name, [], [value]) for _, value in points]
            continue
        parts = [name, *[f'ema {ema}'] * (len(emas) > 1), *[kind] * (len(kinds) > 1)]
        calls, values = zip(*sorted(points))
        curves.append(Curve(', '.join(parts), list(calls), list(values)))
    return curves


def draw_curves(
    title: str, curves: Sequence[Curve], width: int = 900, height: int = 600, log: bool = False
) -> np.ndarray:
    """Return the plot of `curves` of the metric `title`, (H, W, 3), uint8 RGB; `log` is for its axis."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    figure = new_figure(width, height)
    axes = figure.subplots()
    for index, curve in enumerate(curves):
        colour, name = f'C{index % 10}', literal(curve.name)
        if curve.calls:
            marker = MARKERS[index % len(MARKERS)]
            axes.plot(curve.calls, curve.values, color=colour, marker=marker, label=name)
        else:
            axes.axhline(curve.values[0], color=colour, linestyle='--', label=name)
    ticks = sorted({calls for curve in curves for calls in curve.calls})
    axes.set_xscale('log', base=2)
    kept: list[int] = []
    for tick in ticks:
        if not kept or tick >= CLOSEST_TICKS * kept[-1]:
            kept.append(tick)
    axes.set_xticks(kept, map(str, kept))
    axes.xaxis.set_minor_locator(NullLocator())
    if log:
        axes.set_yscale('log')
        plain = FuncFormatter(lambda value, _: f'{value:g}')  # 0.5 and 20, not powers of ten
        axes.yaxis.set_major_formatter(plain)
        axes.yaxis.set_minor_formatter(plain)
        low, high = axes.get_ylim()
        if high < 10 * low:  # one power of ten is in sight, or none: round numbers mark the axis instead
            axes.yaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
            axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel('NFE (network evaluations per image)')
    axes.set_ylabel(literal(title))
    axes.grid(alpha=0.3)
    axes.legend()
    return rendered(figure)
