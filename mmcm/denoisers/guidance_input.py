"""The scale of guidance as an input of a network, which then is guided in one evaluation.

Meng et al. (2023, arXiv 2210.03142) tell it to the student of a guided teacher, Luo et al. (2023, arXiv 2310.04378,
Algorithm 1) to a consistency model.
"""

import math
from typing import Any

from mmcm.denoisers.augmented import inner_denoiser
from mmcm.utils.checks import check_number
from mmcm.utils.errors import InputError


def takes_guidance(denoiser: Any) -> bool:
    """Return whether the network of `denoiser` takes the scale of guidance as an input."""
    return getattr(inner_denoiser(denoiser), 'guided', False)


def check_guided_network(backbone: Any, guided: bool, guidance: float, num_conditions: int) -> None:
    """Raise an InputError unless the backbone has as many conditions, and `guidance` is one of its inputs.

    Args:
        backbone (nn.Module): The network; one without `num_conditions` is not checked.
        guided (bool): Whether it takes the scale of guidance.
        guidance (float): w for sampling, 1 or more.
        num_conditions (int): How many conditions the denoiser gives it.
    """
    check_number('guidance', guidance)
    if not 1 <= guidance < math.inf:
        raise InputError(f'guidance has to be a number from 1 on, which is no guidance, got {guidance}.')
    if not guided and guidance != 1:
        raise InputError(
            f'guidance={guidance} is for a network that takes it as an input: set model.denoiser.guided=True, and '
            'num_conditions of its backbone.'
        )
    found = getattr(backbone, 'num_conditions', num_conditions)
    if found != num_conditions:
        raise InputError(
            f'a denoiser with guided={guided} gives its network {num_conditions} conditions, got '
            f'model.denoiser.backbone.num_conditions={found}. Set num_conditions={num_conditions}.'
        )
