import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mmcm.checkpoints.weights import check_finite, check_numbers, check_weights, load_weights, read_backbone
from mmcm.utils.errors import InputError
from support.digits import build

WRITERS = {
    'bare.pth': torch.save,
    'old.pth': lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False),
    'bare.safetensors': save_file,
}
DTYPES = ['float16', 'bfloat16', 'float32', 'float64', 'float8_e5m2', 'float8_e4m3fn']
FILES = pytest.mark.parametrize('name', WRITERS)


def weights(value=1.0):
    return {'weight': torch.full((2, 3), value), 'bias': torch.full((2,), -value)}


def write(folder, name, content):
    WRITERS[name](content, folder / name)
    return folder / name


def training_checkpoint(decays):
    """Return the content of a training checkpoint; the online weights are 1, the averages 2, 3, ..."""
    prefixes = ['denoiser.', 'target.', *(f'emas.{decay}.' for decay in decays)]
    values = [1.0, 0.0, *range(2, 2 + len(decays))]
    return dict(
        meta=dict(iter=3),
        state_dict={
            f'{prefix}backbone.{key}': tensor
            for prefix, value in zip(prefixes, values)
            for key, tensor in weights(float(value)).items()
        },
    )


def assert_equal(read, expected):
    assert list(read) == list(expected)
    for key, tensor in expected.items():
        assert torch.equal(read[key], tensor) and read[key].dtype == tensor.dtype


@FILES
def test_bare_weights_are_read_from_every_kind_of_file(tmp_path, name):
    read = read_backbone(write(tmp_path, name, weights()))
    assert_equal({key: read[key] for key in weights()}, weights())
    assert set(read) == set(weights())


@FILES
def test_prefix_of_a_published_backbone_is_taken_off(tmp_path, name):
    path = write(tmp_path, name, {f'backbone.{key}': value for key, value in weights().items()})
    assert set(read_backbone(path)) == set(weights())


@pytest.mark.parametrize(
    'average, value', [(None, 2.0), ('online', 1.0), ('0.999', 2.0), ('0.9999', 3.0), ('0.99990', 3.0)]
)
def test_average_of_a_training_checkpoint_is_chosen(tmp_path, average, value):
    path = write(tmp_path, 'bare.pth', training_checkpoint(['0_999', '0_9999']))
    assert_equal(read_backbone(path, average), weights(value))


def test_online_weights_stand_in_where_there_is_no_average(tmp_path):
    path = write(tmp_path, 'bare.pth', training_checkpoint([]))
    assert_equal(read_backbone(path), weights(1.0))


def test_unknown_average_is_refused_by_naming_the_known(tmp_path):
    path = write(tmp_path, 'bare.pth', training_checkpoint(['0_999', '0_9999']))
    with pytest.raises(InputError, match="no average '0.5'; it has online, 0.999, 0.9999"):
        read_backbone(path, '0.5')


def test_average_of_bare_weights_is_refused(tmp_path):
    with pytest.raises(InputError, match="one set of weights and no averages: leave out the choice of '0.999'"):
        read_backbone(write(tmp_path, 'bare.pth', weights()), '0.999')


@pytest.mark.parametrize(
    'content',
    [torch.zeros(2), [torch.zeros(2)], {'epoch': 3}, {'weight': [torch.zeros(2)]}, {1: torch.zeros(2)}],
    ids=['tensor', 'list', 'number', 'listed', 'numbered'],
)
def test_file_of_something_else_is_refused(tmp_path, content):
    with pytest.raises(InputError, match='holds no state dict'):
        read_backbone(write(tmp_path, 'bare.pth', content))


