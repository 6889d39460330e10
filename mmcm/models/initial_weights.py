"""Weights that training starts from: `model.init_from`."""

import logging
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log
from torch import Tensor

from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.checkpoints.config_parser import setting
from mmcm.checkpoints.weights import load_weights
from mmcm.datasets.class_names import Names
from mmcm.denoisers import Denoiser, TruncatedDenoiser, load_denoiser
from mmcm.denoisers.checkpoint import load_first_stage
from mmcm.models.class_rows import choose_rows, names_in
from mmcm.models.partial_weights import CLASSES, PartialLoad, load_partial
from mmcm.models.teacher import FROM_TEACHER
from mmcm.utils.checks import check_flag
from mmcm.utils.errors import InputError
from mmcm.utils.nearest import nearest

SETTINGS = ('checkpoint', 'average', 'partial', 'classes')
CONDITIONS = 'condition_embed.'  # keys of what ADMUNet adds for its conditions
InitFrom = str | Mapping[str, Any]


def check_init_from(init_from: Any) -> str | None:
    """Return the checkpoint that `init_from` names, None if it names none; an InputError if it cannot be used."""
    if init_from is None or isinstance(init_from, str):
        return init_from or None
    if not isinstance(init_from, Mapping):
        raise InputError(
            f'model.init_from has to be the name of a checkpoint or dict(checkpoint=...), got {init_from!r}.'
        )
    unknown = next((key for key in init_from if key not in SETTINGS), None)
    if unknown is not None:
        raise InputError(f'model.init_from takes {", ".join(SETTINGS)}, got {unknown!r}{nearest(unknown, SETTINGS)}.')
    source = init_from.get('checkpoint')
    if not isinstance(source, str) or not source:
        raise InputError(f"model.init_from needs a checkpoint: dict(checkpoint='...'), got {source!r}.")
    check_flag('model.init_from.partial', init_from.get('partial', False))
    average, classes = init_from.get('average'), init_from.get('classes')
    if average is not None and not isinstance(average, str):
        raise InputError(f"model.init_from.average has to be text, such as '0.999' or 'online', got {average!r}.")
    if average is not None and source == FROM_TEACHER:
        raise InputError('model.init_from.average has no effect on the teacher: set model.teacher.average.')
    if classes is not None and not isinstance(classes, (list, tuple)):
        raise InputError(f'model.init_from.classes has to be a list, one entry for each class, got {classes!r}.')
    if classes is not None and not init_from.get('partial'):
        raise InputError('model.init_from.classes needs model.init_from.partial=True.')
    return source


def load_initial_weights(
    online: Denoiser,
    init_from: InitFrom,
    teacher: Denoiser | None = None,
    teacher_config: Mapping[str, Any] | None = None,
    names: Names = (),
) -> PartialLoad | None:
    """Load the weights that training starts from.

    Args:
        online (Denoiser): The denoiser to train.
        init_from (str | Mapping): See `ConsistencyModel`; one that `check_init_from` has passed.
        teacher (Denoiser, optional): The teacher, with its weights.
        teacher_config (Mapping, optional): The config of the teacher.
        names (Names): Names of the classes of the data; empty if they have none.

    Returns:
        PartialLoad | None: What was loaded and what not, of a partial load; the log has it, too.

    Raises:
        InputError: If the weights cannot be read, or do not fit.
    """
    settings = init_from if isinstance(init_from, Mapping) else dict(checkpoint=init_from)
    source, partial = settings['checkpoint'], settings.get('partial', False)
    weights: Mapping[str, Tensor]
    if source == FROM_TEACHER:
        assert teacher is not None and teacher_config is not None  # see check_teacher
        weights = teacher.backbone.state_dict()
        if not partial:
            # The scale of guidance, which the teacher does not take, changes nothing to begin with.
            own = online.backbone.state_dict() if online.guided and not teacher.guided else {}
            added = {key: value for key, value in own.items() if key.startswith(CONDITIONS)}
            load_weights(online.backbone, {**added, **weights}, teacher_config['checkpoint'])
            return None
        name = f'the teacher, {teacher_config["checkpoint"]}'
        return _load_partial(online, weights, None, name, settings, names, teacher.null_label is not None)
    if isinstance(online, TruncatedDenoiser) and partial:
        raise InputError(
            'both networks of a TruncatedDenoiser start from the whole first stage: leave out model.init_from.partial.'
        )
    try:
        if isinstance(online, TruncatedDenoiser):
            load_first_stage(online, source, settings.get('average'))
            return None
        if not partial:
            load_denoiser(online, source, settings.get('average'), any_kind=True)  # tuning makes one kind of another
            return None
        checkpoint = Checkpoint.open(source)
        weights, used = checkpoint.similar_weights(online.backbone, settings.get('average'))
        name = f'{checkpoint.path}' if used is None else f'{checkpoint.path} ({used})'
        null_row = bool(setting(checkpoint.denoiser or {}, 'backbone', 'null_class'))
        return _load_partial(online, weights, checkpoint, name, settings, names, null_row)
    except InputError as error:
        way = '' if partial else "; to take what fits: model.init_from=dict(checkpoint='...', partial=True)"
        raise InputError(
            'the weights to start from cannot be read (train them first, or name others as model.init_from'
            f'{way}): {error}'
        ) from error


def _load_partial(
    online: Denoiser,
    weights: Mapping[str, Tensor],
    checkpoint: Checkpoint | None,
    name: str,
    settings: Mapping[str, Any],
    names: Names,
    null_row: bool,
) -> PartialLoad:
    num_classes = getattr(online.backbone, 'num_classes', None)
    num_rows = len(weights[CLASSES]) - null_row if CLASSES in weights else None
    rows, rule = None, ''
    if num_classes is not None and num_rows is not None:
        rows, rule = choose_rows(num_classes, num_rows, settings.get('classes'), names, names_in(checkpoint, num_rows))
    elif settings.get('classes') is not None:
        raise InputError(
            'model.init_from.classes was given, but the model or the checkpoint has no classes: leave it out.'
        )
    report = load_partial(online.backbone, weights, name, rows or (), rule, null_row)
    print_log(f'{report}.', logger='current', level=logging.INFO)
    return report
