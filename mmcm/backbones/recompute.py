"""Recomputation of the activations of a block in the backward pass: less memory, one more forward pass."""

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils.checkpoint import checkpoint


def run_block(block: nn.Module, is_recomputed: bool, *inputs: Tensor) -> Tensor:
    """Return the output of `block` for `inputs`; with `is_recomputed`, its activations are not kept for the gradients.

    They are kept nevertheless in forward-mode differentiation, which recomputation does not support.
    """
    if is_recomputed and torch.is_grad_enabled() and not any(map(has_tangent, inputs)):
        return checkpoint(block, *inputs, use_reentrant=False)
    return block(*inputs)


def has_tangent(x: Tensor) -> bool:
    """Return whether `x` is differentiated in forward mode."""
    return forward_ad.unpack_dual(x).tangent is not None
