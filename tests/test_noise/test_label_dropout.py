import torch

from mmcm.noise import label_dropout
from mmcm.noise.label_dropout import drop_labels


def test_share_of_the_labels_becomes_the_null_class():
    torch.manual_seed(0)
    labels = torch.arange(20000) % 10
    dropped = drop_labels(labels, 0.3, null_label=10)
    changed = dropped != labels
    assert (dropped[changed] == 10).all() and dropped.dtype == torch.int64
    assert abs(changed.float().mean() - 0.3) < 5 * (0.21 / 20000) ** 0.5  # five standard errors
    assert torch.equal(drop_labels(labels, 0.0, 10), labels)
    assert (drop_labels(labels, 1.0, 10) == 10).all()


def test_any_number_of_processes_drops_the_same_labels(monkeypatch):
    """Image j of process r is image 3 j + r of the global batch."""
    labels = torch.arange(12)
    torch.manual_seed(0)
    whole = drop_labels(labels, 0.5, 99)
    monkeypatch.setattr(label_dropout, 'get_world_size', lambda: 3)
    for rank in range(3):
        monkeypatch.setattr(label_dropout, 'get_rank', lambda rank=rank: rank)
        torch.manual_seed(0)
        assert torch.equal(drop_labels(labels[rank::3], 0.5, 99), whole[rank::3])
