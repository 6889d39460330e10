"""Tests of MMagic's own parts with ours: they run where MMagic is installed (`make test-mmagic`), else are skipped.

Those of our model, as MMagic calls it, run everywhere.
"""

from importlib.util import find_spec

import pytest

if find_spec('mmagic') is not None:
    import mmcm.mmagic.inferencer_bridge  # noqa: F401 (here, since what MMagic imports warns, and warnings fail a test)


def pytest_collection_modifyitems(items):
    if find_spec('mmagic') is None:
        for item in items:
            if item.path.parent.name == 'test_mmagic' and item.path.name != 'test_consistency_model.py':
                item.add_marker(pytest.mark.skip(reason='MMagic is not installed: make test-mmagic'))


@pytest.fixture
def inferencer():
    """MMagicInferencer."""
    from mmagic.apis import MMagicInferencer

    return MMagicInferencer
