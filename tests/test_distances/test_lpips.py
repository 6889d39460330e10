import hashlib
import io
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from mmcm.distances import LPIPS, lpips
from mmcm.distances.lpips import HEADS, PUBLISHED_SHA256, VGG16, prepare
from mmcm.registry import DISTANCES
from mmcm.utils.errors import InputError
from support.parity import Fixture, close, fill

# torchvision's VGG16: a number is a convolution with so many channels, each followed by a ReLU; 'M' is a pooling.
LAYERS = (64, 64, 'M', 128, 128, 'M', 256, 256, 256, 'M', 512, 512, 512, 'M', 512, 512, 512)
# By how much a gradient in single precision may be off, as a share of its norm. Where the argument of a ReLU is 0 up to
# its rounding, the slope is 0 in one program and 1 in the other. A sum of up to 9 x 512 products is off by about
# sqrt(9 x 512) eps / 2 = 4e-6 of its standard deviation. With a Gaussian's density at 0, 0.4, this flips a share of
# 2 x 0.4 x 4e-6 of the units of each of the 13 layers, and changes the square of the gradient by that share.
KINKS = (13 * 2 * 0.4 * (9 * 512) ** 0.5 * 2**-24) ** 0.5
CLOSED = 'http://127.0.0.1:9/vgg16.pth'


@pytest.fixture(scope='module')
def convolutions():
    """The convolutions of the measurements under torchvision's names."""
    shapes, index, in_channels = {}, 0, 3
    for channels in LAYERS:
        if channels == 'M':
            index += 1
            continue
        shapes[f'features.{index}.weight'] = (channels, in_channels, 3, 3)
        shapes[f'features.{index}.bias'] = (channels,)
        in_channels = channels
        index += 2
    return {key: value * 2**0.5 if key.endswith('weight') else value for key, value in fill(shapes).items()}


@pytest.fixture(scope='module')
def heads():
    """The heads of the measurements under the names of the package lpips."""
    shapes = {f'lin{i}.model.1.weight': (1, channels, 1, 1) for i, channels in enumerate((64, 128, 256, 512, 512))}
    return {key: value.abs() for key, value in fill(shapes).items()}


@pytest.fixture(scope='module')
def backbone_path(convolutions, tmp_path_factory):
    path = tmp_path_factory.mktemp('weights') / 'vgg16.pth'
    # The published file is of 2017: in torch's old format, and with a classifier.
    torch.save({**convolutions, 'classifier.0.bias': torch.zeros(7)}, path, _use_new_zipfile_serialization=False)
    return path


@pytest.fixture(scope='module')
def heads_path(heads, backbone_path):
    path = backbone_path.with_name('lpips_weights.pt')
    torch.save(list(heads.values()), path)
    return path


@pytest.fixture(scope='module')
def distance(backbone_path, heads_path):
    distance = LPIPS(backbone_path, heads_path)
    distance.init_weights()
    return distance


def images(seed, *shape):
    return torch.from_numpy(np.random.RandomState(seed).uniform(-1.1, 1.1, shape).astype(np.float32))


def by_hand(a, b, convolutions, heads):
    """LPIPS of images in [0, 1], one operation after another."""
    mean, std = torch.tensor([0.485, 0.456, 0.406]).to(a), torch.tensor([0.229, 0.224, 0.225]).to(a)
    a, b = ((x - mean[None, :, None, None]) / std[None, :, None, None] for x in (a, b))
    total, index, block = torch.zeros(len(a)).to(a), 0, 0
    for layer, following in zip(LAYERS, (*LAYERS[1:], 'M')):
        if layer == 'M':
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
            index += 1
            continue
        weight, bias = (convolutions[f'features.{index}.{part}'].to(a) for part in ('weight', 'bias'))
        a, b = (F.conv2d(x, weight, bias, padding=1).clamp(min=0) for x in (a, b))
        index += 2
        if following == 'M':
            unit_a, unit_b = (x / ((x**2).sum(1, keepdim=True).sqrt() + 1e-10) for x in (a, b))
            weighted = F.conv2d((unit_a - unit_b) ** 2, heads[f'lin{block}.model.1.weight'].to(a))
            total = total + weighted.mean((1, 2, 3))
            block += 1
    return total


