"""The folder that OpenAI's trainer (`cm_train.py`, `edm_train.py`) writes its checkpoints to.

A checkpoint of step 1000 is `model001000.pt`, an `ema_<rate>_001000.pt` for each average, `opt001000.pt` with the state
of its RAdam, and, of `cm_train.py`, `target_model001000.pt` and perhaps `teacher_model001000.pt`. The model's file is
written last. In half precision the optimiser has two flat parameters: all vectors of the network in a row, then all
matrices.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcm.utils.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

NAME = re.compile(r'(model|target_model|teacher_model|opt|ema_([0-9.e+-]+)_)(\d{6,12})\.pt', re.ASCII)
MOMENTS = ('exp_avg', 'exp_avg_sq')
HYPERPARAMETERS = ('lr', 'betas', 'eps', 'weight_decay')


@dataclass
class TrainerFiles:
    """The files of one checkpoint.

    Args:
        step (int): Steps of the optimiser before it.
        parts (dict[str, Path]): From 'model', 'target_model', 'teacher_model' and 'opt' to the files that there are.
        averages (dict[float, Path]): From the rate of an average to its file.
    """

    step: int
    parts: dict[str, Path] = field(default_factory=dict)
    averages: dict[float, Path] = field(default_factory=dict)


def find_trainer_files(path: str | Path) -> TrainerFiles | None:
    """Return the checkpoint of OpenAI's trainer that `path` means, None if it means something else.

    Args:
        path (str | Path): The folder, of which the last step is meant, or the `model<step>.pt` of a step in it.
    """
    path = Path(path).expanduser()
    whole = os.path.isdir(path)  # noqa: PTH112 (False, too, for what cannot be a path, such as a long address)
    if whole:
        steps = [int(match[3]) for match in map(NAME.fullmatch, _names(path)) if match and match[1] == 'model']
        folder, step = path, max(steps, default=None)
    else:
        match = NAME.fullmatch(path.name)
        is_file = os.path.isfile(path)  # noqa: PTH113 (see above)
        folder, step = path.parent, int(match[3]) if match and match[1] == 'model' and is_file else None
    if step is None:
        return None
    files = TrainerFiles(step)
    for name in _names(folder):
        match = NAME.fullmatch(name)
        if match and int(match[3]) == step:
            if match[2] is None:
                files.parts[match[1]] = folder / name
            elif _is_rate(match[2]):
                files.averages[float(match[2])] = folder / name
    # A single file that only has the name of one may be anybody's.
    return files if whole or len(files.parts) + len(files.averages) > 1 else None


def read_trainer_checkpoint(files: TrainerFiles) -> dict[str, Any]:
    """Return the weights of a checkpoint under the names that a training checkpoint of ours has for them.

    Returns:
        dict: `state_dict`, and `openai_trainer` with `step` and `optimizer`, which is None or has `state`,
        from names of the network's parameters to `step`, `exp_avg` and `exp_avg_sq`, and the `settings` of RAdam.

    Raises:
        InputError: If a file cannot be read, or the files do not fit together.
    """
    # These load torch.
    from mmcm.checkpoints.formats.foreign_weights import read_state_dict
    from mmcm.checkpoints.formats.training_checkpoint import average_name

    network = read_state_dict(files.parts['model'])
    sources = {
        'denoiser': files.parts['model'],
        'target': files.parts.get('target_model'),
        'teacher': files.parts.get('teacher_model'),
    }
    sources.update((f'emas.{average_name(rate)}', path) for rate, path in sorted(files.averages.items()))
    weights: dict[str, Tensor] = {}
    for prefix, path in sources.items():
        if path is not None:
            part = network if prefix == 'denoiser' else read_state_dict(path)
            if {key: value.shape for key, value in part.items()} != {
                key: value.shape for key, value in network.items()
            }:
                raise InputError(
                    f'{path} is of another network than {files.parts["model"].name}: keep the files of '
                    'one run in a folder.'
                )
            weights.update((f'{prefix}.backbone.{key}', value) for key, value in part.items())
    optimizer = None if 'opt' not in files.parts else read_optimizer(files.parts['opt'], network)
    source = dict(step=files.step, optimizer=optimizer)
    return dict(state_dict=weights, openai_trainer=source)


def read_optimizer(path: Path, network: Mapping[str, 'Tensor']) -> dict[str, Any]:
    """Return the state of RAdam by the names of the parameters.

    Args:
        path (Path): The file of the optimiser's state dict.
        network (Mapping[str, Tensor]): The weights of the network, in its order; it has no buffers.

    Returns:
        dict: `state` and `settings`; see `read_trainer_checkpoint`.

    Raises:
        InputError: If the file is none, or of another network.
    """
    import torch  # see the package's __init__

    from mmcm.checkpoints.read import read_checkpoint

    content = read_checkpoint(path)
    refused = InputError(
        f'{path} is no state of the RAdam that trained {len(network)} parameters such as '
        f'{next(iter(network))}: leave the file out of the folder, and the optimiser starts anew.'
    )
    try:
        indices = [index for group in content['param_groups'] for index in group['params']]
        settings = {key: content['param_groups'][0][key] for key in HYPERPARAMETERS}
        states = [content['state'].get(index) for index in indices]
        flat = [[key for key, value in network.items() if (value.ndim <= 1) == vector] for vector in (True, False)]
        groups = [[key] for key in network] if len(indices) == len(network) else flat
        if len(indices) != len(groups):
            raise refused
        state = {}
        for keys, moments in zip(groups, states):
            if moments is None:  # a parameter that never had a gradient
                continue
            sizes = [network[key].numel() for key in keys]
            parts = {name: moments[name].float().flatten().split(sizes) for name in MOMENTS}
            for place, key in enumerate(keys):
                state[key] = {name: parts[name][place].view(network[key].shape).clone() for name in MOMENTS}
                state[key]['step'] = torch.tensor(float(moments['step']), dtype=torch.float32, device='cpu')
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise refused from error
    return dict(state=state, settings=settings)


def _names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def _is_rate(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False
