"""Distributions of the two times of a flow map: t, where a step begins, and r <= t, where it ends.

Times are those of the linear path (`mmcm.noise.linear_path`). For some images both are equal: there a flow map is
the velocity of flow matching. All sample on the CPU, whatever the device that trains.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from mmcm.registry import TIME_DISTRIBUTIONS
from mmcm.utils.checks import check_choice, check_count, check_number, check_positive
from mmcm.utils.errors import InputError

TimeDistribution = Callable[[int], Tensor]  # number of images -> t and r, (num, 2), float32


@TIME_DISTRIBUTIONS.register_module()
class LogitNormalTimes:
    """Two times with logit t ~ N(mean, std^2), the later one first (Geng et al., 2025, arXiv 2505.13447, Section 4.3).

    Args:
        mean (float): Mean of the logit; -0.4 is MeanFlow's for ImageNet.
        std (float): Standard deviation of the logit.
        ratio (float): Share of images with r < t, in [0, 1]; the others have r = t.
        second_mean (float, optional): Mean of the logit of the second draw; `mean` if None.
        second_std (float, optional): Standard deviation of the logit of the second draw; `std` if None.
        equal (str): Which time the images with r = t have: the 'later' of both draws, or the 'first' draw, as in pMF.
        uniform_ratio (float): Share of images whose draws both are uniform on [0, 1] (pMF-H: 0.1).
    """

    def __init__(
        self,
        mean: float = -0.4,
        std: float = 1.0,
        ratio: float = 0.25,
        second_mean: float | None = None,
        second_std: float | None = None,
        equal: str = 'later',
        uniform_ratio: float = 0.0,
    ) -> None:
        self.mean = (mean, mean if second_mean is None else second_mean)
        self.std = (std, std if second_std is None else second_std)
        for value in self.mean:
            check_number('mean', value)
        for value in self.std:
            check_positive('std', value)
        check_choice('equal', equal, ('later', 'first'))
        self.ratio = check_ratio(ratio)
        self.equal = equal
        self.uniform_ratio = check_ratio(uniform_ratio, 'uniform_ratio')

    def __call__(self, num: int) -> Tensor:
        """Sample the times of `num` images: (num, 2), float32."""
        normal = torch.randn(num, 2, dtype=torch.float32, device='cpu')
        mean, std = (torch.tensor(values, dtype=torch.float32, device='cpu') for values in (self.mean, self.std))
        times = torch.sigmoid(normal * std + mean)
        if self.uniform_ratio:
            chosen, *uniform = torch.rand(3, num, dtype=torch.float32, device='cpu')
            times = torch.where((chosen < self.uniform_ratio)[:, None], torch.stack(uniform, dim=1), times)
        return ordered(times, self.ratio, self.equal)


@TIME_DISTRIBUTIONS.register_module()
class UniformTimes:
    """Two times that are uniform on [0, 1], the later one first.

    Args:
        ratio (float): Share of images with r < t, in [0, 1]; the others have r = t.
    """

    def __init__(self, ratio: float = 0.25) -> None:
        self.ratio = check_ratio(ratio)

    def __call__(self, num: int) -> Tensor:
        """Sample the times of `num` images: (num, 2), float32."""
        return ordered(torch.rand(num, 2, dtype=torch.float32, device='cpu'), self.ratio)


@TIME_DISTRIBUTIONS.register_module()
class DyadicTimes:
    """Steps of 1, 1/2, 1/4, ... between times that are multiples of them (Frans et al., 2024, arXiv 2410.12557, 3.3).

    The first images of the batch have the steps, each size equally often, from small to large. The others have r = t, a
    multiple of the smallest size.

    Args:
        num_levels (int): L; the smallest size is 2^-L, and steps are of 2^(1 - L) or more.
        ratio (float): Share of images with r < t, in [0, 1].
    """

    def __init__(self, num_levels: int = 7, ratio: float = 0.25) -> None:
        check_count('num_levels', num_levels, most=20)
        self.num_levels = num_levels
        self.ratio = check_ratio(ratio)

    def __call__(self, num: int) -> Tensor:
        """Sample the times of `num` images: (num, 2), float32."""
        num_steps = int(num * self.ratio)
        exponent = torch.full((num,), float(self.num_levels), dtype=torch.float32, device='cpu')
        places = torch.arange(num_steps, device='cpu')
        exponent[:num_steps] = (self.num_levels - 1 - places * self.num_levels // max(num_steps, 1)).float()
        size = 2**-exponent
        # t is one of size, 2 size, ..., 1.
        t = 1 - size * (torch.rand(num, dtype=torch.float32, device='cpu') / size).floor()
        return torch.stack([t, torch.where(torch.arange(num, device='cpu') < num_steps, t - size, t)], dim=1)


def ordered(times: Tensor, ratio: float, equal: str = 'later') -> Tensor:
    """Return `times` (num, 2) with the later one first.

    For a share 1 - `ratio` of the rows, both are the 'later' one, or the 'first' one as given.
    """
    t, r = times.amax(1), times.amin(1)
    both = dict(later=t, first=times[:, 0])[equal]
    chosen = torch.rand(len(times), dtype=torch.float32, device='cpu') < 1 - ratio
    return torch.stack([torch.where(chosen, both, t), torch.where(chosen, both, r)], dim=1)


def check_ratio(ratio: float, name: str = 'ratio') -> float:
    """Return a share of images; an InputError unless it is in [0, 1]."""
    check_number(name, ratio)
    if not 0 <= ratio <= 1:
        meaning = 'from 0 (all have r = t) to 1 (none has)' if name == 'ratio' else 'from 0 to 1'
        raise InputError(f'{name} is a share of the images, {meaning}, got {ratio}.')
    return ratio
