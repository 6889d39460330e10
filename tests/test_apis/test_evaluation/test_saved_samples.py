from pathlib import Path

import numpy as np
import pytest
import torch

from mmcm.apis.evaluation import saved_samples
from mmcm.apis.evaluation.saved_samples import check_saving, packed, put_together
from mmcm.structures import DataSample
from mmcm.utils.block_store import BlockStore
from mmcm.utils.errors import InputError


def image(index):
    return torch.full((3, 2, 4), index, dtype=torch.uint8) + torch.arange(3, dtype=torch.uint8).view(3, 1, 1)


def batches(folder, *indices, labelled=True):
    """Return the files of batches of two, of processes that generated `indices`."""
    store = BlockStore(folder / 'store', 'batch_{:06d}.npz')
    store.open()
    for rank, mine in enumerate(indices):
        for number, start in enumerate(range(0, len(mine), 2)):
            samples = [
                DataSample.of(label=index % 10 if labelled else None, sample_idx=index, fake_img=image(index))
                for index in mine[start : start + 2]
            ]
            store.write(number * len(indices) + rank, packed(samples))
    return store.finished()


@pytest.mark.parametrize('indices', [
    ([0, 1, 2, 3, 4], ), ([0, 1, 4], [2, 3]), ([0, 2, 4], [1, 3, 0]), ([0, 1, 2, 3, 4], [])
], ids=['one process', 'whole batches', 'in turns, one twice', 'nothing for one'])  # yapf: disable
def test_batches_are_put_in_the_order_of_the_requests(tmp_path, monkeypatch, indices):
    monkeypatch.setattr(saved_samples, 'CHUNK', 3)
    together = put_together(batches(tmp_path, *indices), {})
    assert together.shape == (5, 2, 4, 3) and together.labels == [0, 1, 2, 3, 4]
    expected = np.stack([image(index).permute(1, 2, 0).numpy() for index in range(5)])
    for _ in range(2):  # an image set may be read more than once
        assert np.array_equal(np.concatenate(list(together.blocks())), expected)


def test_unconditional_images_have_no_labels(tmp_path):
    assert put_together(batches(tmp_path, [0], [1], labelled=False), {}).labels is None


@pytest.mark.skipif(not Path('/proc/self/fd').exists(), reason='counts open files in /proc')
def test_files_of_many_batches_are_not_open_at_once(tmp_path):
    resource = pytest.importorskip('resource')
    files, before = batches(tmp_path, list(range(100))), len(list(Path('/proc/self/fd').iterdir()))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 10, limits[1]))
    try:
        together = put_together(files, {})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for _ in together.blocks():
        assert len(list(Path('/proc/self/fd').iterdir())) <= before + 2


def test_what_does_not_fit_the_disk_is_refused(tmp_path):
    with pytest.raises(InputError, match='free space'):
        check_saving([tmp_path / 'x.npz'], (10**9, 1000, 1000, 3))