@pytest.mark.parametrize('case', ['small', 'wide'])
def test_values_and_gradients_are_piqs(distance, case):
    fixture = Fixture('lpips')
    settings = fixture.meta['cases'][case]
    a = images(settings['seed_a'], *settings['shape']).requires_grad_()
    b = a.detach() + 0.5 * images(settings['seed_b'], *settings['shape'])
    loss = distance(a, b)
    assert_close(loss.detach(), fixture(case, 'loss'), rtol=2e-6, atol=0)
    if f'{case}__grad' in fixture:
        expected = fixture(case, 'grad')
        loss.mean().backward()
        assert (a.grad - expected).norm() < KINKS * expected.norm()


def test_values_are_those_of_the_formula(distance, convolutions, heads):
    a, b = images(0, 2, 3, 16, 32), images(1, 2, 3, 16, 32)
    assert_close(distance.compare(a, b), by_hand(a, b, convolutions, heads), rtol=2e-6, atol=0)


def test_gradients_in_double_precision_are_those_of_the_formula(distance, convolutions, heads):
    """Where no argument of a ReLU is 0 up to rounding, no kink parts the two programs."""
    double = deepcopy(distance).double()
    a, b = images(0, 2, 3, 16, 32).double().requires_grad_(), images(1, 2, 3, 16, 32).double()
    found, expected = (
        torch.autograd.grad(value.sum(), a)[0] for value in (double.compare(a, b), by_hand(a, b, convolutions, heads))
    )
    # 26 layers there and back, each with sums of up to 9 x 512 products, whose roundings add up like a random walk
    close(found, expected, 26 * (9 * 512) ** 0.5, scale=expected.abs().max())


def test_narrow_images_are_resized_and_wide_ones_are_not():
    a = images(0, 1, 3, 20, 255)
    expected = (F.interpolate(a, (224, 224), mode='bilinear') + 1) / 2
    assert_close(prepare(a), expected, rtol=0, atol=1e-6)
    assert_close(prepare(images(0, 1, 3, 20, 256)), (images(0, 1, 3, 20, 256) + 1) / 2)


def test_greyscale_is_rgb_with_equal_channels():
    a = images(0, 2, 1, 8, 8)
    assert_close(prepare(a), prepare(a.repeat(1, 3, 1, 1)))


def test_images_of_other_channels_are_refused(distance):
    with pytest.raises(InputError, match='got 4 channels'):
        distance(torch.zeros(1, 4, 8, 8), torch.zeros(1, 4, 8, 8))


def test_distance_is_symmetric_and_vanishes_for_equal_images_only(distance):
    a, b = images(0, 2, 3, 16, 16), images(1, 2, 3, 16, 16)
    assert_close(distance.compare(a, b), distance.compare(b, a))
    assert (distance.compare(a, b) > 0).all()
    assert not distance.compare(a, a).any()


def test_gradient_is_that_of_the_distance(distance):
    double = deepcopy(distance).double()
    a, b = images(0, 1, 3, 16, 16).double().requires_grad_(), images(1, 1, 3, 16, 16).double()
    assert torch.autograd.gradcheck(lambda a: double.compare(a, b), a, fast_mode=True)


def test_gradient_is_finite_where_all_features_vanish(distance):
    blind = deepcopy(distance)
    for buffer in blind.blocks.buffers():
        buffer.zero_()
    a = images(0, 1, 3, 16, 16).requires_grad_()
    blind.compare(a, images(1, 1, 3, 16, 16)).sum().backward()
    assert not a.grad.any()


def test_nothing_of_a_goal_without_gradient_is_kept_for_the_backward_pass(distance):
    def kept(b_needs_gradient):
        sizes = []
        a, b = images(0, 1, 3, 32, 32).requires_grad_(), images(1, 1, 3, 32, 32).requires_grad_(b_needs_gradient)
        constants = {buffer.data_ptr() for buffer in distance.buffers()}
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x: sizes.append(0 if x.data_ptr() in constants else x.numel()) or x, lambda x: x
        ):
            distance.compare(a, b)
        return sum(sizes)

    # with gradients for both, the two networks keep equally much, and the differences of the features are shared
    assert kept(False) < 0.6 * kept(True)


