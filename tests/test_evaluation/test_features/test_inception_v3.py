import hashlib
import warnings

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close

from mmcm.evaluation.features import InceptionV3, inception_v3
from mmcm.evaluation.features.inception_v3 import PUBLISHED_SHA256, WEIGHTS
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from support.random_inception import SHAPES, plain_inception, random_images, random_inception, scripted_inception


@pytest.fixture(scope='module')
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp('inception') / 'weights.pth'
    torch.save(random_inception(), path)
    yield path
    path.unlink()  # pytest keeps folders of several runs


@pytest.fixture(scope='module')
def plain_path(tmp_path_factory):
    path = tmp_path_factory.mktemp('inception') / 'plain.pth'
    torch.save(plain_inception(), path)
    return path


def read(path, **kwargs):
    network = MODELS.build(dict(type='InceptionV3', checkpoint=str(path), **kwargs))
    network.init_weights()
    return network


@pytest.fixture(scope='module')
def network(path):
    return read(path)


def test_names_and_shapes_are_those_of_the_published_file(network):
    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    assert shapes == {name: shape for name, shape in SHAPES.items() if name != 'fc.bias'}


def test_features_are_those_of_a_network_written_otherwise(tmp_path):
    scripted = scripted_inception()
    torch.jit.save(scripted, tmp_path / 'inception-2015-12-05.pt')
    network, images = read(tmp_path / 'inception-2015-12-05.pt'), random_images(2, 48)
    (tmp_path / 'inception-2015-12-05.pt').unlink()
    features, logits, spatial = network.extract(images)
    expected = scripted(images, return_features=True)
    assert features.shape == (2, 2048) and logits.shape == (2, 1008) and spatial.shape == (2, 2023)
    assert_close(features, expected, rtol=0, atol=1e-4 * expected.std().item())
    first = [
        getattr(scripted.layers, name)
        for name in (
            'conv',
            'conv_1',
            'conv_2',
            'pool0',
            'conv_3',
            'conv_4',
            'pool1',
            'mixed',
            'mixed_1',
            'mixed_2',
            'mixed_3',
            'mixed_4',
            'mixed_5',
        )
    ]
    x = (inception_v3.resize_bilinear(images.float(), 299, 299) - 128) / 128
    for layer in first:
        x = layer(x)
    expected = scripted.layers.mixed_6.conv(x)[:, :7].permute(0, 2, 3, 1).reshape(2, -1)
    assert_close(spatial, expected, rtol=0, atol=1e-4 * expected.std().item())


def test_logits_are_those_without_the_bias(network):
    features, logits, _ = network.extract(random_images(2, 32))
    assert_close(logits, features @ random_inception()['fc.weight'].T)


def test_spatial_features_are_in_the_order_of_tensorflow(network):
    kept = []
    hook = network.Mixed_6d.branch1x1.register_forward_hook(lambda module, inputs, output: kept.append(output.clone()))
    spatial = network.extract(random_images(1, 32)).spatial
    hook.remove()
    for channel, row, column in ((0, 0, 0), (6, 0, 0), (3, 5, 16), (6, 16, 16)):
        assert spatial[0, (row * 17 + column) * 7 + channel] == kept[0][0, channel, row, column]


def test_features_do_not_depend_on_the_other_images_of_the_batch(path, network):
    images = random_images(5, 40)
    together = network.extract(images)
    for found, expected in zip(read(path, batch_size=2).extract(images), together):
        assert found.shape == expected.shape
        assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    alone = network.extract(images[3:4])
    assert (alone.features - together.features[3:4]).abs().max() < 1e-5 * together.features.abs().max()


def test_grey_images_are_rgb_with_equal_channels(network):
    images = random_images(1, 28)[:, :1]
    assert_close(network.extract(images).features, network.extract(images.repeat(1, 3, 1, 1)).features)


