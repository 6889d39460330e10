"""Random weights for the InceptionV3 of the reference evaluator, in the format of the published file."""

import json
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

# Names and shapes of torch-fidelity's module, as measured; the counters of its normalisations left out.
SHAPES = json.loads((Path(__file__).parents[1] / 'data/inception_v3_keys.json').read_text())


def random_inception(seed=0):
    """Return weights with which activations neither vanish nor explode, with statistics that are not trivial."""
    random = np.random.RandomState(seed)
    weights = {}
    for name, shape in SHAPES.items():
        if name.endswith('conv.weight'):
            value = random.randn(*shape) * (2 / np.prod(shape[1:])) ** 0.5
        elif name == 'fc.weight':
            value = random.randn(*shape) / shape[1] ** 0.5
        elif name.endswith(('running_var', 'bn.weight')):
            value = random.uniform(0.5, 1.5, shape)
        else:
            value = 0.2 * random.randn(*shape)
        weights[name] = torch.from_numpy(value.astype(np.float32))
    return weights


def plain_inception(seed=0):
    """Return weights of which each tensor repeats one number: torch writes them to a file of 200 kB, not of 95 MB."""
    numbers = np.random.RandomState(seed).uniform(0.5, 1.5, len(SHAPES)).astype(np.float32)
    return {name: torch.tensor(number).expand(shape) for (name, shape), number in zip(SHAPES.items(), numbers)}


def random_images(number, size, seed=0):
    """Return smooth images with some noise, uint8, (number, 3, size, size)."""
    random = np.random.RandomState(seed)
    coarse = torch.from_numpy(random.uniform(0, 255, (number, 3, 4, 4)))
    smooth = F.interpolate(coarse, (size, size), mode='bicubic')
    return (smooth + torch.from_numpy(20 * random.randn(number, 3, size, size))).clamp(0, 255).to(torch.uint8)


def scripted_inception():
    """Return the network with random weights in the form of NVIDIA's TorchScript archive.

    Layers have the names of the TensorFlow graph, normalisations have no factors, and it resizes by sampling a grid.
    """
    network = Scripted().eval()
    generator = torch.Generator().manual_seed(0)
    for name, value in network.state_dict().items():
        if name.endswith('weight'):
            fan_in = value[0].numel()
            value.normal_(generator=generator).mul_((2 / fan_in) ** 0.5)
        elif name.endswith('var'):
            value.uniform_(0.5, 1.5, generator=generator)
        else:
            value.normal_(generator=generator).mul_(0.2)
    return torch.jit.script(network)


class Layer(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride=1, same=True):
        super().__init__()
        rows, columns = kernel
        self.stride = stride
        self.padding = (rows // 2, columns // 2) if same else (0, 0)
        self.weight = nn.Parameter(torch.empty(outputs, inputs, rows, columns))
        for name in ('beta', 'mean', 'var'):
            setattr(self, name, nn.Parameter(torch.empty(outputs)))

    def forward(self, x):
        x = F.conv2d(x, self.weight, None, self.stride, self.padding)
        return F.relu(F.batch_norm(x, self.mean, self.var, None, self.beta, eps=1e-3))


def tower(inputs, *layers, pool=None):
    """A branch; each layer is (channels, kernel), or (channels, kernel, stride), which then pads nothing."""
    modules = {} if pool is None else {'pool': pool}
    for index, (outputs, kernel, *stride) in enumerate(layers):
        name = f'conv_{index}' if index else 'conv'
        modules[name] = Layer(inputs, outputs, kernel, *stride, same=not stride)
        inputs = outputs
    return nn.Sequential(OrderedDict(modules))


class Parallel(nn.Module):
    """Up to a convolution, three towers and a pooling; what is missing is the empty module."""

    def __init__(self, conv=None, tower=None, tower_1=None, tower_2=None, pool=None):
        super().__init__()
        self.has_conv, self.has_tower_1, self.has_tower_2 = conv is not None, tower_1 is not None, tower_2 is not None
        self.has_pool = pool is not None
        self.conv, self.tower = conv or nn.Identity(), tower or nn.Identity()
        self.tower_1, self.tower_2, self.pool = (part or nn.Identity() for part in (tower_1, tower_2, pool))

    def forward(self, x):
        outputs = []
        if self.has_conv:
            outputs.append(self.conv(x))
        outputs.append(self.tower(x))
        if self.has_tower_1:
            outputs.append(self.tower_1(x))
        if self.has_tower_2:
            outputs.append(self.tower_2(x))
        if self.has_pool:
            outputs.append(self.pool(x))
        return torch.cat(outputs, 1)


class Fork(nn.Module):
    def __init__(self, inputs, pool):
        super().__init__()
        self.conv = Layer(inputs, 320, (1, 1))
        self.tower_conv = Layer(inputs, 384, (1, 1))
        self.tower_mixed_conv, self.tower_mixed_conv_1 = Layer(384, 384, (1, 3)), Layer(384, 384, (3, 1))
        self.tower_1_conv, self.tower_1_conv_1 = Layer(inputs, 448, (1, 1)), Layer(448, 384, (3, 3))
        self.tower_1_mixed_conv, self.tower_1_mixed_conv_1 = Layer(384, 384, (1, 3)), Layer(384, 384, (3, 1))
        self.tower_2_pool, self.tower_2_conv = pool, Layer(inputs, 192, (1, 1))

    def forward(self, x):
        a, b = self.tower_conv(x), self.tower_1_conv_1(self.tower_1_conv(x))
        return torch.cat(
            (
                self.conv(x),
                self.tower_mixed_conv(a),
                self.tower_mixed_conv_1(a),
                self.tower_1_mixed_conv(b),
                self.tower_1_mixed_conv_1(b),
                self.tower_2_conv(self.tower_2_pool(x)),
            ),
            1,
        )


def average():
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False)


