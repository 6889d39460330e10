"""The transformers of pMF and iMF."""

from functools import partial

import pytest
import torch
from torch.func import jvp
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.testing import assert_close

from mmcm.backbones import transformer_layers
from mmcm.backbones.rotary import angles_2d
from mmcm.checkpoints.weights import chosen_weights
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from support.transformers import FLOW_MAPS, KINDS, Transformer, released_networks


def assert_near(name, actual, expected):
    """Compare to the tolerance of the measurements: of the largest entry for pMF, whose u is divided by small times."""
    atol = 3e-5 if name == 'imf' else 3e-5 * expected.abs().max().item()
    assert_close(actual, expected, rtol=0, atol=atol)


@pytest.mark.parametrize('name, size', [(name, size) for name in KINDS for size in released_networks(name)])
def test_keys_order_and_shapes_are_those_of_the_released_weights(name, size):
    kwargs, lists, sizes = released_networks(name)[size]
    for num_outputs, expected, num_parameters in zip((1, 2), lists, sizes):
        with torch.device('meta'):
            network = MODELS.build(Transformer.config(name, kwargs, num_outputs))
        assert [(key, tuple(value.shape)) for key, value in network.state_dict().items()] == expected
        assert sum(each.numel() for each in network.parameters()) == num_parameters


@pytest.mark.parametrize('name', KINDS)
@torch.no_grad()
def test_mean_velocity_is_the_references(name):
    small = Transformer(name)
    u, v = small.velocities(small.denoiser(velocity_head=True))
    assert_near(name, u, small('both_heads', 'u'))
    assert_near(name, v, small('both_heads', 'v'))
    u, v = small.velocities(small.denoiser())
    assert_near(name, u, small('eval_mode', 'u'))
    assert v is None


@pytest.mark.parametrize('name', KINDS)
@torch.no_grad()
def test_tokens_are_the_references(name):
    small = Transformer(name)
    network = small.denoiser().backbone
    tokens = network.sequence(small('x'), small('labels'), small.conditions)
    assert_close(tokens[0], small('both_heads', 'sequence'), rtol=0, atol=3e-5)


def slope_of(small, dtype=torch.float32):
    """Return the derivative of u along the measured direction, of z and t with r fixed."""
    denoiser = small.denoiser(velocity_head=True).to(dtype)
    point = tuple(small(name).to(dtype) for name in 'xtr')
    directions = small('jvp', 'dx').to(dtype), *(torch.full((3,), value, dtype=dtype) for value in (1.0, 0.0))
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        return jvp(lambda z, t, r: small.velocities(denoiser, z, t, r)[0], point, directions)[1]


