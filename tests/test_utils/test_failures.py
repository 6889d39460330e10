"""Failures of other processes, described in one line."""

from multiprocessing import resource_sharer

import pytest

from mmcm.utils.failures import machine_failure


def test_process_that_ends_while_it_passes_tensors_is_reported():
    sent = resource_sharer.DupFd(1)
    resource_sharer.stop()
    with pytest.raises((ConnectionError, FileNotFoundError)) as caught:
        sent.detach()
    error = ConnectionResetError(104, 'Connection reset by peer').with_traceback(caught.value.__traceback__)
    assert machine_failure(error).startswith('a process that reads images has ended while it passed some on.')
    assert machine_failure(ConnectionResetError(104, 'Connection reset by peer')) is None
