"""Teacher of a distillation: its network and its weights."""

import math
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size
from torch import Tensor

from mmcm.denoisers import Denoiser, KarrasDenoiser, load_denoiser
from mmcm.denoisers.guidance import Guidance
from mmcm.models.averages import frozen
from mmcm.models.guidance import check_guided
from mmcm.objectives.base import Objective
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError

SETTINGS = ('checkpoint', 'average', 'denoiser', 'guidance')
FROM_TEACHER = 'teacher'  # value of init_from


class GuidanceRange(NamedTuple):
    """Scales w of a guided teacher, drawn uniformly between `low` and `high`; they are an input of the student.

    As in Luo et al. (2023, arXiv 2310.04378, Algorithm 1), in terms of w = 1 + omega.
    """

    low: float
    high: float

    def draw(self, num_images: int) -> Tensor:
        """Sample w for the images of this process, (N,), float32, on the CPU.

        Like `draw_for_batch`, before which it has to be called, it deals the random numbers of the global batch to the
        processes: any number of processes trains with the same scales.
        """
        rank, world_size = get_rank(), get_world_size()
        uniform = torch.rand(num_images * world_size, dtype=torch.float32, device='cpu')[rank::world_size]
        return self.low + (self.high - self.low) * uniform


def check_teacher(objective: Objective | None, teacher: dict | None, start: str | None) -> None:
    """Raise an InputError unless `teacher` names the weights that `objective` needs, and none where it needs none.

    Args:
        objective (Objective, optional): The objective.
        teacher (dict, optional): See `ConsistencyModel`.
        start (str, optional): The checkpoint that training starts from; see `check_init_from`.
    """
    if objective is None or not objective.needs_teacher:
        if teacher is not None or start == FROM_TEACHER:
            raise InputError(
                'a teacher was named, but the objective has no use for one. Leave out model.teacher and '
                "init_from='teacher', or choose an objective that distils."
            )
        return
    unknown = set(teacher or ()) - set(SETTINGS)
    if unknown:
        raise InputError(
            f'model.teacher takes {", ".join(SETTINGS[:-1])} and {SETTINGS[-1]}, got {", ".join(sorted(unknown))}.'
        )
    if teacher is None or not teacher.get('checkpoint'):
        raise InputError(
            f'{type(objective).__name__} needs a teacher: set '
            "model.teacher=dict(checkpoint='...') to a diffusion model's weights."
        )


def check_told(objective: Objective | None, online: Denoiser, teacher: dict | None) -> GuidanceRange | None:
    """Return the scales of guidance that the student gets as an input; None for a student without that input.

    Raises:
        InputError: If the teacher's guidance is drawn, and the student does not take it as an input or becomes the
            teacher itself; or if a `KarrasDenoiser` takes guidance as an input, and none is drawn.
    """
    drawn = range_of(teacher)
    if drawn is None:
        if objective is not None and isinstance(online, KarrasDenoiser) and online.guided:
            raise InputError(
                'model.denoiser.guided=True is for the student of a guided teacher: set '
                'model.teacher.guidance=dict(low=1.0, high=4.0), for example, and an objective that distils.'
            )
        return None
    if not (isinstance(online, KarrasDenoiser) and online.guided):
        raise InputError(
            f'model.teacher.guidance={drawn._asdict()} is drawn for each image, and the student has to know it: set '
            "model.denoiser.type='KarrasDenoiser', model.denoiser.guided=True and "
            'model.denoiser.backbone.num_conditions=1, or give one number.'
        )
    if objective is not None and objective.needs_same_teacher:
        raise InputError(
            f'{type(objective).__name__} makes the student the next teacher, which then is guided by itself: give '
            f'model.teacher.guidance as one number, got {drawn._asdict()}.'
        )
    return drawn


def range_of(teacher: Mapping[str, Any] | None) -> GuidanceRange | None:
    """Return the scales of a teacher's guidance, None for a fixed one; an InputError unless 1 <= low <= high."""
    value = (teacher or {}).get('guidance')
    if not isinstance(value, Mapping):
        return None
    numbers = [each for each in value.values() if isinstance(each, (int, float)) and not isinstance(each, bool)]
    if set(value) != {'low', 'high'} or len(numbers) != 2 or not 1 <= value['low'] <= value['high'] < math.inf:
        raise InputError(
            'model.teacher.guidance has to be a number, or a dict of low and high for one that is drawn for each '
            f'image, 1 <= low <= high, such as dict(low=1.0, high=4.0), got {dict(value)}.'
        )
    return GuidanceRange(float(value['low']), float(value['high']))


def build_teacher(teacher: dict, online: Denoiser, denoiser: dict, objective: Objective) -> Denoiser:
    """Build the frozen diffusion model that `objective` distils; `load_teacher` reads its weights.

    Args:
        teacher (dict): See `ConsistencyModel`.
        online (Denoiser): The denoiser to train.
        denoiser (dict): Its config.
        objective (Objective): The objective.

    Raises:
        InputError: If the denoiser shall become its own teacher, and the teacher has another config; or if the teacher
            is guided, and has no null class.
    """
    diffusion = dict(boundary=False) if isinstance(online, KarrasDenoiser) else {}
    config = Config(dict(denoiser={**deepcopy(denoiser), **diffusion}))
    if online.guided:  # by the estimates of a teacher, which does not take w as an input
        plain = dict(guided=False, guidance=1.0, backbone=dict(num_conditions=0))
        config.merge_from_dict(dict(denoiser=plain))
    config.merge_from_dict(dict(denoiser=teacher.get('denoiser', {})))
    if objective.needs_same_teacher and config.denoiser != {**dict.fromkeys(diffusion, True), **denoiser}:
        raise InputError(
            'the network becomes its own teacher, so both need the same denoiser, without a boundary '
            'condition: set model.denoiser.boundary=False, and leave out model.teacher.denoiser.'
        )
    network = frozen(MODELS.build(config.denoiser))
    drawn = range_of(teacher)
    strongest = guidance_of(teacher) if drawn is None else Guidance(drawn.high)
    check_guided(network, strongest, network.null_label, 'model.teacher.guidance')
    return network


def guidance_of(teacher: dict | None) -> Guidance:
    """Return the fixed guidance of the estimates of a teacher, from its config."""
    return Guidance(1.0 if range_of(teacher) else (teacher or {}).get('guidance', 1.0))


def load_teacher(teacher: Denoiser, config: dict) -> None:
    """Load the weights that the `config` of the teacher names."""
    try:
        load_denoiser(teacher, config['checkpoint'], config.get('average'))
    except InputError as error:
        raise InputError(
            f'the teacher cannot be read (train it first, or name another one as model.teacher.checkpoint): {error}'
        ) from error
