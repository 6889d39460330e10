import numpy as np
import pytest
import torch

from mmcm.apis.evaluation import saved_samples as kept_samples
from mmcm.apis.evaluation.saved_samples import Share, check_keepable, in_bytes, put_together
from mmcm.structures import DataSample
from mmcm.utils.errors import InputError


def image(index):
    return torch.full((3, 2, 4), index, dtype=torch.uint8) + torch.arange(3, dtype=torch.uint8).view(3, 1, 1)


def shares(folder, *indices, labelled=True):
    """Return the share of each process, which has drawn `indices`, in batches of two."""
    made = []
    for rank, mine in enumerate(indices):
        share = Share(folder / str(rank))
        for start in range(0, len(mine), 2):
            share.add(
                [
                    DataSample.of(label=index % 10 if labelled else None, sample_idx=index, fake_img=image(index))
                    for index in mine[start : start + 2]
                ]
            )
        share.close()
        made.append(share)
    return made


@pytest.mark.parametrize('indices', [
    ([0, 1, 2, 3, 4], ), ([0, 1, 4], [2, 3]), ([0, 2, 4], [1, 3, 0]), ([0, 1, 2, 3, 4], [])
], ids=['one process', 'whole batches', 'in turns, one twice', 'nothing for one'])  # yapf: disable
def test_shares_are_put_in_the_order_of_the_requests(tmp_path, monkeypatch, indices):
    monkeypatch.setattr(kept_samples, 'BLOCK', 2)
    together = put_together(shares(tmp_path, *indices), {})
    assert together.shape == (5, 2, 4, 3) and together.labels == [0, 1, 2, 3, 4]
    expected = np.stack([image(index).permute(1, 2, 0).numpy() for index in range(5)])
    for _ in range(2):  # an image set may be read more than once
        assert np.array_equal(np.concatenate(list(together.blocks())), expected)


def test_unconditional_images_have_no_labels(tmp_path):
    assert put_together(shares(tmp_path, [0], [1], labelled=False), {}).labels is None


def test_what_does_not_fit_the_disk_is_refused(tmp_path):
    with pytest.raises(InputError, match='free space'):
        check_keepable([tmp_path / 'x.npz'], (10**9, 1000, 1000, 3))


def test_bytes_are_in_units_that_fit_them():
    assert [in_bytes(number) for number in (0, 25600, 12345678, 6 * 10**15)] == [
        '0 bytes',
        '25.6 kB',
        '12.3 MB',
        '6e+03 TB',
    ]
