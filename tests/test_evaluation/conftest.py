import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Statistics are kept below here."""
    monkeypatch.setenv('MMCM_HOME', str(tmp_path / 'cache'))
    return tmp_path / 'cache' / 'statistics'
