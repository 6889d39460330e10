import logging

import pytest
from mmengine.logging import MMLogger


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Statistics are kept below here."""
    monkeypatch.setenv('MMCM_HOME', str(tmp_path / 'cache'))
    return tmp_path / 'cache' / 'statistics'


@pytest.fixture
def logged():
    """The warnings that MMEngine's logger is given."""
    found = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: found.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)
