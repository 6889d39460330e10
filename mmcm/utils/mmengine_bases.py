"""Base classes of MMEngine's models and inferencers, imported without its optimisers, runners and strategies.

`mmengine.model` and `mmengine.infer` also import `torch.distributed.optim` and FSDP, which load sympy and half of torch
again: a second and 90 MB that sampling has no use for. Here the modules of the base classes are imported alone, while
stand-ins take the place of their packages. Afterwards an import of such a package gets MMEngine's own, with the modules
that are loaded already, so that each class exists once; a reference to a stand-in leads there, too. Where this fails,
as with another layout of MMEngine, the packages are imported as usual.
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGES = (  # a package before those in it
    *('mmengine.hooks', 'mmengine.infer', 'mmengine.runner', 'mmengine.visualization'),
    *('mmengine.model', 'mmengine.model.base_model', 'mmengine.model.wrappers'),
    *('mmengine.optim', 'mmengine.optim.optimizer'),
)


class StandIn(ModuleType):
    """A package whose `__init__` has not run. A name is imported from the module where that would import it from.

    What still refers to it when another import has taken its place, such as a module of another thread, gets the
    names of the package.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):
            raise AttributeError(f'module {self.__name__!r} has no attribute {name!r}')
        if sys.modules.get(self.__name__) is not self:
            return getattr(import_module(self.__name__), name)
        origins = import_origins(Path(self.__file__ or ''))
        if name not in origins:
            raise AttributeError(f'module {self.__name__!r} has no attribute {name!r}')
        return getattr(import_module(f'{self.__name__}.{origins[name]}'), name)


class CompletePackages(MetaPathFinder):
    """Finder of packages that had stand-ins: their submodules that are loaded already become their attributes."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = set(names)

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """Return the spec of a package that had a stand-in, once; None for all else."""
        if name not in self.names:
            return None
        self.names.remove(name)
        if not self.names and self in sys.meta_path:
            sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)
        if spec is not None and spec.origin is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = LoadWithSubmodules(name, spec.origin)
        return spec


class LoadWithSubmodules(SourceFileLoader):
    """Loader of a package that makes loaded submodules its attributes, which import does only when it loads them."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the `__init__` of the package."""
        for name, loaded in list(sys.modules.items()):
            package, _, child = name.rpartition('.')
            if package == module.__name__ and loaded is not None:
                setattr(module, child, loaded)
        super().exec_module(module)


def import_origins(init: Path) -> dict[str, str]:
    """Return from which submodule the `__init__` file of a package imports each name, at any indentation."""
    imports = [node for node in ast.walk(ast.parse(init.read_bytes())) if isinstance(node, ast.ImportFrom)]
    return {
        alias.asname or alias.name: node.module
        for node in imports
        if node.level == 1 and node.module
        for alias in node.names
    }


@contextmanager
def stand_ins(packages: Sequence[str] = PACKAGES) -> Iterator[None]:
    """Let modules of `packages` be imported without running the `__init__` of these; loaded packages stay."""
    replaced: dict[str, StandIn] = {}
    try:
        for name in packages:
            if name not in sys.modules:
                replaced[name] = sys.modules[name] = stand_in_for(name)
        yield
    finally:
        names = [name for name, stand_in in replaced.items() if sys.modules.get(name) is stand_in]
        for name in names:
            del sys.modules[name]
            package, _, child = name.rpartition('.')
            # `import package.child.module as x` looks for the attribute, and does not import a package in between.
            vars(sys.modules.get(package) or replaced[package]).setdefault(child, replaced[name])
        if names:
            sys.meta_path.insert(0, CompletePackages(names))


def stand_in_for(name: str) -> StandIn:
    """Return the stand-in of a package whose parent is loaded or has one; an ImportError if there is no package."""
    spec = PathFinder.find_spec(name, import_module(name.rpartition('.')[0]).__path__)
    if spec is None:
        raise ModuleNotFoundError(f'there is no package {name}', name=name)
    stand_in = StandIn(name)
    vars(stand_in).update(vars(module_from_spec(spec)))
    return stand_in


try:
    with stand_ins():
        from mmengine.infer.infer import BaseInferencer
        from mmengine.model.base_model.base_model import BaseModel
        from mmengine.model.base_model.data_preprocessor import BaseDataPreprocessor
        from mmengine.model.base_module import BaseModule
        from mmengine.model.wrappers.utils import is_model_wrapper
except (ImportError, AttributeError, OSError, SyntaxError):  # another layout of MMEngine, or packages without source
    from mmengine.infer import BaseInferencer
    from mmengine.model import BaseDataPreprocessor, BaseModel, BaseModule, is_model_wrapper

__all__ = ['BaseDataPreprocessor', 'BaseInferencer', 'BaseModel', 'BaseModule', 'is_model_wrapper']
