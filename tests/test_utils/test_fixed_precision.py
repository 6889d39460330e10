import pytest
import torch
from torch import nn

from mmcm.backbones.edm_blocks import FourierEmbedding
from mmcm.backbones.magnitude_preserving import MPFourier
from mmcm.checkpoints.weights import assign_weights
from mmcm.utils.finite import in_dtype
from mmcm.utils.fixed_precision import float32_keys
from mmcm.utils.meta_device import without_weights


def network():
    torch.manual_seed(0)
    return nn.Sequential(FourierEmbedding(8), nn.Linear(8, 8), nn.ModuleDict(dict(u=MPFourier(4))))


NAMES = {'0.freqs', '2.u.freqs', '2.u.phases'}


def test_names_are_those_of_the_state():
    assert float32_keys(network()) == NAMES
    assert float32_keys(nn.Linear(2, 2)) == set() and float32_keys(MPFourier(4)) == {'freqs', 'phases'}


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_frequencies_keep_their_precision(dtype):
    whole, low = network(), network().to(dtype)
    assert low[1].weight.dtype == dtype
    for key, value in low.state_dict().items():
        if key in NAMES:
            torch.testing.assert_close(value, whole.state_dict()[key], rtol=0, atol=0)
    t = torch.tensor([-1.55, 1.1])  # log(sigma) / 4 of the smallest and the largest level
    torch.testing.assert_close(low[0](t), whole[0](t), rtol=0, atol=0)


def test_memory_from_the_meta_device_is_of_float32():
    with without_weights():
        built = network()
    empty = built.to(torch.bfloat16).to_empty(device='cpu')
    assert {key: empty.state_dict()[key].dtype for key in NAMES} == dict.fromkeys(NAMES, torch.float32)
    assert empty[1].weight.dtype == torch.bfloat16


def test_weights_are_loaded_and_written_likewise():
    whole = network().state_dict()
    with without_weights():
        built = network()
    assign_weights(built, whole, torch.bfloat16)
    written = in_dtype(whole, torch.float16, float32_keys(built))
    for key, value in whole.items():
        assert built.state_dict()[key].dtype == (torch.float32 if key in NAMES else torch.bfloat16)
        assert written[key].dtype == (torch.float32 if key in NAMES else torch.float16)
        if key in NAMES:
            assert torch.equal(built.state_dict()[key], value) and torch.equal(written[key], value)
