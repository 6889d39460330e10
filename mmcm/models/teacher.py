"""Teacher of a distillation: its network and its weights."""

from copy import deepcopy

from mmengine.config import Config

from mmcm.denoisers import Denoiser, KarrasDenoiser, load_denoiser
from mmcm.models.averages import frozen
from mmcm.models.guidance import Guidance, check_guided
from mmcm.objectives.base import Objective
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError

SETTINGS = ('checkpoint', 'average', 'denoiser', 'guidance')
FROM_TEACHER = 'teacher'  # value of init_from


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
    config.merge_from_dict(dict(denoiser=teacher.get('denoiser', {})))
    if objective.needs_same_teacher and config.denoiser != {**dict.fromkeys(diffusion, True), **denoiser}:
        raise InputError(
            'the network becomes its own teacher, so both need the same denoiser, without a boundary '
            'condition: set model.denoiser.boundary=False, and leave out model.teacher.denoiser.'
        )
    network = frozen(MODELS.build(config.denoiser))
    check_guided(network, guidance_of(teacher), network.null_label, 'model.teacher.guidance')
    return network


def guidance_of(teacher: dict | None) -> Guidance:
    """Return the guidance of the estimates of a teacher, from its config."""
    return Guidance((teacher or {}).get('guidance', 1.0))


def load_teacher(teacher: Denoiser, config: dict) -> None:
    """Load the weights that the `config` of the teacher names."""
    try:
        load_denoiser(teacher, config['checkpoint'], config.get('average'))
    except InputError as error:
        raise InputError(
            f'the teacher cannot be read (train it first, or name another one as model.teacher.checkpoint): {error}'
        ) from error
