"""Precisions: the default dtype for building networks, the fastest dtype of a device, and which ones CPUs emulate."""

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache

import torch

SLOW = 2.0  # times as long as in float32, above which a warning is printed
FAST = 0.7  # of the time in float32, below which 'auto' takes a precision that no instruction set promises
SIZES = (64, 256)  # of the square matrices whose product is timed; the larger ones where these are quick
LARGE = 20_000_000  # weights of the smallest network that 'auto' computes in a lower precision than float32
SECONDS = 0.1  # for the products in one size and precision; the larger size is skipped if one takes longer
REPEATS = 4  # at most; the fastest counts: the first includes set-up, and other programs interfere
# Queries of oneDNN, which computes torch's products on CPUs, for the instruction sets that it may use.
SUPPORT = {torch.bfloat16: '_is_mkldnn_bf16_supported', torch.float16: '_is_mkldnn_fp16_supported'}
INSTRUCTIONS = {  # of x86 processors, under torch's names for their presence
    torch.bfloat16: ('_is_avx512_bf16_supported', '_is_amx_tile_supported'),
    torch.float16: ('_is_amx_fp16_supported',),
}


@contextmanager
def standard_defaults() -> Iterator[None]:
    """Make float32 and the CPU torch's defaults within the block.

    Networks are built in it: their parameters have torch's default dtype, which a caller may have changed.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device('cpu'):
            yield
    finally:
        torch.set_default_dtype(before)


def is_native(dtype: torch.dtype) -> bool | None:
    """Return whether the CPU has instructions for products in `dtype`; None if neither torch nor oneDNN reports it."""
    if dtype not in SUPPORT:
        return True
    supported = _answer(torch.ops.mkldnn, SUPPORT[dtype]) if torch.backends.mkldnn.is_available() else None
    if supported and any(_answer(torch.cpu, name) for name in INSTRUCTIONS[dtype]):
        return True
    # oneDNN also answers yes if it composes bfloat16 from AVX-512, and for processors that are not x86.
    return None if supported or supported is None else False


def slowdown(dtype: torch.dtype) -> float:
    """Return the time of a matrix product on the CPU in `dtype`, relative to float32; measured once."""
    return _measured(dtype, torch.get_num_threads())


def is_emulated(dtype: torch.dtype, device: torch.device) -> bool:
    """Return whether `device` emulates products in `dtype` and is therefore much slower than in float32.

    Without known instructions for `dtype`, a small product is timed.
    """
    return device.type == 'cpu' and is_native(dtype) is not True and slowdown(dtype) > SLOW


def fastest_dtype(device: torch.device) -> torch.dtype:
    """Return the precision in which `device` computes large products fastest, of those that networks work in.

    On GPUs this is bfloat16 since Ampere (compute capability 8), float16 on Volta and Turing, whose tensor cores have
    no bfloat16, and else float32. On CPUs it is bfloat16 with AVX-512 BF16 or AMX; where these cannot be asked for, a
    small product is timed.
    """
    if device.type == 'cuda':
        major, _ = torch.cuda.get_device_capability(device)
        return torch.bfloat16 if major >= 8 else torch.float16 if major == 7 else torch.float32
    if device.type != 'cpu':
        return torch.float32
    native = is_native(torch.bfloat16)
    fast = slowdown(torch.bfloat16) < FAST if native is None else native
    return torch.bfloat16 if fast else torch.float32


def without_autocast(device: torch.device) -> AbstractContextManager:
    """Return a block without autocast; on the meta device, where networks are counted, torch knows none."""
    return nullcontext() if device.type == 'meta' else torch.autocast(device.type, enabled=False)


def auto_dtype(device: torch.device, num_weights: int) -> torch.dtype:
    """Return the precision for a network with `num_weights` weights on `device`.

    Small networks stay in float32: conversions, not products, take their time.
    """
    return torch.float32 if num_weights < LARGE else fastest_dtype(device)


def emulation_notice(dtype: torch.dtype, device: torch.device, instead: str) -> str | None:
    """Return one line for the user if `device` emulates `dtype`, else None.

    Args:
        dtype (torch.dtype): The requested precision.
        device (torch.device): Device of the network.
        instead (str): Advice, an imperative.
    """
    if not is_emulated(dtype, device):
        return None
    return (
        f'this processor emulates {str(dtype).removeprefix("torch.")}: a matrix product takes '
        f'{slowdown(dtype):.0f} times as long as in float32. {instead}'
    )


@cache
def warn_if_emulated(dtype: torch.dtype, device: torch.device) -> None:
    """Print one line on stderr if `device` emulates `dtype`, once in a process."""
    notice = emulation_notice(dtype, device, 'Use float32, unless memory is short.')
    if notice:
        print(f'warning: {notice}', file=sys.stderr)


@cache
def tell_chosen(dtype: torch.dtype, device: torch.device) -> None:
    """Print one line on stderr if 'auto' has chosen a lower precision than float32, once in a process."""
    if dtype != torch.float32:
        name = str(dtype).removeprefix('torch.')
        print(
            f'note: computing in {name}, which {device.type} has instructions for; --dtype float32 (dtype= in Python) '
            'gives the images of other machines',
            file=sys.stderr,
        )


def _answer(module: object, name: str) -> bool | None:
    """Call a private function of torch; return None in versions without it."""
    try:
        return bool(getattr(module, name)())
    except (AttributeError, RuntimeError):
        return None


@cache
def _measured(dtype: torch.dtype, num_threads: int) -> float:
    small, large = SIZES
    seconds = _time_product(dtype, small)
    size = large if seconds * (large / small) ** 3 < SECONDS else small
    return _time_product(dtype, size) / _time_product(torch.float32, size)


def _time_product(dtype: torch.dtype, size: int) -> float:
    """Return the seconds of a product of two square matrices."""
    a = torch.ones(size, size, dtype=dtype, device='cpu')
    times: list[float] = []
    with torch.no_grad(), torch.autocast('cpu', enabled=False):
        while len(times) < REPEATS and sum(times) < SECONDS:
            start = time.perf_counter()
            torch.mm(a, a)
            times.append(time.perf_counter() - start)
    return min(times)
