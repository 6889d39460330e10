"""Sources of noise for samplers.

`SampleNoise` has a generator for each sample, and is the default; `RequestNoise` takes generators of the caller;
`DeterministicNoise`, `PerSampleNoise` and `SharedNoise` are those of the reference program. All but `RequestNoise`
draw on the CPU and move the result, so that a seed gives the same image on every device, up to rounding between kinds
of processor: torch's normal noise differs by 2e-6 between them. The default dtype is float32, whatever torch's default
is: other dtypes make other numbers.
"""

import operator
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from mmcm.registry import NOISES
from mmcm.utils.checks import as_list, has_length
from mmcm.utils.errors import InputError

Device = torch.device | str | None


class Noise(Protocol):
    """A source of standard normal noise for the samples of one batch."""

    def randn(self, *size: int, dtype: torch.dtype = ..., device: Device = None) -> Tensor:
        """Return noise of shape `size`."""

    def randn_like(self, x: Tensor) -> Tensor:
        """Return noise with shape, dtype and device of `x`."""


class SampleNoise:
    """One generator per sample: the noise of a sample depends on its seed alone.

    It does not depend on the batch size, the order or the number of processes.

    Args:
        seeds (Sequence[int]): The seed of each sample of the batch.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self.generators = [seeded(seed) for seed in seeds]

    def randn(self, *size: int, dtype: torch.dtype = torch.float32, device: Device = None) -> Tensor:
        """Draw standard normal noise of shape `size`, whose first entry is the number of samples."""
        rows = self._rows(size[0])
        draws = [torch.randn(*size[1:], generator=generator, dtype=dtype, device='cpu') for generator in rows]
        return torch.stack(draws).to(device)

    def randn_like(self, x: Tensor) -> Tensor:
        """Draw standard normal noise with shape, dtype and device of `x`."""
        return self.randn(*x.shape, dtype=x.dtype, device=x.device)

    def randint(self, low: int, high: int, size: Sequence[int], device: Device = None) -> Tensor:
        """Draw integers in [low, high) of shape `size`, whose first entry is the number of samples."""
        rows, shape = self._rows(size[0]), tuple(size[1:])
        draws = [torch.randint(low, high, shape, generator=generator, device='cpu') for generator in rows]
        return torch.stack(draws).to(device)

    def _rows(self, num_samples: int) -> list[torch.Generator]:
        if num_samples != len(self.generators):
            raise InputError(
                f'noise for {num_samples} samples was asked of {len(self.generators)} seeds; give one seed per sample.'
            )
        return self.generators


class RequestNoise:
    """The noise of a whole request, drawn from generators of the caller; batches take their rows of it.

    So the images do not depend on how the request is cut into batches. One generator draws for all samples at once, a
    list has one for each sample; diffusers' pipelines do the same.

    Args:
        generator (torch.Generator | Sequence[torch.Generator]): The generators; noise is made on their device.
        num_samples (int): Number of samples of the request.

    Raises:
        InputError: If it is no generator, or a list of another length.
    """

    def __init__(self, generator: torch.Generator | Sequence[torch.Generator], num_samples: int) -> None:
        one = isinstance(generator, torch.Generator)
        if isinstance(generator, torch.Generator):
            self.generators = [generator]
        else:
            self.generators = list(generator) if isinstance(generator, (list, tuple)) else []
        if not self.generators or not all(isinstance(each, torch.Generator) for each in self.generators):
            raise InputError(f'generator has to be a torch.Generator, or a list of them, got {generator!r}.')
        if not one and len(self.generators) != num_samples:
            raise InputError(
                f'one generator per image is needed, or a single one for all: got a list of '
                f'{len(self.generators)} for {num_samples} images.'
            )
        self.one = one
        self.num_samples = num_samples
        self.draws: list[Tensor] = []

    @property
    def seed(self) -> int | list[int]:
        """Seed for random labels: one of the request, or one for each sample; see `forked_seed`."""
        seeds = [forked_seed(generator) for generator in self.generators]
        return seeds[0] if self.one else seeds

    def rows(self, part: slice) -> '_RowsOfRequest':
        """Return the noise of the samples `part`, from the first draw on."""
        return _RowsOfRequest(self, part)

    def draw(self, index: int, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return draw number `index` for all samples, each of `shape`."""
        while len(self.draws) <= index:
            rows = (self.num_samples,) if self.one else (1,)
            draws = [
                torch.randn(*rows, *shape, generator=generator, dtype=dtype, device=generator.device)
                for generator in self.generators
            ]
            self.draws.append(torch.cat(draws))
        return self.draws[index]


class _RowsOfRequest:
    def __init__(self, request: RequestNoise, part: slice) -> None:
        self.request, self.part, self.done = request, part, 0

    def randn(self, *size: int, dtype: torch.dtype = torch.float32, device: Device = None) -> Tensor:
        """Draw standard normal noise of shape `size`, whose first entry is the number of samples."""
        self.done += 1
        return self.request.draw(self.done - 1, size[1:], dtype)[self.part].to(device)

    def randn_like(self, x: Tensor) -> Tensor:
        """Draw standard normal noise with shape, dtype and device of `x`."""
        return self.randn(*x.shape, dtype=x.dtype, device=x.device)