def wide(inputs, pooled):
    return Parallel(
        Layer(inputs, 64, (1, 1)),
        tower(inputs, (48, (1, 1)), (64, (5, 5))),
        tower(inputs, (64, (1, 1)), (96, (3, 3)), (96, (3, 3))),
        tower(inputs, (pooled, (1, 1)), pool=average()),
    )


def factorised(c):
    return Parallel(
        Layer(768, 192, (1, 1)),
        tower(768, (c, (1, 1)), (c, (1, 7)), (192, (7, 1))),
        tower(768, (c, (1, 1)), (c, (7, 1)), (c, (1, 7)), (c, (7, 1)), (192, (1, 7))),
        tower(768, (192, (1, 1)), pool=average()),
    )


class Scripted(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            OrderedDict(
                conv=Layer(3, 32, (3, 3), 2, False),
                conv_1=Layer(32, 32, (3, 3), 1, False),
                conv_2=Layer(32, 64, (3, 3)),
                pool0=nn.MaxPool2d(3, 2),
                conv_3=Layer(64, 80, (1, 1)),
                conv_4=Layer(80, 192, (3, 3), 1, False),
                pool1=nn.MaxPool2d(3, 2),
                mixed=wide(192, 32),
                mixed_1=wide(256, 64),
                mixed_2=wide(288, 64),
                mixed_3=Parallel(
                    Layer(288, 384, (3, 3), 2, False),
                    tower(288, (64, (1, 1)), (96, (3, 3)), (96, (3, 3), 2)),
                    pool=nn.MaxPool2d(3, 2),
                ),
                mixed_4=factorised(128),
                mixed_5=factorised(160),
                mixed_6=factorised(160),
                mixed_7=factorised(192),
                mixed_8=Parallel(
                    None,
                    tower(768, (192, (1, 1)), (320, (3, 3), 2)),
                    tower(768, (192, (1, 1)), (192, (1, 7)), (192, (7, 1)), (192, (3, 3), 2)),
                    pool=nn.MaxPool2d(3, 2),
                ),
                mixed_9=Fork(1280, average()),
                mixed_10=Fork(2048, nn.MaxPool2d(3, 1, 1)),
                pool2=nn.AvgPool2d(8),
            )
        )
        self.output = nn.Linear(2048, 1008)
        self.requires_grad_(False)

    def forward(self, images, return_features: bool = False):
        height, width = images.shape[2], images.shape[3]
        steps = torch.arange(299, dtype=torch.float32) / 299
        rows = 2 * steps * height / (height - 1) - 1
        columns = 2 * steps * width / (width - 1) - 1
        grid = torch.stack((columns.view(1, 299).expand(299, 299), rows.view(299, 1).expand(299, 299)), 2)
        x = F.grid_sample(
            images.float(), grid.expand(images.shape[0], 299, 299, 2), padding_mode='border', align_corners=True
        )
        features = self.layers((x - 128) / 128).flatten(1)
        if return_features:
            return features
        return self.output(features).softmax(1)
