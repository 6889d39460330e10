"""State of the random number generators behind dropout and transforms."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import numpy as np
import torch
from torch import Tensor


def get_random_state(device: torch.device) -> Tensor:
    """Return the state of the generator behind dropout on `device`."""
    return torch.get_rng_state() if device.type == 'cpu' else _module(device).get_rng_state(*_index(device))


def set_random_state(state: Tensor, device: torch.device) -> None:
    """Set the generator behind dropout on `device` to `state`."""
    torch.set_rng_state(state) if device.type == 'cpu' else _module(device).set_rng_state(state, *_index(device))


@contextmanager
def undisturbed(device: torch.device | None = None) -> Iterator[None]:
    """Restore the generators of the CPU, and that of `device`, after the block."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    other = None if device is None else get_random_state(device)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if device is not None and other is not None:
            set_random_state(other, device)


def _module(device: torch.device) -> ModuleType:
    return getattr(torch, device.type)  # torch.cuda, torch.mps, torch.xpu


def _index(device: torch.device) -> tuple:
    return () if device.type == 'mps' else (device,)  # torch.mps knows one device only
