"""The base classes of MMEngine are its own, also for those who import its packages later."""

import subprocess
import sys
from pathlib import Path

import mmengine.infer
import mmengine.model
import pytest

from mmcm.utils import mmengine_bases
from mmcm.utils.mmengine_bases import PACKAGES, import_origins, stand_ins

# Packages that sampling does without: each takes longer to import than a digit to sample.
HEAVY = ('torch.distributed.optim', 'torch.distributed.fsdp', 'torch._dynamo', 'sympy', 'matplotlib', 'mmengine.optim')
SAMPLE = f"""
import sys
from mmcm.apis import ConsistencyModelInferencer
inferencer = ConsistencyModelInferencer('digits', device='cpu', dtype='float32')
inferencer(num_images=1)
assert not set({HEAVY}) & set(sys.modules), set({HEAVY}) & set(sys.modules)
"""
TRAIN = f"""
import mmengine.model, mmengine.optim, mmengine.runner
from mmengine.registry import HOOKS, OPTIM_WRAPPERS, OPTIMIZERS
from mmengine.model.base_model import BaseModel, base_model
assert isinstance(inferencer.model, mmengine.model.BaseModel) and BaseModel is mmengine.model.BaseModel
assert mmengine.model.base_module.BaseModule is mmengine.model.BaseModule
assert mmengine.model.base_model.base_model is base_model
assert mmengine.runner.checkpoint is sys.modules['mmengine.runner.checkpoint']
assert not [name for name in {PACKAGES} if type(sys.modules.get(name)).__name__ == 'StandIn']
for registry, name in [(HOOKS, 'LoggerHook'), (OPTIM_WRAPPERS, 'AmpOptimWrapper'), (OPTIMIZERS, 'AdamW')]:
    assert registry.get(name) is not None, name
print('complete')
"""


DOTTED = """
import mmcm.utils.mmengine_bases as bases
import mmengine.model.base_module as base_module
import mmengine.model.base_model.base_model
assert base_module.BaseModule is bases.BaseModule
assert mmengine.model.base_model.base_model.BaseModel is bases.BaseModel
assert 'mmengine.model' not in sys.modules
assert mmengine.model.ImgDataPreprocessor.__mro__[1] is bases.BaseDataPreprocessor
assert type(mmengine.model) is type(sys) and mmengine.model is sys.modules['mmengine.model']
"""
BEFORE = """
import mmengine.model, mmengine.infer
import mmcm.utils.mmengine_bases as bases
assert bases.BaseModel is mmengine.model.BaseModel and bases.BaseInferencer is mmengine.infer.BaseInferencer
assert not [finder for finder in sys.meta_path if isinstance(finder, bases.CompletePackages)]
"""
# As in an archive, the source of a package cannot be read.
UNREADABLE = """
import torch, mmengine
from pathlib import Path
def fail(path):
    raise FileNotFoundError(path)
own, Path.read_bytes = Path.read_bytes, fail
import mmcm.utils.mmengine_bases as bases
Path.read_bytes = own
assert 'mmengine.model' in sys.modules, 'not imported as usual'
import mmengine.model
assert bases.BaseModel is mmengine.model.BaseModel and issubclass(bases.BaseModel, mmengine.model.BaseModule)
assert not [name for name, module in sys.modules.items() if type(module).__name__ == 'StandIn']
"""
PICKLED = """
import pickle
from mmcm.utils.mmengine_bases import BaseModel, BaseModule
content = pickle.dumps([BaseModel, BaseModule])
assert pickle.loads(content) == [BaseModel, BaseModule]
import mmengine.model
assert pickle.loads(content) == [mmengine.model.BaseModel, mmengine.model.BaseModule]
assert pickle.dumps([mmengine.model.BaseModel, mmengine.model.BaseModule]) == content
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_digit_is_sampled_without_what_only_training_needs_and_training_gets_it_later():
    assert run(SAMPLE + TRAIN) == 'complete\n'


@pytest.mark.parametrize(
    'code', [DOTTED, BEFORE, UNREADABLE, PICKLED], ids=['dotted', 'before', 'unreadable', 'pickled']
)
def test_each_class_exists_once_however_it_is_imported(code):
    run(f'import sys\n{code}')


@pytest.mark.parametrize('name', ['BaseModule', 'BaseModel', 'BaseDataPreprocessor', 'is_model_wrapper'])
def test_base_classes_are_those_of_mmengine(name):
    assert getattr(mmengine_bases, name) is getattr(mmengine.model, name)


def test_base_of_inferencers_is_mmengines():
    assert mmengine_bases.BaseInferencer is mmengine.infer.BaseInferencer


def test_origins_are_the_modules_that_an_init_imports_names_from(tmp_path):
    (tmp_path / '__init__.py').write_text(
        'import os\nfrom other import thing\nfrom .a import b, c as d\nif True:\n    from .e.f import g\n'
    )
    assert import_origins(tmp_path / '__init__.py') == dict(b='a', d='a', g='e.f')


def test_stand_ins_leave_no_trace_where_the_package_is_loaded_already():
    before = dict(sys.modules), list(sys.meta_path)
    with stand_ins(['mmengine.model', 'mmengine.infer']):
        assert sys.modules['mmengine.model'] is mmengine.model
    assert (dict(sys.modules), list(sys.meta_path)) == before


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that counts how often its `__init__` runs, in an own place of the search path."""
    root = tmp_path / 'standing'
    for folder in (root, root / 'inner'):
        folder.mkdir()
        (folder / '__init__.py').touch()
    (root / 'inner' / '__init__.py').write_text(
        'import standing\nstanding.runs += 1\nown = 3\nfrom .part import Thing\n'
    )
    (root / '__init__.py').write_text('runs = 0\n')
    (root / 'inner' / 'part.py').write_text('class Thing:\n    pass\n')
    monkeypatch.syspath_prepend(tmp_path)
    yield Path(root)
    for name in [name for name in sys.modules if name.split('.')[0] == 'standing']:
        del sys.modules[name]
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, mmengine_bases.CompletePackages)]


def test_package_runs_once_and_only_after_the_block(package):
    import standing

    with stand_ins(['standing.inner']):
        from standing.inner import Thing

        with pytest.raises(ImportError, match='no_such'):
            from standing.inner import no_such  # noqa: F401
        assert standing.runs == 0
        stand_in = sys.modules['standing.inner']
    assert 'standing.inner' not in sys.modules and standing.runs == 0
    assert stand_in.part.Thing is Thing and standing.runs == 0  # as `import standing.inner.part as part` finds it
    assert stand_in.own == 3 and standing.runs == 1  # as a module has it that imported it meanwhile
    import standing.inner

    assert standing.runs == 1 and standing.inner.Thing is Thing and standing.inner.part.Thing is Thing
    assert not any(isinstance(finder, mmengine_bases.CompletePackages) for finder in sys.meta_path)


def test_missing_package_is_an_import_error(package):
    names = ['standing.inner', 'standing.nothing']
    with pytest.raises(ModuleNotFoundError, match=r'standing\.nothing'), stand_ins(names):
        pass
    assert 'standing.inner' not in sys.modules
    from standing.inner import own

    assert own == 3
