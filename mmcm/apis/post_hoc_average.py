"""Post-hoc EMA of a run: any power-function average, from those in its checkpoints."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmcm.apis.publish import check_out, network_of, write_published
from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.checkpoints.formats.training_checkpoint import average_settings, kept_averages, own_weights
from mmcm.checkpoints.weights import check_numbers, check_weights
from mmcm.checkpoints.work_directory import checkpoints_in
from mmcm.models.ema_decays import check_sigma_rel
from mmcm.models.post_hoc_ema import Profile, fit_profile
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.finite import in_dtype
from mmcm.utils.fixed_precision import float32_keys

# A term with a smaller coefficient changes no digit of a float32 sum.
SMALLEST = 1e-9
EXAMPLE = 'model.ema_decays=(dict(sigma_rel=0.05), dict(sigma_rel=0.1))'


class SavedAverage(NamedTuple):
    """A power-function average in a training checkpoint."""

    checkpoint: Checkpoint
    name: str
    profile: Profile


class PostHocAverage(NamedTuple):
    """What `average_run` has written.

    Attributes:
        iteration (int): Where the average ends.
        num_averages (int): How many saved averages it is a sum of.
        error (float): How far its profile is off, relative to the norm of the profile; see `fit_profile`.
    """

    iteration: int
    num_averages: int
    error: float


def average_run(
    run: str | Path, sigma_rel: float, out: Path, iteration: int | None = None, dtype: torch.dtype = torch.float32
) -> PostHocAverage:
    """Write the power-function average with `sigma_rel` of a run to a safetensors file, as `publish` does.

    Args:
        run (str | Path): Work directory of a run that keeps power-function averages.
        sigma_rel (float): Deviation of the profile, relative to the length of the training, less than 12^(-1/2).
        out (Path): File to write, ending in .safetensors.
        iteration (int, optional): Where the average ends; by default at the last checkpoint.
        dtype (torch.dtype): Precision of the file.

    Raises:
        InputError: If the run has no checkpoint with such averages, or none at or before `iteration`.
    """
    sigma_rel = check_sigma_rel('sigma_rel', sigma_rel)
    check_out(out)
    saved = saved_averages(run, iteration)
    last = int(max(average.profile.time for average in saved))
    if iteration is not None and iteration > last:
        raise InputError(f'the last checkpoint in {run} is of iteration {last}: an average cannot end at {iteration}.')
    wanted = Profile(last if iteration is None else iteration, sigma_rel)
    fit = fit_profile([average.profile for average in saved], wanted)
    terms = [term for term in zip(saved, fit.coefficients.tolist()) if abs(term[1]) > SMALLEST]
    final = next(average.checkpoint for average in saved if average.profile.time == last)
    weights = _sum(terms, final)
    network = network_of(final)
    kept = set() if network is None else float32_keys(network)
    write_published(out, in_dtype(weights, dtype, kept), final, f'sigma_rel={sigma_rel:g}')
    return PostHocAverage(int(wanted.time), len(terms), fit.error)


def saved_averages(run: str | Path, iteration: int | None = None) -> list[SavedAverage]:
    """Return the power-function averages in the checkpoints of `run` up to `iteration`, the earliest first."""
    if iteration is not None:
        check_count('iteration', iteration)
    paths = checkpoints_in(run)
    if not paths:
        raise InputError(f'{run} holds no checkpoints of a run (iter_*.pth): name a work directory.')
    saved = [average for path in reversed(paths) for average in _averages_in(path)]
    if not saved:
        raise InputError(
            f'no checkpoint in {run} has a power-function average: train with two of them, such as {EXAMPLE}, and keep '
            'several checkpoints (default_hooks.checkpoint.max_keep_ckpts).'
        )
    within = [average for average in saved if iteration is None or average.profile.time <= iteration]
    if not within:
        first = int(min(average.profile.time for average in saved))
        raise InputError(f'the first checkpoint in {run} with averages is of iteration {first}, after {iteration}.')
    return within


def _averages_in(path: Path) -> Iterator[SavedAverage]:
    """Yield the power-function averages in a training checkpoint; its tensors are not read."""
    checkpoint = Checkpoint.open(path)
    weights = own_weights(checkpoint.content)
    time: Any = checkpoint.meta.get('iter')
    checkpoint.release()
    for name in [] if weights is None else kept_averages(weights):
        sigma_rel = average_settings(name).get('sigma_rel')
        if sigma_rel is not None:
            check_count(f"{path}: meta['iter']", time)
            yield SavedAverage(checkpoint, name, Profile(time, check_sigma_rel(f'{path}: sigma_rel', sigma_rel)))


def _sum(terms: list[tuple[SavedAverage, float]], final: Checkpoint) -> dict[str, Tensor]:
    """Return the sum of averages with their coefficients in float32; what is no float comes from the final one."""
    network = network_of(final)
    total: dict[str, Tensor] = {}
    for average, coefficient in terms:
        weights = average.checkpoint.weights(average.name, network).weights
        if network is None:
            check_numbers(weights, average.checkpoint.path)
        else:
            check_weights(network, weights, average.checkpoint.path)
        for key, value in weights.items():
            if not value.is_floating_point():
                total[key] = value.clone()
            elif key in total:
                total[key].add_(value, alpha=coefficient)
            else:
                total[key] = value.float() * coefficient
        average.checkpoint.release()
    return total
