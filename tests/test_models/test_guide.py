import pytest
import torch
from torch.testing import assert_close

from mmcm.apis import ConsistencyModelInferencer
from mmcm.apis.export import SamplingGraph
from mmcm.apis.sampling.bulk import sample_to_files
from mmcm.apis.sampling.image_archives import read_origin
from mmcm.models.guidance import NO_GUIDANCE, Guidance, guided_nfe
from mmcm.samplers import HeunSampler
from mmcm.utils.errors import InputError
from support.digits import BACKBONE, EDM2, build, model_config

WEAK = dict(BACKBONE, base_channels=64)


@pytest.fixture
def weak(tmp_path):
    """A second model, with another network, and the config of guidance by it."""
    model = build(seed=3, denoiser=dict(type='KarrasDenoiser', backbone=WEAK))
    path = tmp_path / 'weak.pt'
    torch.save(model.denoiser.backbone.state_dict(), path)
    return model, dict(scale=2.0, checkpoint=str(path), denoiser=dict(backbone=dict(base_channels=64)))


@pytest.mark.parametrize('interval', [None, (5.0, 50.0)])
def test_estimates_lead_away_from_those_of_the_second_network(weak, interval):
    other, config = weak
    model, by_hand = build(guidance=dict(config, interval=interval)), build()
    sampler, labels = HeunSampler(num_steps=2, sigma_max=40.0, sigma_min=2.0), [3, 4]
    own, calls = by_hand.denoiser.forward, []

    def both(x, sigma, labels):
        given, weaker = own(x, sigma, labels), other.denoiser(x, sigma, labels)
        return weaker + (2.0 if interval is None or sigma[0] > 5 else 1.0) * (given - weaker)

    by_hand.denoiser.forward = both
    model.guide.denoiser.register_forward_hook(lambda module, given, output: calls.append(given[1][0].item()))
    found = model.sample(2, labels, sampler=sampler)
    assert_close(found, by_hand.sample(2, labels, sampler=sampler), rtol=0, atol=1e-3)
    assert calls == pytest.approx([40.0, 2.0, 2.0] if interval is None else [40.0])
    assert model.nfe(sampler) == 3 + len(calls) == guided_nfe(sampler, model.guidance)
    plain = build().sample(2, labels, sampler=sampler)
    calls.clear()
    assert torch.equal(model.sample(2, labels, sampler=sampler, guidance=NO_GUIDANCE), plain) and not calls
    assert (found - plain).abs().max() > 0.05


def test_networks_of_edm2_of_two_widths_guide(tmp_path):
    sampler = dict(type='HeunSampler', num_steps=3, sigma_min=0.5)  # by which Heun's correction divides rounding
    narrow = dict(EDM2, backbone=dict(EDM2['backbone'], base_channels=8, num_head_channels=8))
    weak = build(seed=3, denoiser=narrow, sampler=sampler)
    torch.save(weak.denoiser.backbone.state_dict(), tmp_path / 'weak.pt')
    second = dict(base_channels=8, num_head_channels=8)
    guidance = dict(scale=1.7, checkpoint=str(tmp_path / 'weak.pt'), denoiser=dict(backbone=second))
    model, own = build(denoiser=EDM2, sampler=sampler, guidance=guidance), build(denoiser=EDM2, sampler=sampler)
    x, sigma, labels = torch.randn(2, 1, 8, 8), torch.tensor([3.0, 3.0]), torch.tensor([3, 4])
    guide = model.guide.on(torch.device('cpu'))
    assert torch.equal(guide(x, sigma, labels), weak.denoiser(x, sigma, labels))
    by_hand = own.denoiser.forward

    def guided_forward(x, sigma, labels):
        weaker = weak.denoiser(x, sigma, labels)
        return weaker + 1.7 * (by_hand(x, sigma, labels) - weaker)

    found = model.sample(2, [3, 4])
    own.denoiser.forward = guided_forward
    assert_close(found, own.sample(2, [3, 4]), rtol=0, atol=1e-4)
    assert model.nfe(model.sampler) == 10


