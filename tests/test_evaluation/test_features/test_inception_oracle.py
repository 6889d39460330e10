"""Our InceptionV3 against that of torch-fidelity, which needs torchvision: `make test-mmagic` has both."""

import pytest
import torch

from mmcm.evaluation.features import InceptionV3
from support.random_inception import random_images, random_inception

fidelity = pytest.importorskip('torch_fidelity.feature_extractor_inceptionv3')


@pytest.fixture(scope='module')
def both(tmp_path_factory):
    path = tmp_path_factory.mktemp('inception') / 'weights.pth'
    torch.save(random_inception(), path)
    ours = InceptionV3(path)
    ours.init_weights()
    theirs = fidelity.FeatureExtractorInceptionV3(
        'oracle', ['2048', 'logits_unbiased'], feature_extractor_weights_path=str(path)
    )
    path.unlink()  # pytest keeps folders of several runs
    return ours, theirs


@pytest.mark.parametrize('size', [32, 64, 256, 299])
def test_features_are_those_of_torch_fidelity(both, size):
    ours, theirs = both
    images = random_images(3, size, seed=size)
    kept = []
    hook = theirs.Mixed_6d.branch1x1.register_forward_hook(lambda module, inputs, output: kept.append(output))
    features, logits = theirs(images)
    hook.remove()
    spatial = kept[0][:, :7].permute(0, 2, 3, 1).reshape(len(images), -1)  # (17, 17, 7), as TensorFlow has it
    for name, found, expected in zip(
        ('features', 'logits', 'spatial'), ours.extract(images), (features, logits, spatial)
    ):
        scale = expected.std()
        difference = ((found - expected).abs().max() / scale).item()
        assert found.shape == expected.shape
        assert scale > 1, name  # the weights let nothing vanish
        assert difference < 3e-5, name  # measured: 1e-5
