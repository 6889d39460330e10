"""Distributions of noise levels in training, of two kinds: over sigma, and over the indices of a schedule.

A sigma distribution samples sigma itself. An index distribution samples the index n of the interval
[sigma_n, sigma_n+1] on a schedule of `num_scales` levels, which descends from sigma_max at index 0, as in the released
code. Both sample on the CPU, whatever the device that trains.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mmcm.noise.schedules import RHO, SIGMA_MAX, SIGMA_MIN, check_range, karras_sigma
from mmcm.registry import INDEX_DISTRIBUTIONS, SIGMA_DISTRIBUTIONS
from mmcm.utils.checks import check_positive
from mmcm.utils.errors import InputError

SigmaDistribution = Callable[[int], Tensor]  # number of images -> their sigma, (num,), float32
IndexDistribution = Callable[[Tensor, int], Tensor]  # schedule (num_scales,), number -> indices, (num,), int64


@SIGMA_DISTRIBUTIONS.register_module()
class LognormalLevels:
    """log sigma ~ N(mean, std^2): the distribution that EDM is trained with (Karras et al., 2022, Table 1)."""

    def __init__(self, mean: float = -1.2, std: float = 1.2) -> None:
        self.mean = mean
        self.std = std

    def __call__(self, num: int) -> Tensor:
        """Sample `num` noise levels: (num,), float32."""
        return torch.exp(self.mean + self.std * torch.randn(num, dtype=torch.float32, device='cpu'))


@SIGMA_DISTRIBUTIONS.register_module()
class UniformLevels:
    """Uniform on the schedule of Karras et al. (2022, Eq. 5): each stretch of a sampler's steps equally often.

    Args:
        sigma_min (float): Smallest noise level, in the units of the data.
        sigma_max (float): Largest noise level.
        rho (float): How strongly the levels crowd near `sigma_min`.
    """

    def __init__(self, sigma_min: float = SIGMA_MIN, sigma_max: float = SIGMA_MAX, rho: float = RHO) -> None:
        check_range(sigma_min, sigma_max, rho)
        self.range = (sigma_min, sigma_max, rho)

    def __call__(self, num: int) -> Tensor:
        """Sample `num` noise levels: (num,), float32."""
        return karras_sigma(torch.rand(num, dtype=torch.float32, device='cpu'), *self.range)


@SIGMA_DISTRIBUTIONS.register_module()
class TruncatedLogStudentLevels:
    """(log sigma - mean) / std ~ Student's t, between two levels: those of TCM (Lee et al., 2024, arXiv 2410.14895).

    With so few degrees of freedom as in the paper, 0.01, it is nearly log-uniform, with more weight on small levels.

    Args:
        df (float): Degrees of freedom, positive.
        mean (float): Median of log sigma before it is truncated.
        std (float): Scale of log sigma, positive.
        sigma_min (float): Smallest noise level, in the units of the data.
        sigma_max (float): Largest noise level.
    """

    CELLS = 2**17  # the trapezoidal rule and the linear interpolation are then exact to 1e-9 in log sigma

    def __init__(
        self,
        df: float = 0.01,
        mean: float = 0.0,
        std: float = 0.2,
        sigma_min: float = 1.0,
        sigma_max: float = SIGMA_MAX,
    ) -> None:
        check_range(sigma_min, sigma_max, RHO)
        for name, value in (('df', df), ('std', std)):
            check_positive(name, value)
        self.df, self.mean, self.std = df, mean, std
        self.sigma_min, self.sigma_max = sigma_min, sigma_max
        # In u, with t = sqrt(df) sinh u, the density (1 + t^2 / df)^(-(df + 1) / 2) dt is, up to a factor, cosh(u)^-df
        # du: smooth, whatever df.
        first, last = (math.asinh((math.log(sigma) - mean) / (std * math.sqrt(df))) for sigma in (sigma_min, sigma_max))
        self.u = torch.linspace(first, last, self.CELLS + 1, dtype=torch.float64, device='cpu')
        density = self.u.cosh() ** -df
        mass = torch.cat([self.u.new_zeros(1), torch.cumsum(density[1:] + density[:-1], 0)])
        self.cumulative = mass / mass[-1]

    def quantiles(self, q: Tensor) -> Tensor:
        """Return log sigma at the quantiles `q` (N,), in [0, 1]: (N,), float64."""
        q = q.double()
        right = torch.searchsorted(self.cumulative, q).clamp(1, self.CELLS)
        low, high = self.cumulative[right - 1], self.cumulative[right]
        u = torch.lerp(self.u[right - 1], self.u[right], (q - low) / (high - low))
        return self.mean + self.std * math.sqrt(self.df) * u.sinh()

    def __call__(self, num: int) -> Tensor:
        """Sample `num` noise levels: (num,), float32."""
        q = torch.rand(num, dtype=torch.float64, device='cpu')
        return self.quantiles(q).exp().float().clamp(self.sigma_min, self.sigma_max)


@INDEX_DISTRIBUTIONS.register_module()
class UniformIndices:
    """Each of the num_scales - 1 intervals equally often (Song et al., 2023, Algorithms 2 and 3)."""

    def __call__(self, sigmas: Tensor, num: int) -> Tensor:
        """Sample `num` indices in [0, num_scales - 2] for the schedule `sigmas` (num_scales,): (num,), int64."""
        return torch.randint(len(sigmas) - 1, (num,), device='cpu')


@INDEX_DISTRIBUTIONS.register_module()
class LognormalIndices:
    """Intervals in proportion to the mass that a lognormal distribution has in them.

    The discretised lognormal of Song & Dhariwal (2023, arXiv 2310.14189), whose mean is -1.1 and deviation 2.0.

    Args:
        mean (float): Mean of log sigma.
        std (float): Standard deviation of log sigma.
        uniform (float): Ratio of indices that are sampled uniformly instead, in [0, 1]; it keeps the ends trained.
    """

    def __init__(self, mean: float = -1.1, std: float = 2.0, uniform: float = 0.0) -> None:
        if not (std > 0 and 0 <= uniform <= 1):
            raise InputError(f'std has to be positive and uniform in [0, 1], got {std} and {uniform}.')
        self.mean = mean
        self.std = std
        self.uniform = uniform

    def probabilities(self, sigmas: Tensor) -> Tensor:
        """Return the probability of each interval of the descending schedule `sigmas` (num_scales,), float64."""
        cumulative = torch.erf((sigmas.double().log() - self.mean) / (math.sqrt(2) * self.std))
        mass = cumulative[:-1] - cumulative[1:]
        return (1 - self.uniform) * mass / mass.sum() + self.uniform / len(mass)

    def __call__(self, sigmas: Tensor, num: int) -> Tensor:
        """Sample `num` indices in [0, num_scales - 2] for the schedule `sigmas` (num_scales,): (num,), int64."""
        return torch.multinomial(self.probabilities(sigmas), num, replacement=True)
