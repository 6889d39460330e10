import logging
import os
from functools import partial

import pytest

from mmcm.engine.console import end_with_reader, is_for_console, write_utf8
from mmcm.utils import interrupts

MMENGINE = '/lib/site-packages/mmengine/runner/runner.py'


@pytest.mark.parametrize(
    'path, level, text, expected',
    [
        (MMENGINE, logging.INFO, 'Iter(train) [20/60]', True),
        (MMENGINE, logging.INFO, 'Config:\nmodel = dict()', False),
        (MMENGINE, logging.WARNING, 'The prefix is not set, which will be deprecated', False),
        (MMENGINE, logging.WARNING, 'the loss is high', True),
        (MMENGINE, logging.ERROR, 'one line\nand SyncBatchNorm', True),
        ('/home/user/own_hook.py', logging.INFO, 'my hook says:\nSyncBatchNorm', True),
    ],
)
def test_console_leaves_out_lists_and_what_mmengine_says_of_itself(path, level, text, expected):
    assert is_for_console(logging.LogRecord('mmengine', level, path, 1, text, (), None)) is expected


def message(text):
    """Return the record of `text`, as handed to the handlers of a run."""
    return logging.LogRecord('mmengine', logging.INFO, '/own.py', 1, text, (), None)


def test_log_file_is_utf8_whatever_the_locale_has(tmp_path):
    handler = logging.FileHandler(tmp_path / 'run.log', encoding='ascii')
    write_utf8(handler)
    handler.emit(message('日本 caf\udce9'))
    handler.close()
    assert (tmp_path / 'run.log').read_text(encoding='utf-8') == '日本 caf\\udce9\n'


@pytest.mark.parametrize('held', [False, True])
def test_closed_console_ends_a_run_as_a_signal_does(held, capfd):
    reading, writing = os.pipe()
    os.close(reading)
    with interrupts.interruptible(), open(writing, 'w') as stream:
        handler = logging.StreamHandler(stream)
        handler.handleError = partial(end_with_reader, handler.handleError)
        if held:
            interrupts.hold()
            handler.emit(message('in a step'))
            handler.emit(message('in the same step'))
            with pytest.raises(interrupts.Interrupted) as error:
                interrupts.release()
        else:
            with pytest.raises(interrupts.Interrupted) as error:
                handler.emit(message('between steps'))
        assert interrupts.received() == 13 and error.value.exit_code == 141
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)  # for what is left in the buffer
    assert capfd.readouterr().err == ''