@pytest.mark.parametrize('name', KINDS)
def test_derivative_in_forward_mode_is_the_references(name, monkeypatch):
    """The rotation of queries and keys in iMF's program for torch passes no derivative on."""
    if name == 'imf':
        rotate = transformer_layers.rotate
        monkeypatch.setattr(transformer_layers, 'rotate', lambda x, angles: rotate(x, angles).detach())
    small = Transformer(name)
    expected = small('jvp', 'dudt')
    assert_close(slope_of(small), expected, rtol=0, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize('name', KINDS)
@torch.no_grad()
def test_derivative_in_forward_mode_is_that_of_differences(name):
    small = Transformer(name)
    denoiser = small.denoiser(velocity_head=True).double()
    (z, t, r), step = (small(each).double() for each in 'xtr'), 1e-4

    def moved(distance):
        return small.velocities(denoiser, z + distance * small('jvp', 'dx').double(), t + distance, r)[0]

    expected = (moved(step) - moved(-step)) / (2 * step)
    # The embeddings of numbers are computed in single precision, whose rounding is divided by the step.
    assert_close(slope_of(small, torch.float64), expected, rtol=0, atol=2e-3 * expected.abs().max().item())


@pytest.mark.parametrize('name', KINDS)
def test_rotary_angles_are_the_references(name):
    small = Transformer(name)
    network = small.denoiser().backbone
    angles = network.angles(torch.device('cpu'))
    turned = angles[-len(small('rope_cos')) :]
    assert_close(turned.cos(), small('rope_cos'), rtol=0, atol=1e-6)
    assert_close(turned.sin(), small('rope_sin'), rtol=0, atol=1e-6)
    assert not angles[: len(angles) - len(turned)].any()


def test_angles_of_a_grid_follow_row_and_column():
    angles = angles_2d(2, 3, 8)
    assert angles.shape == (6, 4)
    assert torch.equal(angles[:, 0], torch.tensor([0.0, 0, 0, 1, 1, 1]))
    assert torch.equal(angles[:, 2], torch.tensor([0.0, 1, 2, 0, 1, 2]))


@pytest.mark.parametrize('name', KINDS)
def test_released_table_of_angles_is_accepted_and_not_needed(name):
    network = Transformer(name).denoiser().backbone
    weights = network.state_dict()
    table = torch.zeros(16, 6, dtype=torch.complex64)
    released = {**weights, **dict.fromkeys(network.constant_tables, table)}
    assert chosen_weights(released, 'x.pt', network=network).weights.keys() == weights.keys()
    others = chosen_weights({**released, 'another': table}, 'x.pt', network=network).weights
    assert others.keys() - weights.keys() == {'another'}


@pytest.mark.parametrize('name', KINDS)
def test_half_precision_returns_the_dtype_of_the_images(name):
    small = Transformer(name)
    network = small.denoiser().backbone.bfloat16()
    output = network(small('x'), small('t'), small('labels'), small.conditions)
    assert output.dtype == torch.float32 and output.isfinite().all()


@pytest.mark.parametrize('name', KINDS)
def test_shares_of_a_class_are_its_label(name):
    small = Transformer(name)
    network = small.denoiser().backbone
    labels = torch.tensor([0, 6, 3])
    call = partial(network, small('x'), small('t'), conditions=small.conditions)
    assert_close(call(torch.eye(7)[labels]), call(labels))


@pytest.mark.parametrize('name', KINDS)
def test_recomputing_activations_changes_neither_output_nor_gradients(name):
    small = Transformer(name)
    found = []
    for use_checkpoint in (False, True):
        denoiser = small.denoiser(velocity_head=True, use_checkpoint=use_checkpoint)
        u, v = small.velocities(denoiser)
        gradients = torch.autograd.grad(u.sum() + v.square().sum(), list(denoiser.parameters()))
        found.append([u, v, *gradients])
    for plain, recomputed in zip(*found):
        assert torch.equal(plain, recomputed)


@pytest.mark.parametrize('name', KINDS)
def test_each_trained_weight_gets_a_gradient(name):
    """DDP waits for all of them."""
    small = Transformer(name)
    for head in (False, True):
        denoiser = small.denoiser(velocity_head=head)
        sum(each.sum() for each in small.velocities(denoiser) if each is not None).backward()
        assert all(each.grad is not None for each in denoiser.parameters() if each.requires_grad)


def test_images_need_not_be_square():
    network = MODELS.build(
        dict(type='PMFTransformer', image_size=(8, 16), patch_size=4, embed_dims=16, depth=2, num_heads=2,
             num_classes=3, in_channels=1, head_depth=1)
    )  # fmt: skip
    torch.nn.init.normal_(network.u_final_layer.linear._flax_linear.weight)
    x = torch.randn(2, 1, 8, 16)
    output = network(x, torch.ones(2), torch.tensor([0, 3]), torch.rand(2, 4))
    assert output.shape == x.shape


@pytest.mark.parametrize(
    'changes, match',
    [
        (dict(image_size=10), 'multiple of patch_size'),
        (dict(embed_dims=20), 'multiple of 4 num_heads'),
        (dict(out_channels=4), 'out_channels'),
        (dict(head_depth=3), 'a part of depth'),
        (dict(depth=0), 'depth'),
    ],
)
@pytest.mark.parametrize('kind', ['PMFTransformer', 'IMFTransformer'])
def test_impossible_settings_are_refused(kind, changes, match):
    settings = dict(image_size=8, patch_size=4, embed_dims=16, depth=2, num_heads=2, num_classes=3, head_depth=1)
    with pytest.raises(InputError, match=match):
        MODELS.build(dict(type=kind, **{**settings, **changes}))


@pytest.mark.parametrize('name', KINDS)
def test_missing_labels_are_refused(name):
    small = Transformer(name)
    with pytest.raises(InputError, match='7 classes'):
        small.denoiser().backbone(small('x'), small('t'), None, small.conditions)


def test_flow_maps_of_both_kinds_know_the_null_class():
    for name in FLOW_MAPS:
        assert Transformer(name).denoiser().null_label == 7
