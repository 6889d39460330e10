"""Post-hoc EMA: any power-function average from those in a run's checkpoints (Karras et al. 2023, arXiv 2312.02696).

An average over a training is a weighted mean of the weights of all its steps. The weights of a power-function average
at time t are its profile p(tau), proportional to tau^gamma for tau <= t, with integral 1. A sum of saved averages whose
profiles add up to another profile is the average with that profile, whatever the training was.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmcm.models.ema_decays import exponent_of


class Profile(NamedTuple):
    """The profile of a power-function average: `time` that it ends at, and `sigma_rel`, its relative deviation."""

    time: float
    sigma_rel: float


class Fit(NamedTuple):
    """A profile as a sum of others.

    Attributes:
        coefficients (np.ndarray): One for each of them.
        error (float): Norm of the difference, relative to the norm of the profile; 0 where it is one of them.
    """

    coefficients: np.ndarray
    error: float


def inner_products(left: Sequence[Profile], right: Sequence[Profile]) -> np.ndarray:
    """Return the integrals of the products of profiles, (len(left), len(right)), float64 (ibid., App. C, Eq. 40)."""
    time_a, gamma_a = _columns(left)
    time_b, gamma_b = _columns(right)
    time_a, gamma_a = time_a[:, None], gamma_a[:, None]
    # (t_a / t_b)^gamma_b where t_a is the earlier one, else (t_b / t_a)^gamma_a.
    ratio = np.minimum(time_a, time_b) / np.maximum(time_a, time_b)
    overlap = ratio ** np.where(time_a < time_b, gamma_b, gamma_a)
    return (gamma_a + 1) * (gamma_b + 1) * overlap / ((gamma_a + gamma_b + 1) * np.maximum(time_a, time_b))


def fit_profile(saved: Sequence[Profile], wanted: Profile) -> Fit:
    """Return the coefficients of `saved` whose sum is nearest to `wanted` (ibid., Alg. 3).

    The least-squares solution has sum 1 up to its error; it is scaled to sum 1 exactly, so that constant weights stay.
    """
    products = inner_products(saved, saved)
    target = inner_products(saved, [wanted])[:, 0]
    coefficients = np.linalg.lstsq(products, target, rcond=None)[0]
    coefficients /= coefficients.sum()
    square = inner_products([wanted], [wanted])[0, 0]
    residual = square - 2 * coefficients @ target + coefficients @ products @ coefficients
    return Fit(coefficients, float(np.sqrt(max(residual, 0.0) / square)))


def _columns(profiles: Sequence[Profile]) -> tuple[np.ndarray, np.ndarray]:
    times = np.array([profile.time for profile in profiles], dtype=np.float64)
    return times, np.array([exponent_of(profile.sigma_rel) for profile in profiles])
