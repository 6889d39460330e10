import math

import pytest
import torch
from torch.testing import assert_close

from mmcm.checkpoints.trusted_config import C_NOISE as TRUSTED
from mmcm.denoisers import KarrasDenoiser, TrigFlowDenoiser
from mmcm.denoisers.noise_conditioning import C_NOISE
from mmcm.utils.errors import InputError

SIGMA = torch.tensor([0.002, 1.0, math.e**4, 80.0]).double()


class Listening(torch.nn.Module):
    """A network that keeps the noise level that it is called with."""

    def forward(self, x, c_noise, labels=None):
        self.c_noise = c_noise
        return x


@pytest.mark.parametrize('kind', [KarrasDenoiser, TrigFlowDenoiser])
@pytest.mark.parametrize('name, factor', [('250 log sigma', 250.0), ('log(sigma) / 4', 0.25)])
def test_network_is_called_with_the_chosen_scaling(kind, name, factor):
    denoiser = kind(dict(type=Listening), c_noise=name)
    denoiser(torch.ones(4, 1, 2, 2).double(), SIGMA)
    assert_close(denoiser.backbone.c_noise, factor * SIGMA.log(), rtol=1e-12, atol=1e-9)


def test_default_is_that_of_the_released_weights():
    for kind in (KarrasDenoiser, TrigFlowDenoiser):
        assert kind(dict(type=Listening)).c_noise == '250 log sigma'


def test_time_scale_goes_before_c_noise():
    denoiser = TrigFlowDenoiser(dict(type=Listening), sigma_data=0.5, time_scale=3.0, c_noise='log(sigma) / 4')
    denoiser(torch.ones(1, 1, 2, 2).double(), torch.tensor([0.5]).double())
    assert denoiser.backbone.c_noise.item() == pytest.approx(3 * math.pi / 4)


@pytest.mark.parametrize('kind', [KarrasDenoiser, TrigFlowDenoiser])
def test_unknown_scaling_is_refused(kind):
    with pytest.raises(InputError, match='c_noise has to be one of 250 log sigma'):
        kind(dict(type=Listening), c_noise='log sigma')


def test_files_of_weights_may_name_each_scaling():
    assert set(TRUSTED.values) == set(C_NOISE)
