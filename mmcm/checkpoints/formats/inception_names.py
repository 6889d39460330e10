"""Names of the weights of InceptionV3: those of the TensorFlow graph, which NVIDIA's port keeps, and torchvision's.

NVIDIA distributes the network of 2015-12-05 as a TorchScript archive, `inception-2015-12-05.pt`, with StyleGAN2-ADA and
EDM. Its normalisations have no factors, since all those of the graph are 1.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

STEM = {
    'conv': 'Conv2d_1a_3x3', 'conv_1': 'Conv2d_2a_3x3', 'conv_2': 'Conv2d_2b_3x3', 'conv_3': 'Conv2d_3b_1x1',
    'conv_4': 'Conv2d_4a_3x3',
}  # yapf: disable
BLOCKS = {
    'mixed': 'Mixed_5b', 'mixed_1': 'Mixed_5c', 'mixed_2': 'Mixed_5d', 'mixed_3': 'Mixed_6a', 'mixed_4': 'Mixed_6b',
    'mixed_5': 'Mixed_6c', 'mixed_6': 'Mixed_6d', 'mixed_7': 'Mixed_6e', 'mixed_8': 'Mixed_7a', 'mixed_9': 'Mixed_7b',
    'mixed_10': 'Mixed_7c',
}  # yapf: disable
# The convolutions of the branches 'tower', 'tower_1', ... of each kind of block, one after another.
TOWERS = {
    'mixed mixed_1 mixed_2': ('branch5x5_1 branch5x5_2', 'branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3', 'branch_pool'),
    'mixed_3': ('branch3x3dbl_1 branch3x3dbl_2 branch3x3dbl_3',),
    'mixed_4 mixed_5 mixed_6 mixed_7': (
        'branch7x7_1 branch7x7_2 branch7x7_3',
        'branch7x7dbl_1 branch7x7dbl_2 branch7x7dbl_3 branch7x7dbl_4 branch7x7dbl_5',
        'branch_pool',
    ),
    'mixed_8': ('branch3x3_1 branch3x3_2', 'branch7x7x3_1 branch7x7x3_2 branch7x7x3_3 branch7x7x3_4'),
}
# NVIDIA's port writes the towers of the last kind, which fork, with underscores.
FORKED = {
    'tower_conv': 'branch3x3_1', 'tower_mixed_conv': 'branch3x3_2a', 'tower_mixed_conv_1': 'branch3x3_2b',
    'tower_1_conv': 'branch3x3dbl_1', 'tower_1_conv_1': 'branch3x3dbl_2', 'tower_1_mixed_conv': 'branch3x3dbl_3a',
    'tower_1_mixed_conv_1': 'branch3x3dbl_3b', 'tower_2_conv': 'branch_pool',
}  # yapf: disable
TENSORS = {'weight': 'conv.weight', 'beta': 'bn.bias', 'mean': 'bn.running_mean', 'var': 'bn.running_var'}


def is_named_as_in_tensorflow(weights: Mapping[str, 'Tensor']) -> bool:
    """Return whether these are weights of InceptionV3 with the names of NVIDIA's port."""
    return 'layers.conv.beta' in weights


def named_as_in_torchvision(weights: Mapping[str, 'Tensor']) -> dict[str, 'Tensor']:
    """Return weights that have the names of NVIDIA's port under those of torchvision; what has none keeps its own."""
    layers, renamed = _layers(), {}
    for key, value in weights.items():
        layer, _, tensor = key.rpartition('.')
        if layer in layers and tensor in TENSORS:
            renamed[f'{layers[layer]}.{TENSORS[tensor]}'] = value
            if tensor == 'beta':
                renamed[f'{layers[layer]}.bn.weight'] = value.new_ones(value.shape)
        else:
            renamed[f'fc.{tensor}' if layer == 'output' else key] = value
    return renamed


def _layers() -> dict[str, str]:
    """Return torchvision's name of each convolution by the port's."""
    layers = {f'layers.{name}': ours for name, ours in STEM.items()}
    for blocks, towers in TOWERS.items():
        for block in blocks.split():
            for index, tower in enumerate(towers):
                for place, ours in enumerate(tower.split()):
                    layers[f'layers.{block}.tower{_suffix(index)}.conv{_suffix(place)}'] = f'{BLOCKS[block]}.{ours}'
    for block, ours in BLOCKS.items():
        layers[f'layers.{block}.conv'] = f'{ours}.{"branch3x3" if block == "mixed_3" else "branch1x1"}'
        if block in ('mixed_9', 'mixed_10'):
            layers.update({f'layers.{block}.{name}': f'{ours}.{branch}' for name, branch in FORKED.items()})
    del layers['layers.mixed_8.conv']  # has no such branch
    return layers


def _suffix(index: int) -> str:
    return f'_{index}' if index else ''
