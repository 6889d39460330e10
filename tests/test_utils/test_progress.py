import pytest

from mmcm.utils import progress
from mmcm.utils.progress import progress_bar, progress_line


def test_line_names_rate_and_remaining_time():
    assert progress_line('sampling', 250, 1000, 30.0, 'images') == (
        'sampling: 250 of 1000 images in 0:00:30, 8.333 images/s, 0:01:30 left'
    )
    assert progress_line('packing', 0, 1000, 90.0) == 'packing: 0 of 1000 steps in 0:01:30'


@pytest.fixture
def clock(monkeypatch):
    seconds = [0.0]
    monkeypatch.setattr(progress.time, 'monotonic', lambda: seconds[0])
    return seconds


def test_pipe_gets_a_line_every_interval(clock, capsys):
    with progress_bar('packing', 40, unit='blocks') as advance:
        for _ in range(40):
            clock[0] += progress.LINE_INTERVAL / 4
            advance()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0] == 'packing: 4 of 40 blocks in 0:00:10, 0.4 blocks/s, 0:01:30 left'
    assert lines[-1] == 'packing: 40 of 40 blocks in 0:01:40, 0.4 blocks/s, 0:00:00 left'


def test_short_work_and_hidden_progress_write_nothing(clock, capsys):
    with progress_bar('packing', 2) as advance:
        advance()
    with progress_bar('packing', 2, shown=False) as advance:
        clock[0] += 100
        advance()
    assert capsys.readouterr() == ('', '')
