import pytest
import torch

from mmcm.utils.batches import Batches
from mmcm.utils.errors import InputError


def asked_of(batches, total, fits):
    """Return the sizes that were tried, and the samples that came out."""
    tried = []

    def function(part):
        tried.append(part.stop - part.start)
        if tried[-1] > fits:
            raise torch.cuda.OutOfMemoryError('out of memory')
        return list(range(part.start, part.stop))

    return tried, [sample for result in batches.run(function, total) for sample in result]


def test_samples_come_in_order_in_batches_of_the_size():
    assert asked_of(Batches(4), 10, fits=4) == ([4, 4, 2], list(range(10)))


def test_size_is_halved_for_good():
    batches = Batches(16)
    assert asked_of(batches, 10, fits=3) == ([10, 5, 2, 2, 2, 2, 2], list(range(10)))
    assert asked_of(Batches.of(batches), 3, fits=3) == ([2, 1], [0, 1, 2])


def test_single_sample_that_does_not_fit_is_an_error_that_tells_what_to_do():
    with pytest.raises(InputError, match='not even one image fits .*device cpu'):
        asked_of(Batches(4), 4, fits=0)
