import pytest
import torch
from torch import nn

from mmcm.apis.analysis.model_facts import PeakBytes, described, model_facts
from mmcm.utils import precision
from mmcm.utils.errors import InputError
from mmcm.zoo import find


def test_peak_of_a_chain_is_its_input_and_two_results():
    network = nn.Sequential(*(nn.Linear(10, 10) for _ in range(4))).to('meta')
    x = torch.empty(3, 10, device='meta')
    counted = PeakBytes(network)
    counted.count(x.untyped_storage())
    with torch.no_grad(), counted:
        network(x)
    assert counted.peak == 3 * x.numel() * 4  # x stays alive, one result is read while the next one is written
    assert counted.live == x.numel() * 4


def test_facts_of_the_shipped_model_agree_with_the_catalogue():
    facts = model_facts('digits', batch_size=3)
    assert facts['parameters'] == find('digits').parameters
    assert facts['weight_bytes'] >= 4 * facts['parameters']
    assert facts['image_shape'] == (1, 8, 8) and facts['num_classes'] == 10
    assert (facts['nfe'], facts['flops_per_image']) == (1, facts['flops'])
    assert facts['activation_bytes'] == 3 * model_facts('digits')['activation_bytes']
    half = model_facts('digits', 3, 'float16')
    assert half['flops'] == facts['flops'] and half['weight_bytes'] < facts['weight_bytes']
    assert 'NFE 1' in described(facts)


def test_flops_are_those_of_the_layers(tmp_path):
    """A convolution of k x k from C to D channels takes 2 k^2 C D operations for each pixel."""
    from support.digits import model_config, write_config

    model = model_config()
    narrow = model_facts(str(write_config(tmp_path, 'narrow.py', model)))
    model['denoiser']['backbone']['in_channels'] = model['denoiser']['backbone']['out_channels'] = 3
    wide = model_facts(str(write_config(tmp_path, 'wide.py', model)))
    assert wide['flops'] - narrow['flops'] == 2 * (3 - 1) * 2 * 9 * 32 * 64  # the first and the last convolution


def test_sampler_decides_on_the_nfe():
    facts = model_facts('edm_1xb32_digits-8x8', sampler=dict(num_steps=5))
    assert facts['nfe'] == 9  # Heun's method takes two evaluations per step, and one in the last
    assert facts['flops_per_image'] == 9 * facts['flops']


def test_config_without_a_model_is_refused(tmp_path):
    (tmp_path / 'none.py').write_text('model = dict()')
    with pytest.raises(InputError, match='no.* config of a ConsistencyModel'):
        model_facts(str(tmp_path / 'none.py'))
    with pytest.raises(InputError, match='batch_size'):
        model_facts('digits', 0)


def test_auto_is_the_precision_that_the_inferencer_would_choose(monkeypatch):
    assert model_facts('digits', dtype='auto')['dtype'] == 'float32'
    monkeypatch.setattr(precision, 'LARGE', 1)
    monkeypatch.setattr(precision, 'fastest_dtype', lambda device: torch.bfloat16)
    facts = model_facts('digits', dtype='auto')
    assert facts['dtype'] == 'bfloat16' and facts == model_facts('digits', dtype='bfloat16')


@pytest.mark.parametrize(
    'config',
    ['tcm_1xb32_digits-8x8', 'pmf_1xb32_digits-8x8', 'edm2_1xb32_digits-8x8', 'ect-ddpmpp_1xb128_cifar10-32x32'],
)
def test_every_kind_of_network_is_counted(config):
    facts = model_facts(config)
    assert facts['parameters'] > 5e5 and facts['flops'] > facts['parameters']


def test_network_of_two_stages_costs_one_of_them_in_each_evaluation():
    alone, both = (model_facts(f'{method}_1xb32_digits-8x8') for method in ('ect', 'tcm'))
    assert both['flops'] == alone['flops']