def test_second_network_may_know_no_classes(tmp_path):
    network = dict(BACKBONE, num_classes=None)
    other = build(seed=3, denoiser=dict(type='KarrasDenoiser', backbone=network))
    torch.save(other.denoiser.backbone.state_dict(), tmp_path / 'weak.pt')
    guidance = dict(scale=2.0, checkpoint=str(tmp_path / 'weak.pt'), denoiser=dict(backbone=dict(num_classes=None)))
    assert build(guidance=guidance).sample(2, [1, 2]).isfinite().all()
    unconditional = build(denoiser=dict(type='KarrasDenoiser', backbone=network), guidance=guidance)
    plain = build(denoiser=dict(type='KarrasDenoiser', backbone=network))
    assert not torch.equal(unconditional.sample(2), plain.sample(2))


def test_second_network_is_no_part_of_the_model(weak):
    model = build(guidance=weak[1])
    assert model.state_dict().keys() == build().state_dict().keys()
    assert not any(parameter.requires_grad for parameter in model.guide.denoiser.parameters())
    assert model.checked_guidance(3.0) == Guidance(3.0)


def test_inferencer_reads_the_second_network_and_outputs_record_it(weak, tmp_path):
    (tmp_path / 'own.py').write_text(f'model = {model_config(guidance=weak[1])!r}\n')
    own = build()
    torch.save(own.denoiser.backbone.state_dict(), tmp_path / 'own.pt')
    inferencer = ConsistencyModelInferencer(tmp_path / 'own.py', str(tmp_path / 'own.pt'), 'cpu')
    out = tmp_path / 'x.npz'
    assert sample_to_files(inferencer, out, labels=[3, 4]).nfe == 4
    origin = read_origin(out)
    assert origin['guidance'] == dict(scale=2.0, interval=None) and len(origin['guide']) == 64
    result = inferencer(labels=[3, 4], output_type='pt')
    expected = build(guidance=weak[1]).sample(2, [3, 4])
    assert_close(result.images, (expected / 2 + 0.5).clamp(0, 1), rtol=0, atol=1e-5)
    assert not sample_to_files(inferencer, out, labels=[3, 4]).written
    other = build(seed=8, denoiser=dict(type='KarrasDenoiser', backbone=WEAK))
    torch.save(other.denoiser.backbone.state_dict(), weak[1]['checkpoint'])
    again = ConsistencyModelInferencer(tmp_path / 'own.py', str(tmp_path / 'own.pt'), 'cpu')
    assert sample_to_files(again, out, labels=[3, 4]).written and read_origin(out)['guide'] != origin['guide']


def test_training_reads_it_before_the_first_step(weak, tmp_path):
    model = build(guidance=weak[1])
    model.init_weights()
    assert model.guide.loaded
    missing = build(guidance=dict(weak[1], checkpoint=str(tmp_path / 'none.pt')))
    with pytest.raises(InputError, match='the second network of guidance cannot be read.*none.pt'):
        missing.init_weights()


def test_second_network_that_does_not_fit_is_refused(weak):
    config = weak[1]
    for changes, match in (
        (dict(num_classes=7), 'num_classes 7, and the model 10'),
        (dict(in_channels=3, out_channels=3), 'in_channels 3, and the model 1'),
    ):
        with pytest.raises(InputError, match=match):
            build(guidance=dict(config, denoiser=dict(backbone=changes)))
    with pytest.raises(InputError, match='both have to be flow maps, or neither'):
        flow_map = dict(type='FlowMapDenoiser', backbone=dict(num_conditions=1))
        build(guidance=dict(config, denoiser=flow_map))
    with pytest.raises(InputError, match='without weights: give its checkpoint'):
        build(guidance=dict(scale=2.0, average='0.99'))


def test_export_of_two_networks_is_refused(weak):
    with pytest.raises(InputError, match='guided by a second network, and a file holds one'):
        SamplingGraph(build(guidance=weak[1]))
