"""Teacher of a distillation: its network, its weights, and the weights that training starts from."""

from copy import deepcopy

from mmengine.config import Config

from mmcm.checkpoints.weights import load_weights
from mmcm.denoisers import Denoiser, KarrasDenoiser, load_denoiser
from mmcm.models.averages import frozen
from mmcm.objectives.base import Objective
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError

SETTINGS = ('checkpoint', 'average', 'denoiser')
FROM_TEACHER = 'teacher'  # value of init_from


def check_teacher(objective: Objective | None, teacher: dict | None, init_from: str | None) -> None:
    """Raise an InputError unless `teacher` names the weights that `objective` needs, and none where it needs none."""
    if objective is None or not objective.needs_teacher:
        if teacher is not None or init_from == FROM_TEACHER:
            raise InputError(
                'a teacher was named, but the objective has no use for one. Leave out model.teacher and '
                "init_from='teacher', or choose an objective that distils."
            )
        return
    unknown = set(teacher or ()) - set(SETTINGS)
    if unknown:
        raise InputError(f'model.teacher takes checkpoint, average and denoiser, got {", ".join(sorted(unknown))}.')
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
        InputError: If the denoiser shall become its own teacher, and the teacher has another config.
    """
    diffusion = dict(boundary=False) if isinstance(online, KarrasDenoiser) else {}
    config = Config(dict(denoiser={**deepcopy(denoiser), **diffusion}))
    config.merge_from_dict(dict(denoiser=teacher.get('denoiser', {})))
    if objective.needs_same_teacher and config.denoiser != {**dict.fromkeys(diffusion, True), **denoiser}:
        raise InputError(
            'the network becomes its own teacher, so both need the same denoiser, without a boundary '
            'condition: set model.denoiser.boundary=False, and leave out model.teacher.denoiser.'
        )
    return frozen(MODELS.build(config.denoiser))


def load_teacher(teacher: Denoiser, config: dict) -> None:
    """Load the weights that the `config` of the teacher names."""
    try:
        load_denoiser(teacher, config['checkpoint'], config.get('average'))
    except InputError as error:
        raise InputError(
            f'the teacher cannot be read (train it first, or name another one as model.teacher.checkpoint): {error}'
        ) from error


def load_initial_weights(online: Denoiser, init_from: str, teacher: Denoiser | None, config: dict | None) -> None:
    """Load the weights that training starts from.

    Args:
        online (Denoiser): The denoiser to train.
        init_from (str): A checkpoint, or 'teacher'.
        teacher (Denoiser, optional): The teacher, with its weights.
        config (dict, optional): The config of the teacher.
    """
    if init_from == FROM_TEACHER:
        assert teacher is not None and config is not None  # see check_teacher
        load_weights(online.backbone, teacher.backbone.state_dict(), config['checkpoint'])
        return
    try:
        load_denoiser(online, init_from, any_kind=True)  # tuning makes one kind of another
    except InputError as error:
        raise InputError(
            f'the weights to start from cannot be read (train them first, or name others as model.init_from): {error}'
        ) from error
