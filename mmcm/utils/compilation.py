"""Compilation of networks with `torch.compile`, in place."""

import os
import shutil
import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mmcm.utils.errors import InputError

MODES = ('default', 'reduce-overhead', 'max-autotune', 'max-autotune-no-cudagraphs')
DEFAULT_COMPILER = {'darwin': 'clang++', 'win32': 'cl'}  # of the code that torch generates for CPUs; elsewhere g++


def compile_options(compile: Any) -> dict[str, Any] | None:
    """Return the options of `torch.compile` that an argument `compile` means; None without compilation.

    Args:
        compile (bool | dict): Whether to compile, or options of `torch.compile`, such as
            `dict(mode='reduce-overhead')`, which uses CUDA graphs.

    Raises:
        InputError: If it is neither, or names an unknown mode.
    """
    if isinstance(compile, bool):
        return {} if compile else None
    if not isinstance(compile, Mapping) or not all(isinstance(name, str) for name in compile):
        raise InputError(f'compile has to be True, False, or a dict of options of torch.compile, got {compile!r}.')
    if compile.get('mode', 'default') not in (*MODES, None):
        raise InputError(f'there is no mode {compile["mode"]!r} of torch.compile: choose one of {", ".join(MODES)}.')
    return dict(compile)


def compile_network(network: nn.Module, device: torch.device, options: Mapping[str, Any]) -> None:
    """Mark a network for compilation: each of its first calls with another kind of batch compiles.

    The names of its weights stay what they are.

    Raises:
        InputError: If there is no C++ compiler, which CPUs need, or `torch.compile` does not know the options.
    """
    compiler = os.environ.get('CXX') or DEFAULT_COMPILER.get(sys.platform, 'g++')
    if device.type == 'cpu' and options.get('backend', 'inductor') == 'inductor' and shutil.which(compiler) is None:
        raise InputError(
            f'a network is compiled for a CPU by a C++ compiler, and {compiler} was not found: install it, name '
            'another one as $CXX, or leave compile out.'
        )
    try:
        network.compile(**options)
    except (TypeError, RuntimeError) as error:
        raise InputError(f'torch.compile does not take {dict(options)}: {error}') from error
