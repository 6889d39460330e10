"""Numbers measured on the reference programs, and the weights that they were measured with.

The arrays lie in `tests/data/parity/`: `<case>__<array>`, and `meta`, a JSON string of all that is not an array.
"""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mmcm.checkpoints.snapshots.edm2_network import edm2_denoiser_config
from mmcm.denoisers import KarrasDenoiser, TrigFlowDenoiser

FOLDER = Path(__file__).parents[1] / 'data' / 'parity'


# EDM's names of settings, with its defaults, and ours.
EDM_NETWORKS = dict(
    SongUNet=dict(num_blocks=4, attn_resolutions=(16,), channel_mult_noise=1, resample_filter=(1, 1)),
    DhariwalUNet=dict(num_blocks=3, attn_resolutions=(32, 16, 8)),
)
EDM_SETTINGS = dict(
    img_resolution='image_size',
    model_channels='base_channels',
    num_blocks='num_res_blocks',
    attn_resolutions='attention_resolutions',
    channel_mult='channel_mult',
    channel_mult_noise='noise_mult',
    embedding_type='embedding',
    encoder_type='encoder',
    resample_filter='resample_filter',
    dropout='dropout',
    label_dim='num_classes',
    augment_dim='augment_dim',
)


class Fixture:
    """One file of measured arrays; `fixture('name')` is a tensor, `fixture('case', 'name')` one of a case."""

    def __init__(self, name):
        with np.load(FOLDER / f'{name}.npz') as file:
            self.arrays = dict(file)
        self.meta = json.loads(str(self.arrays.pop('meta')))

    def __call__(self, *key):
        return torch.from_numpy(self.arrays['__'.join(key)])

    def __contains__(self, name):
        return name in self.arrays


def manifest(name):
    """Return the ordered keys and shapes of a reference network: {key: shape}, and the options it was built with."""
    content = json.loads((FOLDER / f'state_dict_{name}.json').read_text())
    return {key: tuple(shape) for key, shape, _ in content['state_dict']}, content


def fill(shapes, salt=''):
    """Return the weights of the measurements: each tensor is a function of its key, its shape and a salt."""
    weights = {}
    for key, shape in shapes.items():
        draw = np.random.RandomState(zlib.crc32((salt + key).encode())).standard_normal(tuple(shape))
        if len(shape) > 1:
            draw = draw / np.sqrt(np.prod(shape[1:]))
        elif len(shape) == 0:  # gains
            draw = 1 + 0.1 * draw
        elif key.endswith(('freqs', 'phases')):
            draw = 3 * draw
        else:
            draw = 1 + 0.1 * draw if key.endswith(('weight', '_scale')) else 0.05 * draw
        weights[key] = torch.from_numpy(np.asarray(draw, dtype=np.float32))
    return weights


def edm_config(options, **changes):
    """Translate the options of EDM's preconditioned network into the config of a SongUNet or DhariwalUNet."""
    kind = options['model_type']
    options = {**EDM_NETWORKS[kind], **options}
    found = {ours: options[name] for name, ours in EDM_SETTINGS.items() if name in options}
    for name in ('num_classes', 'augment_dim'):  # 0 stands for none in EDM
        found[name] = found[name] or None
    return dict(type=kind, **found, **changes)


def edm2_config(options):
    """Translate the constructor options of EDM2's reference into an EDM2UNet config; labels may be missing."""
    backbone = edm2_denoiser_config(options)['backbone']
    return {**backbone, 'null_class': 'num_classes' in backbone}