class _DistributedNoise:
    """The rows of a batch among `num_samples`, dealt out to the processes in turn.

    Args:
        num_samples (int): Number of samples of the whole run.
        seed (int): Seed of the run.
        rank (int): Index of this process.
        world_size (int): Number of processes.
    """

    def __init__(self, num_samples: int, seed: int = 0, rank: int = 0, world_size: int = 1) -> None:
        if num_samples < 1:
            raise InputError(f'num_samples has to be at least 1, got {num_samples}.')
        self.num_samples = num_samples
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.done_samples = 0

    def set_done_samples(self, done_samples: int) -> None:
        """Say how many samples of the run, over all processes, are finished."""
        self.done_samples = done_samples

    def _indices(self, batch_size: int) -> Tensor:
        first = self.done_samples + self.rank
        indices = torch.arange(first, first + self.world_size * batch_size, self.world_size, device='cpu')
        return indices.clamp(max=self.num_samples - 1)  # a last batch may reach beyond the end


@NOISES.register_module()
class DeterministicNoise(_DistributedNoise):
    """One generator for the whole run; each draw is made for all samples and the batch's rows are taken from it.

    The reference's `determ`. A sample depends on `num_samples` and on how many draws came before.
    """

    def __init__(self, num_samples: int, seed: int = 0, rank: int = 0, world_size: int = 1) -> None:
        super().__init__(num_samples, seed, rank, world_size)
        self.generator = seeded(seed)

    def set_done_samples(self, done_samples: int) -> None:
        """Say how many samples are finished, and start the stream of noise anew, as the reference does."""
        super().set_done_samples(done_samples)
        self.generator.manual_seed(self.seed)

    def randn(self, *size: int, dtype: torch.dtype = torch.float32, device: Device = None) -> Tensor:
        """Draw standard normal noise of shape `size`, whose first entry is the number of samples."""
        draws = torch.randn(self.num_samples, *size[1:], generator=self.generator, dtype=dtype, device='cpu')
        return draws[self._indices(size[0])].to(device)

    def randn_like(self, x: Tensor) -> Tensor:
        """Draw standard normal noise with shape, dtype and device of `x`."""
        return self.randn(*x.shape, dtype=x.dtype, device=x.device)

    def randint(self, low: int, high: int, size: Sequence[int], device: Device = None) -> Tensor:
        """Draw integers in [low, high) of shape `size`, whose first entry is the number of samples."""
        draws = torch.randint(low, high, (self.num_samples, *size[1:]), generator=self.generator, device='cpu')
        return draws[self._indices(size[0])].to(device)


@NOISES.register_module()
class PerSampleNoise(_DistributedNoise, SampleNoise):
    """A generator for each sample of the run; sample i of n has the seed i + n * `seed`.

    The reference's `determ-indiv`, and the rule by which everything here derives the samples' seeds from a run's.
    """

    def __init__(self, num_samples: int, seed: int = 0, rank: int = 0, world_size: int = 1) -> None:
        _DistributedNoise.__init__(self, num_samples, seed, rank, world_size)
        SampleNoise.__init__(self, sample_seeds(num_samples, seed))

    def _rows(self, num_samples: int) -> list[torch.Generator]:
        return [self.generators[index] for index in self._indices(num_samples).tolist()]


@NOISES.register_module()
class SharedNoise:
    """Torch's global generator, the reference's `dummy`: whatever comes next."""

    def randn(self, *size: int, dtype: torch.dtype = torch.float32, device: Device = None) -> Tensor:
        """Draw standard normal noise of shape `size`."""
        return torch.randn(*size, dtype=dtype, device='cpu').to(device)

    def randn_like(self, x: Tensor) -> Tensor:
        """Draw standard normal noise with shape, dtype and device of `x`."""
        return self.randn(*x.shape, dtype=x.dtype, device=x.device)

    def randint(self, low: int, high: int, size: Sequence[int], device: Device = None) -> Tensor:
        """Draw integers in [low, high) of shape `size`."""
        return torch.randint(low, high, tuple(size), device='cpu').to(device)


def seeded(seed: int) -> torch.Generator:
    """Return a new generator on the CPU with `seed`; an InputError if it is no integer of 64 bits."""
    try:
        return torch.Generator('cpu').manual_seed(operator.index(seed))
    except (RuntimeError, ValueError, OverflowError, TypeError) as error:
        raise InputError(f'a seed has to be an integer of 64 bits, got {seed!r}.') from error


def forked_seed(generator: torch.Generator) -> int:
    """Return a seed that follows from the state of `generator`, from which nothing is drawn.

    So the noise of a request is the same whether its labels are drawn or given.
    """
    fork = torch.Generator(generator.device)
    fork.set_state(generator.get_state())
    return int(torch.randint(2**62, (), dtype=torch.int64, generator=fork, device=fork.device))


def as_seed(seed: Any) -> int | list[int]:
    """Return a seed, or the list of the seeds of several samples, as plain integers.

    Args:
        seed (int | Sequence[int] | ndarray | Tensor): An integer of Python, NumPy or torch, or several.

    Raises:
        InputError: If one is no integer of 64 bits.
    """
    if has_length(seed):
        seeds = as_list('seed', seed)
        for each in seeds:
            seeded(each)
        return [operator.index(each) for each in seeds]
    seeded(seed)
    return operator.index(seed)


def sample_seeds(num_samples: int, seed: int | Sequence[int] | Tensor) -> Sequence[int]:
    """Return the seed of each of `num_samples` samples.

    Args:
        num_samples (int): Number of samples.
        seed (int | Sequence[int] | Tensor): Seed of the run, from which theirs follow, or these seeds themselves.

    Raises:
        InputError: If they are no integers of 64 bits, or not one for each sample.
    """
    seed = as_seed(seed)
    if not isinstance(seed, list):
        seeds = range(num_samples * seed, num_samples * (seed + 1))
        for end in (*seeds[:1], *seeds[-1:]):
            seeded(end)  # an InputError where it is too large
        return seeds
    if len(seed) != num_samples:
        raise InputError(f'one seed per image is needed, or one for all: got {len(seed)} for {num_samples} images.')
    return seed
