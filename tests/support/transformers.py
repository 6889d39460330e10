"""The small transformers of pMF and iMF with the weights of the measurements, and the names of the released ones."""

import gzip
import json

import torch

from mmcm.denoisers import GuidanceInputs
from mmcm.registry import MODELS
from support.parity import FOLDER, Fixture, fill

KINDS = {'pmf': 'PMFTransformer', 'imf': 'IMFTransformer'}
FLOW_MAPS = {'pmf': dict(prediction='x'), 'imf': {}}


def fill_any(shapes):
    """Return the weights of the measurements: `fill`, and gates, whose names end in `_scale`, around 1."""
    weights = fill(shapes)
    return {key: 1 + 2 * value if key.endswith('_scale') else value for key, value in weights.items()}


def settings(kwargs):
    """Translate the program's constructor arguments into those of the backbone."""
    names = dict(
        input_size='image_size', hidden_size='embed_dims', aux_head_depth='head_depth',
        num_cfg_tokens='num_guidance_tokens',
    )  # fmt: skip
    return {names.get(key, key): value for key, value in kwargs.items()}


class Transformer:
    """A small network of one kind; calling it returns a measured array, as with a `Fixture`."""

    def __init__(self, name):
        self.name = name
        self.fixture = Fixture(f'{name}_net')

    def __call__(self, *key):
        return self.fixture(*key)

    @staticmethod
    def config(name, kwargs, out_channels=1, **changes):
        """Return the config of a backbone, with `out_channels` times the channels of an image."""
        found = settings(kwargs)
        found.setdefault('in_channels', 3 if name == 'pmf' else 4)
        found.setdefault('image_size', 32)
        found.setdefault('num_classes', 1000)
        return dict(type=KINDS[name], **found, out_channels=out_channels * found['in_channels'], **changes)

    def denoiser(self, velocity_head=False, noise_scale=1.0, guidance=1.0, interval=(0.0, 1.0), **changes):
        """Return the flow map in evaluation mode."""
        backbone = self.config(self.name, self.fixture.meta['kwargs'], 1 + velocity_head, **changes)
        denoiser = MODELS.build(
            dict(
                type='FlowMapDenoiser',
                backbone=backbone,
                guided=True,
                velocity_head=velocity_head,
                noise_scale=noise_scale,
                guidance=guidance,
                guidance_interval=interval,
                **FLOW_MAPS[self.name],
            )
        )
        shapes = {key: value.shape for key, value in denoiser.backbone.state_dict().items()}
        denoiser.backbone.load_state_dict(fill_any(shapes))
        return denoiser.eval()

    @property
    def conditions(self):
        """What the network gets beside image and label, (N, 4)."""
        return torch.stack([self('h'), 1 - 1 / self('omega'), self('t_min'), self('t_max')], dim=1)

    def velocities(self, denoiser, z=None, t=None, r=None):
        """Return u and v for the measured inputs, unless others are given."""
        z, t, r = (self(name) if value is None else value for name, value in zip('xtr', (z, t, r)))
        inputs = (self('omega'), self('t_min'), self('t_max'))
        guidance = GuidanceInputs(*inputs)
        return denoiser(z, t, self('labels'), next_sigma=r, guidance=guidance, velocities=True)


def released_networks(name):
    """Return the released sizes: the program's arguments, and the lists of names and shapes, without and with heads.

    The table of rotary angles, which the program stores among the weights, is left out.
    """
    content = json.loads(gzip.decompress((FOLDER / f'state_dict_{name}.json.gz').read_bytes()))
    found = {}
    for size, network in content['networks'].items():
        plain, head = list(network['eval_mode']['state_dict']), list(network['training_extra'])
        position, whole = network['extra_positions'][0], list(plain)
        blocks = [entry for entry in head if entry[0].startswith('v_heads.')]
        whole[position:position] = blocks
        whole += [entry for entry in head if entry not in blocks]
        lists = [
            [(key, tuple(shape)) for key, shape, _ in entries if key != 'rope_freqs'] for entries in (plain, whole)
        ]
        sizes = network['eval_mode']['num_parameters'], network['training']['num_parameters']
        found[size] = network['kwargs'], lists, sizes
    return found