def adm_config(options):
    """Translate the reference's constructor options into an ADMUNet config."""
    heads = options.get('num_head_channels', -1)
    return dict(
        type='ADMUNet',
        image_size=options['image_size'],
        in_channels=options['in_channels'],
        base_channels=options['model_channels'],
        out_channels=options['out_channels'],
        num_res_blocks=options['num_res_blocks'],
        attention_resolutions=[options['image_size'] // factor for factor in options['attention_resolutions']],
        channel_mult=options['channel_mult'],
        num_classes=options['num_classes'],
        num_heads=options.get('num_heads', 1),
        num_head_channels=None if heads == -1 else heads,
        scale_shift_norm=options['use_scale_shift_norm'],
        resblock_updown=options['resblock_updown'],
    )


def close(actual, expected, ulps, scale=None):
    """Assert that two results of the same formula differ by its rounding alone: by at most `ulps` eps `scale`.

    Processors (and numbers of threads) choose other polynomials for exp, log, cos and powers, and add in another order.

    Args:
        actual (Tensor): Float numbers.
        expected (Tensor): The same, of another program, processor or precision; the coarser of the two dtypes has eps.
        ulps (float | Tensor): How many roundings the formula has, each at most eps, its condition number included.
        scale (float | Tensor, optional): Size of the numbers that are rounded; |expected|, unless larger ones cancel.
    """
    eps = max(torch.finfo(values.dtype).eps for values in (actual, expected))
    found, wanted = actual.detach().double(), expected.detach().double()
    assert found.shape == wanted.shape, f'{tuple(found.shape)} instead of {tuple(wanted.shape)}'
    error, bound = (found - wanted).abs(), eps * torch.as_tensor(ulps) * (wanted.abs() if scale is None else scale)
    # Not error > bound, which is wrong for NaN, too.
    assert bool((error <= bound).all()), f'off by up to {(error / bound).nan_to_num().max().item():.3g} times the bound'


def level_ulps(sigma, sigma_max=80.0, rho=7.0):
    """Return by how many eps a level of Karras et al. may be off where it is computed in the precision of eps.

    Of (top + position (bottom - top))^rho, with top = sigma_max^(1 / rho), the sum is off by 3 eps top at most: half an
    eps twice for the position, and once each for the constant, the product, top and the sum. The power multiplies that
    error, relative to the sum sigma^(1 / rho), by rho, and adds an eps of its own.
    """
    return 1 + 3 * rho * (sigma_max / sigma) ** (1 / rho)


# What may part two float32 computations of standard normal noise, in eps. Box and Muller's radius sqrt(-2 log u) is at
# most sqrt(-2 log 2^-24) = 5.8, as u has 24 bits, and the cosine's argument, up to 2 pi, is off by an eps of itself.
NORMAL_ULPS = 2 * math.pi * math.sqrt(48 * math.log(2))


def gaussian_denoiser(x, sigma, mean=0.0, std=0.5):
    """The exact denoiser for data N(mean, std^2); with the defaults, it drove the measurements of the samplers."""
    return mean + (x - mean) * std**2 / (sigma.view(-1, 1, 1, 1) ** 2 + std**2)


def gaussian_consistency(x, sigma, mean=0.0, std=0.5):
    """The exact consistency function for data N(mean, std^2): where the ODE takes x to at noise level zero."""
    return mean + (x - mean) * std / (std**2 + sigma.view(-1, 1, 1, 1) ** 2).sqrt()


class GaussianNetwork(nn.Module):
    """The backbone with which TrigFlow's denoiser is `exact` for data N(mean, std^2), plus features that are unused.

    Mean, logarithm of the deviation and the features' coefficients are parameters, the last ones zero.
    """

    def __init__(self, exact=gaussian_consistency, mean=0.3, std=0.2, sigma_data=0.5):
        super().__init__()
        self.exact = exact
        self.sigma_data = sigma_data
        self.mean = nn.Parameter(torch.tensor(mean, dtype=torch.float64))
        self.log_std = nn.Parameter(torch.tensor(std, dtype=torch.float64).log())
        self.unused = nn.Parameter(torch.zeros(5, dtype=torch.float64))

    def forward(self, x, t, labels=None):
        t = t.view(-1, 1, 1, 1)
        x0 = self.exact(self.sigma_data * x / t.cos(), self.sigma_data * t.tan(), self.mean, self.log_std.exp())
        features = torch.stack([x, x**2, x * t, t.expand_as(x), torch.ones_like(x)], dim=-1)
        return (x0 - t.cos() * self.sigma_data * x) / (t.sin() * self.sigma_data) + features @ self.unused


def gaussian_model(**options):
    """Return a denoiser that is exact for Gaussian data, in double precision; see `GaussianNetwork`."""
    return TrigFlowDenoiser(dict(type=GaussianNetwork, **options), time_scale=1.0)


class ToyNetwork(nn.Module):
    """F(x, t) = W x + b + (t / 250) u + E[y] for each pixel, the network that the losses were measured with.

    E is there in the measurements with classes alone.
    """

    def __init__(self, W, b, u, E=None):
        super().__init__()
        self.W, self.b, self.u = (nn.Parameter(value.clone()) for value in (W, b, u))
        self.E = None if E is None else nn.Parameter(E.clone())

    def forward(self, x, t, labels=None):
        level = (t / 250)[:, None] * self.u
        if self.E is not None:
            level = level + self.E[labels]
        return F.conv2d(x, self.W[:, :, None, None], self.b) + level[:, :, None, None]


class LabelledToyNetwork(nn.Module):
    """F(x, log(s) / 4) = W x + b + log(s) u + E[y] for each pixel; E of the null class, the last one, is zero."""

    def __init__(self, W, b, u, E):
        super().__init__()
        self.W, self.b, self.u = (nn.Parameter(value.clone()) for value in (W, b, u))
        self.E = nn.Parameter(torch.cat((E, torch.zeros_like(E[:1]))))

    def forward(self, x, t, labels):
        level = (4 * t)[:, None] * self.u + self.E[labels]
        return F.conv2d(x, self.W[:, :, None, None], self.b) + level[:, :, None, None]


class UncertainToyNetwork(LabelledToyNetwork):
    """A LabelledToyNetwork with the logarithm of the loss's variance, la log(s) / 4 + lb, as EDM2's has one."""

    def __init__(self, la, lb, **weights):
        super().__init__(**weights)
        self.la, self.lb = nn.Parameter(la.clone()), nn.Parameter(lb.clone())

    def log_variance(self, t):
        return self.la * t + self.lb


class RawDenoiser(KarrasDenoiser):
    """A denoiser as Kinyugo's package has it: F gets the noisy image and the level as they are."""

    def forward(self, x, sigma, labels=None):
        c_skip, c_out, _ = (c.view(-1, 1, 1, 1) for c in self.scalings(sigma))
        return c_skip * x + c_out * self.backbone(x, sigma, labels)


def toy_denoiser(fixture, name, boundary, kind=KarrasDenoiser):
    """Return a denoiser around the toy network whose weights `fixture` holds as `name`."""
    weights = {letter: fixture(f'{name}_{letter}') for letter in 'WbuE' if f'{name}_{letter}' in fixture}
    return kind(dict(type=ToyNetwork, **weights), boundary=boundary)


class ReplayedNoise:
    """A `randn_like` that hands out recorded noises (draws, N, C, H, W) in their order."""

    def __init__(self, noises):
        self.remaining = list(noises)

    def __call__(self, x):
        noise = self.remaining.pop(0)
        assert noise.shape == x.shape
        return noise.to(x.dtype)
