"""Networks of flow maps for tests: the measured toy network, and the exact mean velocity of Gaussian data."""

import torch
from torch import nn
from torch.nn import functional as F

from mmcm.denoisers import FlowMapDenoiser


class TwoTimes(nn.Module):
    """u = W x + b + t p + r q + sin(V x + (t - r) s) + E[y] for each pixel, which the losses were measured with.

    The last row of E is the null class.
    """

    def __init__(self, fixture, classes):
        super().__init__()
        for name in 'WVbpqs' + 'E' * classes:
            setattr(self, name, nn.Parameter(fixture(f'model_{name}').clone()))
        self.null_label = len(self.E) - 1 if classes else None

    def forward(self, x, t, labels, conditions):
        r = t - conditions[:, 0]
        weights = [self.W[:, :, None, None], self.V[:, :, None, None]]
        plain = F.conv2d(x, weights[0], self.b) + spread(t[:, None] * self.p + r[:, None] * self.q)
        plain = plain + torch.sin(F.conv2d(x, weights[1]) + spread((t - r)[:, None] * self.s))
        return plain if labels is None else plain + spread(self.E[labels])


def spread(values):
    return values[:, :, None, None]


def two_times(fixture, classes=False):
    """Return a flow map around the toy network with the measured weights."""
    return FlowMapDenoiser(dict(type=TwoTimes, fixture=fixture, classes=classes))


class GaussianVelocity(nn.Module):
    """The mean velocity of data N(mean, std^2), plus features that are unused.

    With a(t)^2 = (1 - t)^2 std^2 + t^2, z_r - (1 - r) mean = a(r) / a(t) (z_t - (1 - t) mean). The quotient (a(t) -
    a(r)) / (t - r) is written without a division by t - r, so that r may be t.
    """

    def __init__(self, mean=0.3, std=0.2):
        super().__init__()
        self.mean = nn.Parameter(torch.tensor(mean, dtype=torch.float64))
        self.log_std = nn.Parameter(torch.tensor(std, dtype=torch.float64).log())
        self.unused = nn.Parameter(torch.zeros(6, dtype=torch.float64))

    def forward(self, z, t, labels, conditions):
        t = t.view(-1, 1, 1, 1)
        r = t - conditions[:, 0].view(-1, 1, 1, 1)
        variance = (2 * self.log_std).exp()
        now, then = (((1 - time) ** 2 * variance + time**2).sqrt() for time in (t, r))
        slope = ((variance + 1) * (t + r) - 2 * variance) / (now * (now + then))
        features = torch.stack([z, z**2, z * t, z * r, (t - r).expand_as(z), torch.ones_like(z)], dim=-1)
        return (z - (1 - t) * self.mean) * slope - self.mean + features @ self.unused


class ScaledVelocity(GaussianVelocity):
    """The exact mean velocity for data N(mean, std^2) and noise of deviation `scale`; as an image for predictions x.

    The path of the data is `scale` times that of data N(mean / scale, (std / scale)^2) with unit noise.
    """

    def __init__(self, scale, prediction, mean, std):
        super().__init__(mean / scale, std / scale)
        self.scale = scale
        self.prediction = prediction

    def forward(self, z, t, labels, conditions):
        u = self.scale * super().forward(z / self.scale, t, labels, conditions)
        return z - t.view(-1, 1, 1, 1) * u if self.prediction == 'x' else u


def gaussian_flow_map(**options):
    """Return a flow map that is exact for Gaussian data, in double precision; see `GaussianVelocity`."""
    return FlowMapDenoiser(dict(type=GaussianVelocity, **options))
