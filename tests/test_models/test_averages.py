import pytest
import torch
from torch import nn

from mmcm.models.averages import evaluating, frozen, update_ema


@pytest.mark.parametrize('decay', [0.0, 0.9, 1.0])
def test_average_keeps_the_share_of_its_weights_that_the_decay_says(decay):
    average, online = frozen(nn.Linear(3, 2)), nn.Linear(3, 2)
    expected = [decay * old + (1 - decay) * new for old, new in zip(average.parameters(), online.parameters())]
    update_ema(average, online, decay)
    torch.testing.assert_close(list(average.parameters()), expected, rtol=0, atol=1e-7, check_device=False)


def test_copy_has_the_buffers_too():
    average, online = frozen(nn.BatchNorm1d(2)), nn.BatchNorm1d(2)
    online.running_mean.fill_(3)
    update_ema(average, online, 0.5)
    assert average.running_mean.tolist() == [0, 0]
    update_ema(average, online, 0)
    assert average.running_mean.tolist() == [3, 3]


@pytest.mark.parametrize('training', [True, False])
def test_mode_is_restored(training):
    module = nn.Linear(1, 1).train(training)
    with pytest.raises(RuntimeError), evaluating(module):
        assert not module.training
        raise RuntimeError
    assert module.training is training
