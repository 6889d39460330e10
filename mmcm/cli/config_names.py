"""Names at the top level of config files that nothing reads: misspelt settings, and variables that come too late."""

import ast
import difflib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from mmcm.utils.errors import InputError
from mmcm.utils.mmengine_compat import find_base
from mmcm.utils.nearest import nearest

# Settings at the top level of a config that MMEngine's runners or mmcm read.
SETTINGS = frozenset(
    """
    activation_checkpointing auto_scale_lr checkpoint class_names compile custom_hooks custom_imports
    data_preprocessor default_hooks default_scope efficient_conv_bn_eval env_cfg experiment_name
    find_unused_parameters launcher load_from log_level log_processor model model_wrapper_cfg optim_wrapper
    param_scheduler randomness resume runner_type samplers strategy sync_bn test_cfg test_dataloader test_evaluator
    train_cfg train_dataloader val_cfg val_dataloader val_evaluator visualizer work_dir
    """.split()
)
# Hooks of every MMEngine runner, whose settings need no type.
MMENGINE_HOOKS = ('runtime_info', 'timer', 'sampler_seed', 'logger', 'param_scheduler', 'checkpoint')
BASE_NAME = re.compile(r'_base_\.(\w+)')  # in code and in text, as in '{{_base_.max_iters}}'
ALIKE = 0.85  # similarity of a name and its misspelling


class File(NamedTuple):
    """Names at the top level of a config file."""

    path: Path
    assigned: set[str]
    used: set[str]  # to compute something, here or in a file that inherits from it


def check_file_names(path: Path, content: Mapping) -> None:
    """Raise an InputError if a config file sets a name at its top level that is a misspelt setting, or has no effect.

    Other names may be read by hooks of the user. A variable of a base has no effect in a file that inherits from it and
    does not use it: what the base has computed from it is computed already.
    """
    files = list(files_of(path)) if path.suffix == '.py' else [File(path, set(content), set())]
    for place, file in enumerate(files):
        for name in sorted((file.assigned - file.used - SETTINGS) & content.keys()):
            if difflib.get_close_matches(name, SETTINGS, cutoff=ALIKE):
                raise InputError(f'{file.path}: nothing reads a setting {name!r}{nearest(name, SETTINGS)}.')
            base = next((other for other in files[place + 1 :] if name in other.assigned & other.used), None)
            if base is not None:
                raise InputError(
                    f'{file.path}: {name} is a variable of {base.path}, from which settings were computed '
                    f'already. Set what uses it there, such as train_cfg.{name}.'
                )


def files_of(path: Path, used: frozenset[str] = frozenset()) -> Iterator[File]:
    """Yield a config file in Python, whose heirs use the names `used`, and its bases, the nearest first."""
    try:
        text = path.read_text(encoding='utf-8')
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError):
        return
    if 'read_base' in text or path.suffix != '.py':  # whose names come by imports
        return
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    used = used.union((name.id for name in names if isinstance(name.ctx, ast.Load)), BASE_NAME.findall(text))
    yield File(path, {name.id for name in names if isinstance(name.ctx, ast.Store)} - {'_base_'}, set(used))
    for base in bases_of(tree):
        try:
            found, _ = find_base(base, str(path))
        except Exception:  # of a library that is not installed
            continue
        yield from files_of(Path(found), used)


def bases_of(tree: ast.Module) -> list[str]:
    """Return the names of the bases of a file."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(getattr(target, 'id', None) == '_base_' for target in node.targets):
            try:
                bases = ast.literal_eval(node.value)
            except ValueError:
                return []
            return [bases] if isinstance(bases, str) else list(bases)
    return []
