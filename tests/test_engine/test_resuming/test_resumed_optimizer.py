"""The optimiser of a resumed run, whose model keeps other averages, and with other optimisers."""

import pytest
import torch
from mmengine.runner import Runner

from mmcm.checkpoints.weights import read_checkpoint
from mmcm.utils.errors import InputError
from support.training_starts import loaded, run_config

pytestmark = [
    pytest.mark.filterwarnings('ignore:.*has been created'),  # runners of the same second share MMEngine's name
    pytest.mark.filterwarnings('ignore:Detected call of .scheduler.step'),
]
PARAMWISE = dict(norm_decay_mult=0.0)  # for which MMEngine makes a group of each parameter


def moments(runner):
    """Return the state of each parameter that has one, by its name."""
    names = {parameter: name for name, parameter in runner.model.named_parameters()}
    return {names[parameter]: state for parameter, state in runner.optim_wrapper.optimizer.state.items()}


@pytest.mark.parametrize('paramwise', [None, PARAMWISE], ids=['one group', 'many groups'])
@pytest.mark.parametrize('decays', [(), (0.5, 0.9, 0.99)], ids=['fewer', 'more'])
def test_state_follows_its_parameters_where_the_averages_are_others(tmp_path, paramwise, decays):
    cfg = run_config(tmp_path / 'before', 2)
    cfg.optim_wrapper.update(paramwise_cfg=paramwise, optimizer=dict(type='RAdam', lr=1e-2, weight_decay=0.1))
    before = Runner.from_cfg(cfg)
    before.train()
    cfg = run_config(tmp_path / 'after', 3, decays=decays, resume=True, load_from=str(tmp_path / 'before/iter_2.pth'))
    cfg.optim_wrapper.update(paramwise_cfg=paramwise, optimizer=dict(type='RAdam', lr=1e-2, weight_decay=0.1))
    cfg.optim_wrapper.optimizer.lr = 0.0  # so that only the moments say whose they are
    cfg.param_scheduler = None
    after = Runner.from_cfg(cfg)
    after._train_loop = after.build_train_loop(after._train_loop)
    after.optim_wrapper = after.build_optim_wrapper(after.optim_wrapper)
    after.load_or_resume()
    found = moments(after)
    assert found.keys() == moments(before).keys() and all(name.startswith('denoiser.') for name in found)
    for name, state in moments(before).items():
        assert torch.equal(found[name]['exp_avg'], state['exp_avg'])
    after.train()
    assert after.iter == 3


@pytest.mark.parametrize(
    'change, expected',
    [
        (dict(type='SGD', lr=0.1), 'the optimiser starts anew: the config has SGD, and the checkpoint RAdam'),
        (dict(type='RAdam', lr=1e-2), ''),
    ],
)
def test_state_of_another_optimiser_is_left_out(tmp_path, change, expected):
    Runner.from_cfg(run_config(tmp_path / 'before', 2)).train()
    cfg = run_config(tmp_path / 'after', 3, resume=True, load_from=str(tmp_path / 'before/iter_2.pth'))
    cfg.optim_wrapper.optimizer = change
    runner, notes = Runner.from_cfg(cfg), []
    runner.logger.info = lambda text, *args: notes.append(str(text))
    runner.train()
    assert runner.iter == 3 and any('the optimiser starts anew' in note for note in notes) == bool(expected)
    assert any(expected in note for note in notes)


def test_checkpoint_without_the_state_of_an_optimiser_is_resumed_without(tmp_path):
    cfg = run_config(tmp_path / 'before', 2)
    cfg.default_hooks.checkpoint.update(save_optimizer=False, save_param_scheduler=False)
    Runner.from_cfg(cfg).train()
    runner, note = loaded(tmp_path / 'after', tmp_path / 'before/iter_2.pth', resume=True)
    assert 'the optimiser starts anew: its state is not in the checkpoint' in note
    assert runner.iter == 2 and not runner.optim_wrapper.optimizer.state


@pytest.mark.parametrize('broken', [3, dict(param_groups=[3]), dict(state={}, param_groups=[dict(params=[0])])])
def test_what_is_no_state_of_the_optimiser_is_refused(tmp_path, broken):
    Runner.from_cfg(run_config(tmp_path / 'before', 2)).train()
    content = read_checkpoint(tmp_path / 'before/iter_2.pth')
    content['optimizer'] = broken
    torch.save(content, tmp_path / 'broken.pth')
    with pytest.raises(InputError, match='in place of --resume|leave out --resume'):
        loaded(tmp_path / 'after', tmp_path / 'broken.pth', resume=True)
