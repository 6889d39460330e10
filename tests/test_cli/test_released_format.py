"""A file with the keys and shapes of the released ImageNet checkpoint draws through the configs of the paper."""

import cv2
import pytest
import torch

from mmcm.cli.demo import main
from support.parity import manifest


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for key, shape in manifest('imagenet64')[0].items():
        fan_in = max(1, torch.Size(shape[1:]).numel())
        weights[key] = torch.randn(shape, generator=generator).div_(fan_in**0.5)
    path = tmp_path_factory.mktemp('released') / 'imagenet64.pt'
    torch.save(weights, path)
    yield path
    path.unlink()  # 1.2 GB


@pytest.mark.slow
@pytest.mark.parametrize(
    'steps, calls', [('onestep', '1 network evaluation '), ('multistep', '2 network evaluations ')]
)
def test_draws_through_the_configs_of_the_paper(checkpoint, tmp_path, capsys, steps, calls):
    main(
        [
            '--model-name',
            'consistency_models',
            '--model-config',
            f'configs/consistency_models/consistency_models_8xb256-imagenet1k-{steps}-64x64.py',
            '--model-ckpt',
            str(checkpoint),
            '--label',
            '145',
            '999',
            '--result-out-dir',
            str(tmp_path / 'x.png'),
            '--device',
            'cpu',
        ]
    )
    assert calls in capsys.readouterr().out
    sheet = cv2.imread(str(tmp_path / 'x.png'))
    assert sheet.shape == (4 + 128 + 16 + 4, 4 + 2 * (128 + 4), 3) and sheet.std() > 10  # two fill 256 pixels
