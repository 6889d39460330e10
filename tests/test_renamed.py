import importlib
import subprocess
import sys

import pytest

from mmcm.renamed import MOVED_NAMES, RENAMED, RENAMED_NAMES

NEEDS = {'mmcm.apis.mmagic_bridge': 'mmagic', 'mmcm.web.controls': 'gradio', 'mmcm.web.events': 'gradio'}


@pytest.mark.filterwarnings('default::DeprecationWarning')  # its parents may have been renamed, too
@pytest.mark.parametrize('old', RENAMED)
def test_module_is_imported_by_its_old_name(old, monkeypatch):
    if old in NEEDS:
        pytest.importorskip(NEEDS[old])
    for name in [name for name in sys.modules if name == old]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.warns(DeprecationWarning, match=f'{old} is {RENAMED[old]} now'):
        module = importlib.import_module(old)
    assert module is importlib.import_module(RENAMED[old])
    parent, _, child = old.rpartition('.')
    monkeypatch.delattr(sys.modules[parent], child)  # which would hide a function of that name
    assert module.__name__ == module.__spec__.name == RENAMED[old]


@pytest.mark.parametrize('package, name', MOVED_NAMES)
def test_name_is_imported_from_its_old_package(package, name, monkeypatch):
    monkeypatch.delitem(vars(importlib.import_module(package)), name, raising=False)  # a submodule, by its old name
    with pytest.warns(DeprecationWarning, match=f'{package}.{name} is {MOVED_NAMES[package, name]}.{name} now'):
        value = getattr(importlib.import_module(package), name)
    assert value is getattr(importlib.import_module(MOVED_NAMES[package, name]), name)


@pytest.mark.parametrize('package, name', RENAMED_NAMES)
def test_value_is_imported_by_its_old_name(package, name, monkeypatch):
    module = importlib.import_module(package)
    monkeypatch.delitem(vars(module), name, raising=False)  # a submodule, by its old name
    new, _, new_name = RENAMED_NAMES[package, name].rpartition('.')
    with pytest.warns(DeprecationWarning, match=f'{package}.{name} is {RENAMED_NAMES[package, name]} now'):
        value = getattr(module, name)
    assert value is getattr(importlib.import_module(new or package), new_name)


def test_name_that_never_was_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'mmcm.zoo' has no attribute 'cached_fiel'"):
        importlib.import_module('mmcm.zoo').cached_fiel  # noqa: B018


def test_old_names_work_in_a_fresh_process():
    code = (
        'from mmcm.interop import read_config; from mmcm.utils.weights import load_weights; import mmcm.editing.tasks'
    )
    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True)
