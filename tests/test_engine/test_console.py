import logging

import pytest

from mmcm.engine.console import is_for_console

MMENGINE = '/lib/site-packages/mmengine/runner/runner.py'


@pytest.mark.parametrize('path, level, text, expected', [
    (MMENGINE, logging.INFO, 'Iter(train) [20/60]', True),
    (MMENGINE, logging.INFO, 'Config:\nmodel = dict()', False),
    (MMENGINE, logging.WARNING, 'The prefix is not set, which will be deprecated', False),
    (MMENGINE, logging.WARNING, 'the loss is high', True),
    (MMENGINE, logging.ERROR, 'one line\nand SyncBatchNorm', True),
    ('/home/user/own_hook.py', logging.INFO, 'my hook says:\nSyncBatchNorm', True),
])
def test_console_leaves_out_lists_and_what_mmengine_says_of_itself(path, level, text, expected):
    assert is_for_console(logging.LogRecord('mmengine', level, path, 1, text, (), None)) is expected