@pytest.mark.parametrize(
    'images, complaint',
    [
        (torch.zeros(2, 4, 8, 8, dtype=torch.uint8), 'got 4 channels'),
        (torch.zeros(2, 3, 8, 8), r'uint8 \(N, C, H, W\), got float32 \(2, 3, 8, 8\)'),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r'got uint8 \(3, 8, 8\)'),
        (torch.zeros(0, 3, 8, 8, dtype=torch.uint8), r'got uint8 \(0, 3, 8, 8\)'),
    ],
)
def test_what_are_no_rgb_images_is_refused(network, images, complaint):
    with pytest.raises(InputError, match=complaint):
        network.extract(images)


def test_features_need_no_gradient_and_may_be_changed(network):
    features = network.extract(random_images(1, 32)).features
    assert not features.requires_grad
    features += 1


def test_training_mode_and_autocast_change_nothing(network):
    images = random_images(2, 32)
    expected = network.extract(images).features
    network.train()
    with torch.autocast('cpu', torch.bfloat16):
        found = network.extract(images).features
    network.eval()
    assert torch.equal(found, expected)


def test_without_weights_nothing_is_extracted():
    network = InceptionV3()
    assert network.fingerprint is None
    with pytest.raises(InputError, match=r'InceptionV3 has no weights yet: call init_weights\(\)'):
        network.extract(random_images(1, 32))


def test_same_weights_have_one_fingerprint_in_any_file(plain_path, tmp_path):
    weights = plain_inception()
    save_file({name: value.contiguous() for name, value in weights.items()}, tmp_path / 'a.safetensors')
    # As torchvision's module saves itself; the features depend on none of these.
    more = {f'{name[: -len("weight")]}num_batches_tracked': torch.tensor(3) for name in SHAPES if 'bn.weight' in name}
    torch.save(
        dict(state_dict={**weights, **more, 'AuxLogits.fc.weight': torch.zeros(2, 2), 'fc.bias': torch.ones(3)}),
        tmp_path / 'b.pth',
    )
    holder = nn.Module()
    for name, value in weights.items():
        *parts, tensor = name.split('.')
        module = holder
        for part in parts:
            if not hasattr(module, part):
                module.add_module(part, nn.Module())
            module = getattr(module, part)
        module.register_buffer(tensor, value)
    torch.jit.save(torch.jit.script(holder), tmp_path / 'c.pt')
    fingerprints = {read(tmp_path / name).fingerprint for name in ('a.safetensors', 'b.pth', 'c.pt')}
    (tmp_path / 'a.safetensors').unlink()
    assert fingerprints == {read(plain_path).fingerprint}
    assert [len(fingerprint) for fingerprint in fingerprints] == [64]


def test_other_weights_have_another_fingerprint(plain_path, tmp_path):
    weights = plain_inception()
    weights['Mixed_7c.branch_pool.bn.running_mean'] = weights['Mixed_7c.branch_pool.bn.running_mean'].clone()
    weights['Mixed_7c.branch_pool.bn.running_mean'][0] += 1e-6
    torch.save(weights, tmp_path / 'other.pth')
    assert read(tmp_path / 'other.pth').fingerprint != read(plain_path).fingerprint


