import torch
from torch import nn

from mmcm.utils.meta_device import without_weights


def test_networks_get_shapes_and_no_values():
    with without_weights():
        network = nn.Sequential(nn.Embedding(10, 4), nn.Linear(4, 3), nn.Conv2d(3, 2, 1))
        nn.init.trunc_normal_(network[1].weight)
        nn.init.kaiming_normal_(tensor=network[1].weight)
    assert all(parameter.is_meta for parameter in network.parameters())
    assert [tuple(parameter.shape) for parameter in network.parameters()][:2] == [(10, 4), (3, 4)]


def test_tensors_on_other_devices_are_filled_as_ever():
    weight = torch.zeros(100, dtype=torch.float32, device='cpu')
    with without_weights():
        nn.init.normal_(weight)
        other = torch.zeros(100, device='cpu').uniform_(1, 2)
    assert weight.std() > 0.5 and other.min() >= 1


def test_networks_are_initialised_after_the_block():
    with without_weights():
        nn.Linear(2, 2)
    assert nn.Linear(20, 20).weight.std() > 0
