import hashlib
import zipfile

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from mmcm.evaluation.features import InceptionV3
from mmcm.evaluation.features.torch_script import is_script, load_script
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from support.random_inception import random_images, scripted_inception


class Doubler(nn.Module):
    def forward(self, images, times: int = 2):
        return images.float() * times, images


@pytest.fixture
def path(tmp_path):
    torch.jit.save(torch.jit.script(Doubler()), tmp_path / 'doubler.pt')
    return tmp_path / 'doubler.pt'


def read(path, **kwargs):
    extractor = MODELS.build(dict(type='TorchScriptFeatures', checkpoint=str(path), **kwargs))
    extractor.init_weights()
    return extractor


def test_scripted_inception_has_the_features_of_ours(tmp_path):
    torch.jit.save(scripted_inception(), tmp_path / 'inception-2015-12-05.pt')
    scripted = read(tmp_path / 'inception-2015-12-05.pt', arguments=dict(return_features=True))
    ours = InceptionV3(tmp_path / 'inception-2015-12-05.pt')
    ours.init_weights()
    (tmp_path / 'inception-2015-12-05.pt').unlink()  # pytest keeps folders of several runs
    images = random_images(2, 40)
    found, expected = scripted.extract(images).features, ours.extract(images).features
    assert_close(found, expected, rtol=0, atol=1e-4 * expected.std().item())
    assert scripted.fingerprint != ours.fingerprint


def test_equal_weights_beside_other_code_are_another_extractor(path, tmp_path):

    class Tripler(nn.Module):
        def forward(self, images):
            return images.float() * 3, images

    torch.jit.save(torch.jit.script(Tripler()), tmp_path / 'tripler.pt')
    assert read(tmp_path / 'tripler.pt', features=0).fingerprint != read(path, features=0).fingerprint
    assert read(path, features=0).fingerprint == read(path, features=0).fingerprint


def test_network_is_called_with_the_arguments(path):
    images = torch.arange(24, dtype=torch.uint8).view(2, 3, 2, 2)
    assert_close(read(path, features=0).extract(images).features, 2.0 * images.flatten(1))
    found = read(path, arguments=dict(times=3), features=0, logits=1, value_range=(0, 1)).extract(images)
    assert_close(found.features, 3 / 255 * images.flatten(1))
    assert_close(found.logits, images.flatten(1) / 255)


def test_digest_is_checked(path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read(path, sha256=digest).fingerprint
    with pytest.raises(InputError, match=f'its SHA-256 is {digest}, expected 000'):
        read(path, sha256=64 * '0')


def test_what_is_no_archive_is_told(tmp_path):
    torch.save(dict(weight=torch.zeros(3)), tmp_path / 'weights.pth')
    with pytest.raises(InputError, match="weights.pth is no TorchScript archive.*use the extractor 'NetworkFeatures'"):
        read(tmp_path / 'weights.pth')
    (tmp_path / 'text.pt').write_text('no archive')
    with pytest.raises(InputError, match='text.pt is no TorchScript archive'):
        read(tmp_path / 'text.pt')
    with pytest.raises(InputError, match='nowhere.pt'):
        read(tmp_path / 'nowhere.pt')


def test_broken_archive_is_told(path, tmp_path):
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / 'broken.pt', 'w') as broken:
        for name in whole.namelist():
            if not name.endswith('/data.pkl'):
                broken.writestr(name, whole.read(name))
    assert is_script(tmp_path / 'broken.pt')
    with pytest.raises(InputError, match='broken.pt cannot be read as a TorchScript archive: .') as caught:
        load_script(tmp_path / 'broken.pt')
    assert '\n' not in str(caught.value)