def test_weights_are_read_once(network, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError

    monkeypatch.setattr(inception_v3, 'resolve_checkpoint', refuse)
    network.init_weights()


def test_files_of_other_networks_are_told(tmp_path):
    weights = plain_inception()
    torch.save({**weights, 'fc.weight': torch.zeros(1000, 2048)}, tmp_path / 'torchvision.pth')
    with pytest.raises(
        InputError,
        match=r'torchvision.pth is not a checkpoint of this InceptionV3: 1 shapes differ: '
        r"fc.weight \(1000, 2048\) instead of \(1008, 2048\).* are not torchvision's.$",
    ):
        read(tmp_path / 'torchvision.pth')
    del weights['Mixed_5b.branch1x1.conv.weight']
    torch.save({**weights, 'head.weight': torch.zeros(3)}, tmp_path / 'renamed.pth')
    with pytest.raises(
        InputError,
        match='1 keys are missing: Mixed_5b.branch1x1.conv.weight; 1 keys are not expected: '
        f'head.weight.*takes the weights of 2015-12-05 .{WEIGHTS}',
    ):
        read(tmp_path / 'renamed.pth')
    with pytest.raises(InputError, match='is not a checkpoint of this InceptionV3: 471 keys are missing'):
        read('package:weights/digits_classifier.safetensors')


def test_what_is_no_checkpoint_is_told(tmp_path):
    (tmp_path / 'page.pth').write_text('<html>not found</html>')
    with pytest.raises(InputError, match='page.pth is an HTML page .*download the file itself'):
        read(tmp_path / 'page.pth')
    torch.save([1, 2], tmp_path / 'list.pth')
    with pytest.raises(InputError, match='list.pth holds no state dict but a list'):
        read(tmp_path / 'list.pth')


def test_another_digest_is_refused(plain_path):
    found = hashlib.sha256(plain_path.read_bytes()).hexdigest()
    with pytest.raises(InputError, match=f'its SHA-256 is {found}, expected {64 * "0"}'):
        read(plain_path, sha256=64 * '0')
    read(plain_path, sha256=found)


@pytest.mark.parametrize('name', [WEIGHTS.rpartition('/')[2], 'pt_inception-2015-12-05-6726825d.pth'])
def test_file_that_says_that_it_is_the_published_one_has_to_be(plain_path, tmp_path, name):
    (tmp_path / name).symlink_to(plain_path)
    with pytest.raises(InputError, match=f'expected {PUBLISHED_SHA256}'):
        read(tmp_path / name)


def test_published_file_is_asked_for_with_its_digest(plain_path, monkeypatch):
    asked = {}

    def resolve_checkpoint(source, sha256):
        asked[source] = sha256
        return plain_path

    monkeypatch.setattr(inception_v3, 'resolve_checkpoint', resolve_checkpoint)
    InceptionV3().init_weights()
    assert asked == {WEIGHTS: PUBLISHED_SHA256}
    assert len(PUBLISHED_SHA256) == 64
    assert WEIGHTS.endswith(f'-{PUBLISHED_SHA256[:8]}.pth')


def test_file_behind_an_address_is_downloaded_and_checked(server, plain_path, tmp_path, monkeypatch):
    monkeypatch.setenv('MMCM_HOME', str(tmp_path))
    server.content = plain_path.read_bytes()
    assert read(server.url).fingerprint == read(plain_path).fingerprint
    with pytest.raises(InputError, match='its SHA-256 is .*, expected 000'):
        read(f'{server.url}?other', sha256=64 * '0')


def test_building_takes_neither_memory_nor_random_numbers(monkeypatch):
    state = torch.get_rng_state()
    network = InceptionV3()
    assert all(value.is_meta for value in network.state_dict().values())
    assert torch.equal(torch.get_rng_state(), state)


def test_archives_are_read_without_a_warning(tmp_path):
    torch.jit.save(torch.jit.script(nn.Flatten()), tmp_path / 'archive.pt')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        with pytest.raises(InputError, match='archive.pt is not a checkpoint of this InceptionV3: 471 keys are'):
            read(tmp_path / 'archive.pt')


def test_normalisation_is_that_of_a_trained_batch_normalisation():
    module, oracle = inception_v3.Normalisation(3), nn.BatchNorm2d(3, eps=1e-3)
    for name, value in module.named_buffers():
        value.copy_(torch.rand(3) + 0.5)
        getattr(oracle, name).data.copy_(value)
    x = torch.randn(2, 3, 4, 4)
    assert_close(module(x), oracle.eval()(x))


def test_averages_know_of_no_pixels_outside():
    assert torch.equal(inception_v3.average(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 4, 4))