def test_each_image_passes_the_network_once(distance, monkeypatch):
    calls = []
    convolve = F.conv2d
    monkeypatch.setattr(F, 'conv2d', lambda *args, **kwargs: calls.append(args) or convolve(*args, **kwargs))
    distance.compare(images(0, 1, 3, 16, 16), images(1, 1, 3, 16, 16))
    assert len(calls) == 2 * 13


def test_autocast_keeps_the_comparison_in_single_precision(distance):
    a, b = images(0, 2, 3, 16, 16).requires_grad_(), images(1, 2, 3, 16, 16)
    exact = distance.compare(a, b).detach()
    with torch.autocast('cpu', torch.bfloat16):
        value = distance.compare(a.bfloat16(), b.bfloat16())
    value.sum().backward()
    assert value.dtype == torch.float32
    assert_close(value.detach(), exact, rtol=0.05, atol=0)
    assert a.grad.isfinite().all()


def test_weights_are_constants_that_no_checkpoint_holds(distance):
    assert list(distance.parameters()) == []
    assert distance.state_dict() == {}
    assert all(buffer.dtype == torch.float64 for buffer in deepcopy(distance).double().buffers())


def test_weights_are_read_by_init_weights_and_once(backbone_path, heads_path, monkeypatch):
    asked = []
    monkeypatch.setattr(lpips, 'resolve_checkpoint', lambda source, sha256=None: asked.append(source) or source)
    distance = DISTANCES.build(dict(type='LPIPS', backbone=str(backbone_path), heads=str(heads_path)))
    assert asked == []
    distance.init_weights()
    distance.init_weights()
    assert asked == [str(backbone_path), str(heads_path)]


@pytest.mark.parametrize('old_format', [True, False])
def test_heads_of_the_package_lpips_are_read(distance, backbone_path, heads, tmp_path, old_format):
    path = tmp_path / 'vgg.pth'
    torch.save(heads, path, _use_new_zipfile_serialization=not old_format)
    other = LPIPS(backbone_path, path)
    other.init_weights()
    assert all(torch.equal(a, b) for a, b in zip(other.heads.buffers(), distance.heads.buffers()))


def test_heads_that_are_parameters_are_read(distance, backbone_path, heads, tmp_path):
    torch.save([nn.Parameter(value) for value in heads.values()], tmp_path / 'heads.pt')
    other = LPIPS(backbone_path, tmp_path / 'heads.pt')
    other.init_weights()
    assert all(torch.equal(a, b) for a, b in zip(other.heads.buffers(), distance.heads.buffers()))
    assert list(other.parameters()) == []


def test_published_files_are_asked_for_with_the_digest_that_their_name_begins(monkeypatch, backbone_path, heads_path):
    asked, here = {}, {VGG16: backbone_path, HEADS: heads_path}

    def resolve_checkpoint(source, sha256=None):
        asked[source] = sha256
        return here[source]

    monkeypatch.setattr(lpips, 'resolve_checkpoint', resolve_checkpoint)
    LPIPS().init_weights()
    assert asked == {VGG16: PUBLISHED_SHA256[VGG16], HEADS: None}
    assert len(asked[VGG16]) == 64
    assert VGG16.endswith(f'-{asked[VGG16][:8]}.pth')


def test_use_without_weights_is_refused():
    with pytest.raises(InputError, match=r'no weights yet: call init_weights\(\)'):
        LPIPS()(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))


def served_heads(server, heads):
    file = io.BytesIO()
    torch.save(list(heads.values()), file)
    server.content = file.getvalue()
    return hashlib.sha256(server.content).hexdigest()


def test_file_behind_an_address_is_downloaded_checked_and_kept(
    server, backbone_path, heads, distance, tmp_path, monkeypatch
):
    monkeypatch.setenv('MMCM_HOME', str(tmp_path))
    digest = served_heads(server, heads)
    for _ in range(2):
        other = LPIPS(backbone_path, server.url, heads_sha256=digest)
        other.init_weights()
    assert all(torch.equal(a, b) for a, b in zip(other.heads.buffers(), distance.heads.buffers()))
    assert len(server.asked) == 1


