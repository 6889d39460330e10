import pytest
import torch
from torch.testing import assert_close

from mmcm.denoisers import KarrasDenoiser
from mmcm.noise import SIGMA_MIN
from support.parity import Fixture, adm_config, fill, toy_denoiser

MODES = pytest.mark.parametrize('mode, boundary', [('edm', False), ('boundary', True)])


@pytest.fixture(scope='module')
def fixture():
    return Fixture('denoiser')


def denoiser(fixture, boundary):
    """Return the denoiser of the measurements around the small class-conditional U-Net."""
    result = KarrasDenoiser(adm_config(fixture.meta['network_kwargs']), boundary=boundary).eval()
    result.backbone.load_state_dict(fill({key: value.shape for key, value in result.backbone.state_dict().items()}))
    return result


@MODES
def test_scalings_are_the_references(fixture, mode, boundary):
    scalings = denoiser(fixture, boundary).scalings(fixture('sigma'))
    for name, values in zip(('c_skip', 'c_out', 'c_in'), scalings):
        assert_close(values, fixture(mode, name), rtol=1e-6, atol=2e-7, msg=lambda text, name=name: f'{name}: {text}')


@MODES
@torch.no_grad()
def test_estimate_and_conditioning_are_the_references(fixture, mode, boundary):
    subject = denoiser(fixture, boundary)
    conditioning = []
    subject.backbone.register_forward_pre_hook(lambda module, inputs: conditioning.append(inputs[1]))
    for index, level in enumerate(fixture('net_sigma')):
        sigma = level.expand(len(fixture('net_y')))
        result = subject(fixture('net_x0') + level * fixture('net_noise'), sigma, fixture('net_y'))
        assert_close(result, fixture(mode, 'net_denoised')[index], rtol=0, atol=3e-5)
    assert_close(torch.stack(conditioning), fixture(mode, 'net_rescaled_t'), rtol=0, atol=2e-4)


@torch.no_grad()
def test_estimate_at_the_smallest_level_is_the_input(fixture):
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    sigma = torch.full((2,), SIGMA_MIN)
    assert torch.equal(denoiser(fixture, boundary=True)(x, sigma, fixture('net_y')), x)
    assert not torch.equal(denoiser(fixture, boundary=False)(x, sigma, fixture('net_y')), x)


@torch.no_grad()
def test_each_image_has_its_own_level():
    subject = toy_denoiser(Fixture('losses'), 'model', boundary=True)
    x, sigma = torch.randn(3, 3, 4, 4, generator=torch.Generator().manual_seed(0)), torch.tensor([0.1, 2.0, 30.0])
    alone = torch.cat([subject(x[i : i + 1], sigma[i : i + 1]) for i in range(3)])
    assert_close(subject(x, sigma), alone)


@pytest.mark.parametrize('sigma_data', [0.5, 1.3])
def test_input_and_target_of_the_network_have_unit_variance(sigma_data):
    """Karras et al. (2022), Appendix B.6: c_in and c_out are defined by it."""
    sigma = torch.logspace(-3, 2, 20, dtype=torch.float64)
    subject = KarrasDenoiser(dict(type=torch.nn.Identity), sigma_data=sigma_data, boundary=False)
    c_skip, c_out, c_in = subject.scalings(sigma)
    ones = torch.ones_like(sigma)
    assert_close(c_in**2 * (sigma**2 + sigma_data**2), ones)
    assert_close(((1 - c_skip) ** 2 * sigma_data**2 + c_skip**2 * sigma**2) / c_out**2, ones)