@pytest.mark.parametrize('device', ['cpu', 'meta'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_weights_become_the_modules_own_as_float32(device, dtype):
    module = nn.Linear(3, 2, device=device)
    module.bias.requires_grad_(False)
    load_weights(module, {key: value.to(dtype) for key, value in weights(0.5).items()}, 'file')
    assert_equal(module.state_dict(), weights(0.5))
    assert module.weight.requires_grad and not module.bias.requires_grad
    assert isinstance(module.weight, nn.Parameter)


def test_tensors_on_the_meta_device_are_replaced_not_copied():
    module, given = nn.Linear(3, 2, device='meta'), weights()
    load_weights(module, given, 'file')
    assert module.weight.data_ptr() == given['weight'].data_ptr()


@pytest.mark.parametrize(
    'changes, match',
    [
        (dict(weight=None), '1 keys are missing: weight[.]'),
        (dict(scale=torch.zeros(2)), '1 keys are not expected: scale'),
        (dict(weight=torch.zeros(3, 2)), r'1 shapes differ: weight \(3, 2\) instead of \(2, 3\)'),
        (dict(weight=torch.zeros(2, 3, dtype=torch.int8)), '1 are quantised or no weights: weight is int8'),
        (dict(weight=torch.zeros(2, 3, dtype=torch.complex64)), 'weight is complex64'),
    ],
)
def test_weights_of_another_network_are_refused_by_naming_the_difference(changes, match):
    module = nn.Linear(3, 2)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    given = {key: value for key, value in {**weights(), **changes}.items() if value is not None}
    with pytest.raises(InputError, match=match) as error:
        load_weights(module, given, 'other.pth')
    assert 'other.pth is not a checkpoint of this Linear' in str(error.value)
    assert_equal(module.state_dict(), before)


@pytest.mark.parametrize('dtype', DTYPES)
def test_finite_weights_of_any_precision_pass(dtype):
    module = nn.Linear(3, 2)
    check_weights(module, {key: value.to(getattr(torch, dtype)) for key, value in module.state_dict().items()}, 'x.pt')


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_weights_that_are_not_finite_are_refused_by_name(dtype, value):
    if dtype == 'float8_e4m3fn':
        value = float('nan')  # it has no infinities
    module = nn.Linear(3, 2)
    weights = dict(module.state_dict(), weight=torch.tensor([[0.0, value, 1.0], [value, 0.0, 2.0]]))
    weights = {key: tensor.to(getattr(torch, dtype)) for key, tensor in weights.items()}
    with pytest.raises(InputError, match=r'x.pt has NaN or infinite values in 1 of its 2 tensors: weight \(2 of 6'):
        check_weights(module, weights, 'x.pt')


def test_double_that_float32_cannot_hold_is_not_finite():
    with pytest.raises(InputError, match='NaN or infinite values in 1 of its 1 tensors'):
        check_finite({'x': torch.tensor([1e300], dtype=torch.float64)}, 'x.pt')


def test_buffers_may_be_infinite_but_not_nan():
    module = nn.Module()
    module.register_buffer('mask', torch.tensor([0.0, -float('inf')]))
    check_finite(module.state_dict(), 'x.pt', module)
    with pytest.raises(InputError, match='1 tensors: mask'):
        check_finite(dict(mask=torch.tensor([float('nan')])), 'x.pt', module)


def test_quantised_tensors_are_no_weights_whatever_the_network_is():
    counted = dict(weight=torch.zeros(2, 3), num_batches_tracked=torch.tensor(3))
    check_numbers(counted, 'x.pt')
    for dtype in (torch.int8, torch.bool, torch.complex64):
        with pytest.raises(InputError, match='1 tensors that are quantised or no weights: weight is'):
            check_numbers(dict(counted, weight=torch.zeros(2, 3, dtype=dtype)), 'x.pt')


def test_empty_and_whole_numbers_are_finite():
    check_finite(dict(empty=torch.zeros(0), count=torch.tensor(3)), 'x.pt')


@pytest.mark.parametrize(
    'names, advice',
    [
        (('down_blocks.0.resnets.0.conv1.weight',), 'UNet2DModel of diffusers: give its folder'),
        (('model.enc.32x32_conv.weight',), 'network of EDM or EDM2'),
        (('downs.0.0.block1.proj.weight',), 'denoising_diffusion_pytorch'),
        (('model.diffusion_model.input_blocks.0.0.weight',), 'latent diffusion'),
        (('something.else',), 'Choose the config that belongs to the checkpoint.'),
    ],
)
def test_networks_of_other_programs_are_called_by_name(names, advice):
    with pytest.raises(InputError, match=advice):
        check_weights(nn.Linear(3, 2), dict.fromkeys(names, torch.zeros(3)), 'x.pt')


def test_network_of_guided_diffusion_with_learned_variance_is_told():
    network = build().denoiser.backbone
    weights = network.state_dict()
    for name in ('out.2.weight', 'out.2.bias'):
        weights[name] = torch.cat([weights[name]] * 2)
    with pytest.raises(InputError, match='2 shapes differ.*a network of guided diffusion .eps and its variance.'):
        check_weights(network, weights, 'x.pt')