def test_download_with_another_digest_is_refused(server, backbone_path, heads, tmp_path, monkeypatch):
    monkeypatch.setenv('MMCM_HOME', str(tmp_path))
    digest = served_heads(server, heads)
    with pytest.raises(InputError, match=f'its SHA-256 is {digest}, expected {64 * "0"}') as caught:
        LPIPS(backbone_path, server.url, heads_sha256=64 * '0').init_weights()
    assert 'model.objective.distance.heads' in str(caught.value)


def test_truncated_download_is_refused(server, backbone_path, heads, tmp_path, monkeypatch):
    monkeypatch.setenv('MMCM_HOME', str(tmp_path))
    served_heads(server, heads)
    server.behaviour, server.ranges = 'cut', False
    with pytest.raises(InputError, match='truncated'):
        LPIPS(backbone_path, server.url).init_weights()


def test_offline_the_error_names_the_place_for_the_file_and_the_key(heads_path, tmp_path, monkeypatch):
    monkeypatch.setenv('MMCM_HOME', str(tmp_path))
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    distance = LPIPS(CLOSED, heads_path)
    with pytest.raises(InputError, match='is this machine offline') as caught:
        distance.init_weights()
    (folder,) = (tmp_path / 'checkpoints').iterdir()
    assert f'can be put by hand at {folder / "vgg16.pth"};' in str(caught.value)
    assert 'model.objective.distance.backbone' in str(caught.value)
    assert '\n' not in str(caught.value)


def test_file_put_by_hand_where_the_error_says_is_taken(backbone_path, heads, tmp_path, monkeypatch):
    monkeypatch.setenv('MMCM_HOME', str(tmp_path))
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    distance = LPIPS(backbone_path, CLOSED)
    with pytest.raises(InputError):
        distance.init_weights()
    (folder,) = (tmp_path / 'checkpoints').iterdir()
    torch.save(list(heads.values()), folder / 'vgg16.pth')
    distance.init_weights()
    assert distance.is_init


def test_missing_file_is_told(heads_path, tmp_path):
    with pytest.raises(InputError, match='LPIPS needs the convolutions of VGG16: .*nowhere.pth.*distance.backbone'):
        LPIPS(tmp_path / 'nowhere.pth', heads_path).init_weights()


def test_truncated_file_is_told(backbone_path, heads_path, tmp_path):
    path = tmp_path / 'half.pth'
    path.write_bytes(backbone_path.read_bytes()[:100_000])
    with pytest.raises(InputError, match='half.pth is no whole checkpoint .*distance.backbone'):
        LPIPS(path, heads_path).init_weights()


def test_file_with_another_digest_is_told(backbone_path, heads_path):
    found = hashlib.sha256(heads_path.read_bytes()).hexdigest()
    with pytest.raises(InputError, match=f'its SHA-256 is {found}, expected abc'):
        LPIPS(backbone_path, heads_path, heads_sha256='ABC').init_weights()
    LPIPS(backbone_path, heads_path, heads_sha256=found.upper()).init_weights()


def test_file_of_another_network_is_told(backbone_path, heads_path, tmp_path):
    with pytest.raises(InputError, match='does not hold: features.0.weight is missing, .* and 23 more; .*backbone'):
        LPIPS(heads_path, heads_path).init_weights()
    with pytest.raises(InputError, match='does not hold: lin0.model.1.weight is missing, .*distance.heads'):
        LPIPS(backbone_path, backbone_path).init_weights()
    alexnet = tmp_path / 'alex.pth'
    torch.save(
        {f'lin{i}.model.1.weight': torch.ones(1, c, 1, 1) for i, c in enumerate((64, 192, 384, 256, 256))}, alexnet
    )
    distance = LPIPS(backbone_path, alexnet)
    with pytest.raises(InputError, match=r'lin1.model.1.weight is of shape \(192,\) instead of \(128,\)'):
        distance.init_weights()
    assert not distance.is_init


def test_file_of_anything_else_is_told(backbone_path, tmp_path):
    torch.save(torch.zeros(3), tmp_path / 'tensor.pt')
    with pytest.raises(InputError, match='lin0.model.1.weight is missing'):
        LPIPS(backbone_path, tmp_path / 'tensor.pt').init_weights()
