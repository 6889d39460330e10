"""Scores: the metrics of one set of images, and tables and files of many.

The file is JSON, written whole, with

- `format`: 1, the version of this description;
- `config`, `checkpoint`: the arguments; null if there was none;
- `requests`: the requests of all scores: `num_samples`, `seed` (image i has the seed i + num_samples * seed), `labels`
  (the rule, or the labels), and all other settings in the config; null if no images were generated;
- `evaluator`: the config of the metrics, with extractors and references;
- `fingerprints`: of the `extractor` and the `reference` of each metric, by its prefix, if they have one;
- `titles`: the field's names of metrics, such as FID, if they have one;
- `versions` of mmcm, torch, mmengine, numpy and Python; `device`; `processes`, their number;
- `scores`: a list with, for each set of images,
    - `sampler`: the name of the sampler, or the path of the measured file,
    - `sampler_config`: its settings, `network_calls` (NFE) per image; null for files,
    - `ema`: the decay of the average, 'online', or null if the checkpoint has one set of weights,
    - `weights`: SHA-256 of names and values of the weights; null for files,
    - `fingerprint`: of the measured images; null for generated ones,
    - `num_samples`, `seconds` of sampling and measuring,
    - `metrics`: from `prefix/name` to the value, in full precision; null if it is not finite.
"""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mmengine
import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import get_world_size

from mmcm.utils.provenance import versions

FORMAT = 1


@dataclass(frozen=True)
class Score:
    """Metrics of one set of images.

    Attributes:
        sampler (str): The name of the sampler, or the path of the measured file.
        metrics (dict[str, float]): Values by `prefix/name`.
        titles (dict[str, str]): The field's names of some of them, such as FID.
        fingerprints (dict[str, dict[str, str]]): Of the extractor and the reference of each metric, by its prefix.
        num_samples (int): Number of images.
        seconds (float): Time of sampling and measuring.
        sampler_config (dict, optional): Config of the sampler; None for files.
        network_calls (int, optional): NFE per image; None for files.
        ema (str, optional): The decay of the average, or 'online'; None if there is one set of weights only.
        weights (str, optional): Digest of the weights; None for files.
        fingerprint (str, optional): Of the measured images; None for generated ones.
    """

    sampler: str
    metrics: dict[str, float]
    titles: dict[str, str]
    fingerprints: dict[str, dict[str, str]]
    num_samples: int
    seconds: float
    sampler_config: dict | None = None
    network_calls: int | None = None
    ema: str | None = None
    weights: str | None = None
    fingerprint: str | None = None


def table(scores: Sequence[Score]) -> list[list[str]]:
    """Return the rows of a table of `scores`, the first one its header."""
    titles = {key: score.titles.get(key, key) for score in scores for key in score.metrics}
    with_ema = any(score.ema for score in scores)
    sampled = any(score.network_calls for score in scores)
    header = [
        'sampler' if sampled else 'samples',
        *['ema'] * with_ema,
        *['NFE'] * sampled,
        *titles.values(),
        'images',
        'seconds',
        'images/s',
    ]
    rows = [header]
    for score in scores:
        values = [f'{score.metrics[key]:.4f}' if key in score.metrics else '-' for key in titles]
        rows.append(
            [
                score.sampler,
                *[score.ema or '-'] * with_ema,
                *[str(score.network_calls)] * sampled,
                *values,
                str(score.num_samples),
                f'{score.seconds:.1f}',
                f'{score.num_samples / score.seconds:.4g}',
            ]
        )
    return rows


def show(rows: Sequence[Sequence[str]]) -> None:
    """Print a table to stdout: with lines on a terminal, else as plain text with columns two blanks apart."""
    if sys.stdout.isatty():
        from rich.console import Console  # imported only for terminals
        from rich.table import Table

        grid = Table(rows[0][0], show_edge=False)
        for name in rows[0][1:]:
            grid.add_column(name, justify='right')
        for row in rows[1:]:
            grid.add_row(*row)
        Console().print(grid, markup=False)
        return
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))]
        print('  '.join(cells).rstrip())


def record(scores: Sequence[Score], config: Config, checkpoint: str | None = None, requests: Any = None) -> bytes:
    """Return the content of a file of `scores`, which the docstring of this module describes."""
    shared = ('titles', 'fingerprints')  # written once for all scores
    entries = [{name: value for name, value in vars(score).items() if name not in shared} for score in scores]
    content = dict(
        format=FORMAT,
        config=str(config.filename),
        checkpoint=checkpoint,
        requests=requests,
        evaluator=plain(config.test_evaluator),
        fingerprints={prefix: parts for score in scores for prefix, parts in score.fingerprints.items()},
        titles={key: title for score in scores for key, title in score.titles.items()},
        versions=dict(versions(), mmengine=mmengine.__version__),
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu',
        processes=get_world_size(),
        scores=plain(entries),
    )
    return (json.dumps(content, indent=2, allow_nan=False) + '\n').encode()


def plain(value: Any) -> Any:
    """Return `value` in the types of JSON: lists for tuples, None for numbers that are not finite, else strings."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)
