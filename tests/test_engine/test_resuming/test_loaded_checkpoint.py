"""What a run starts from, and what it goes on from: released files, folders of OpenAI's trainer, other runs."""

import shutil

import pytest
import torch
from mmengine.runner import Runner

from mmcm.checkpoints.formats.diffusers_folder import write_folder
from mmcm.checkpoints.weights import read_checkpoint
from mmcm.utils.errors import InputError
from support.digits import BACKBONE, build, model_config
from support.openai_trainer_files import write_trainer_folder
from support.training_starts import equal, loaded, part, run_config

pytestmark = [
    pytest.mark.filterwarnings('ignore:.*has been created'),  # runners of the same second share MMEngine's name
    pytest.mark.filterwarnings('ignore:Detected call of .scheduler.step'),  # as MMEngine's loops do
]


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    """The folder of a run of 8 iterations, with checkpoints of every second one."""
    folder = tmp_path_factory.mktemp('undisturbed')
    Runner.from_cfg(run_config(folder, 8, interval=2)).train()
    return folder


@pytest.fixture
def network(tmp_path):
    """A released file: the weights of a network under its own names."""
    path = tmp_path / 'released.pt'
    weights = build(seed=3).denoiser.backbone.state_dict()
    torch.save(weights, path)
    return path, weights


@pytest.mark.parametrize('form', ['bare', 'prefixed', 'nested', 'diffusers', 'lightning', 'averaged', 'arrays'])
def test_weights_alone_become_those_of_network_target_and_averages(tmp_path, network, form):
    path, weights = network
    if form == 'prefixed':
        torch.save({f'backbone.{key}': value for key, value in weights.items()}, path)
    elif form == 'nested':
        torch.save(dict(state_dict=weights), path)
    elif form == 'lightning':
        torch.save(dict(epoch=1, state_dict={f'model._orig_mod.{key}': value for key, value in weights.items()}), path)
    elif form == 'averaged':
        online = {key: value + 1 for key, value in weights.items()}
        torch.save(dict(model=online, ema={f'module.{key}': value for key, value in weights.items()}, step=3), path)
    elif form == 'arrays':
        torch.save({key: value.numpy() for key, value in weights.items()}, path)
    elif form == 'diffusers':
        path = tmp_path / 'folder'
        write_folder(path, model_config(), weights)
    runner, note = loaded(tmp_path / 'run', path)
    for prefix in ('denoiser', 'target', 'emas.0_5', 'emas.0_9'):
        assert equal(part(runner.model, f'{prefix}.backbone.'), weights), prefix
    assert 'its weights are the online ones' in note and '\n' not in note
    assert 'the target and the average 0.5 and the average 0.9 start as copies of the online weights' in note
    assert runner.iter == 0


def test_processes_compare_what_they_have_read(tmp_path, network, monkeypatch):
    """Among several processes; `test_distributed` has two of them."""

    def refuse(checkpoint, source):
        assert all(key.startswith(('denoiser.', 'target.', 'emas.')) for key in checkpoint['state_dict'])
        raise InputError(f'{source} is another one elsewhere')

    monkeypatch.setattr('mmcm.engine.resuming.loaded_checkpoint.check_agreement', refuse)
    with pytest.raises(InputError, match='released.pt is another one elsewhere'):
        loaded(tmp_path / 'run', network[0])


def test_weights_alone_are_not_resumed(tmp_path, network):
    with pytest.raises(InputError, match='holds weights alone.*Leave out --resume'):
        loaded(tmp_path / 'run', network[0], resume=True)


def test_weights_of_another_network_are_refused(tmp_path):
    other = build(denoiser=dict(type='KarrasDenoiser', backbone=dict(BACKBONE, base_channels=64)))
    torch.save(other.denoiser.backbone.state_dict(), tmp_path / 'other.pt')
    with pytest.raises(InputError, match='other.pt is not a checkpoint of this ADMUNet: .* shapes differ'):
        loaded(tmp_path / 'run', tmp_path / 'other.pt')


@pytest.mark.parametrize('resume', [False, True])
@pytest.mark.parametrize('part', ['denoiser', 'target', 'emas.0_9'])
def test_weights_that_are_not_finite_are_refused(tmp_path, undisturbed, part, resume):
    content = read_checkpoint(undisturbed / 'iter_4.pth')
    content['state_dict'][f'{part}.backbone.out.2.bias'] = torch.full((1,), float('nan'))
    torch.save(content, tmp_path / 'diverged.pth')
    with pytest.raises(InputError, match=f'NaN or infinite values in 1 of .*{part}.backbone.out.2.bias'):
        loaded(tmp_path / 'run', tmp_path / 'diverged.pth', resume)


def test_list_is_no_checkpoint(tmp_path):
    torch.save([torch.zeros(2)], tmp_path / 'list.pt')
    with pytest.raises(InputError, match='list.pt holds no state dict but a list'):
        loaded(tmp_path / 'run', tmp_path / 'list.pt')


def test_file_without_weights_is_refused(tmp_path):
    torch.save(dict(state={}, param_groups=[]), tmp_path / 'opt000002.pt')
    with pytest.raises(InputError, match='holds no state dict but the state of an optimiser'):
        loaded(tmp_path / 'run', tmp_path / 'opt000002.pt')


def test_average_that_a_checkpoint_lacks_starts_from_its_weights(tmp_path, undisturbed):
    runner, note = loaded(tmp_path / 'run', undisturbed / 'iter_4.pth', decays=(0.5, 0.99))
    saved = read_checkpoint(undisturbed / 'iter_4.pth')['state_dict']
    assert equal(part(runner.model, 'emas.0_99.'), part(runner.model, 'denoiser.'))
    assert torch.equal(runner.model.state_dict()['emas.0_5.backbone.out.2.bias'], saved['emas.0_5.backbone.out.2.bias'])
    assert 'the average 0.99 starts as a copy' in note and 'average 0.9 left out' in note


def test_checkpoint_of_the_same_model_is_loaded_without_a_note(tmp_path, undisturbed):
    runner, note = loaded(tmp_path / 'run', undisturbed / 'iter_4.pth')
    assert note == '' and equal(runner.model.state_dict(), read_checkpoint(undisturbed / 'iter_4.pth')['state_dict'])


@pytest.mark.parametrize('half', [False, True], ids=['single', 'half'])
@pytest.mark.parametrize('name', ['', 'model000004.pt'], ids=['folder', 'file'])
def test_run_of_openais_trainer_goes_on_to_the_numbers_of_an_undisturbed_run(tmp_path, undisturbed, half, name):
    folder = tmp_path / 'openai'
    write_trainer_folder(folder, read_checkpoint(undisturbed / 'iter_2.pth'), 2, half)
    write_trainer_folder(folder, read_checkpoint(undisturbed / 'iter_4.pth'), 4, half)
    cfg = run_config(tmp_path / 'run', 8, load_from=str(folder / name), resume=True)
    Runner.from_cfg(cfg).train()
    ours, theirs = (read_checkpoint(path / 'iter_8.pth') for path in (tmp_path / 'run', undisturbed))
    assert equal(ours['state_dict'], theirs['state_dict'])
    for mine, other in zip(ours['optimizer']['state'].values(), theirs['optimizer']['state'].values()):
        assert equal(mine, other)
    assert ours['optimizer']['param_groups'][0]['lr'] == theirs['optimizer']['param_groups'][0]['lr'] < 1e-2


def test_resumed_run_of_openais_trainer_says_what_it_took_over(tmp_path, undisturbed):
    content = read_checkpoint(undisturbed / 'iter_4.pth')
    write_trainer_folder(tmp_path / 'openai', content, 4)
    runner, note = loaded(tmp_path / 'run', tmp_path / 'openai', resume=True)
    assert runner.iter == 4 and equal(runner.model.state_dict(), content['state_dict'])
    assert "goes on after step 4 of OpenAI's trainer; with the state of its optimiser" in note
    assert 'order of the images and noise are those of this run' in note


@pytest.mark.parametrize(
    'without, optimizer, expected',
    [
        (['opt'], dict(type='RAdam', lr=1e-2), 'the optimiser starts anew, as there is no file of its state'),
        ([], dict(type='SGD', lr=0.1), 'the optimiser starts anew, as the config has SGD'),
        ([], dict(type='RAdam', lr=1e-3), 'settings of the optimiser are those of the config: lr 0.001 (there '),
        (
            ['target_model', 'ema'],
            dict(type='RAdam', lr=1e-2),
            'the target and the average 0.5 and the average 0.9 start',
        ),
    ],
)
def test_what_is_not_taken_over_is_said(tmp_path, undisturbed, without, optimizer, expected):
    write_trainer_folder(tmp_path / 'openai', read_checkpoint(undisturbed / 'iter_4.pth'), 4, without=without)
    # The schedule is left out, so that the learning rates differ by the setting alone.
    cfg = run_config(tmp_path / 'run', 8, load_from=str(tmp_path / 'openai'), resume=True)
    cfg.optim_wrapper.optimizer, cfg.param_scheduler = optimizer, None
    runner = Runner.from_cfg(cfg)
    notes, info = [], runner.logger.info
    runner.logger.info = lambda text, *args, **kwargs: (notes.append(str(text)), info(text, *args, **kwargs))
    runner.train()
    assert runner.iter == 8
    assert expected in next(note for note in notes if note.startswith(str(tmp_path / 'openai')))


def test_step_and_optimiser_stay_behind_where_the_run_is_not_resumed(tmp_path, undisturbed):
    content = read_checkpoint(undisturbed / 'iter_4.pth')
    write_trainer_folder(tmp_path / 'openai', content, 4)
    runner, note = loaded(tmp_path / 'run', tmp_path / 'openai')
    assert runner.iter == 0 and equal(runner.model.state_dict(), content['state_dict'])
    assert not runner.optim_wrapper.optimizer.state
    assert 'the step, 4, and the optimiser are not taken over: --resume would go on with them' in note


def test_accumulated_iterations_are_counted(tmp_path, undisturbed):
    write_trainer_folder(tmp_path / 'openai', read_checkpoint(undisturbed / 'iter_4.pth'), 4)
    cfg = run_config(tmp_path / 'run', 16, load_from=str(tmp_path / 'openai'), resume=True)
    cfg.optim_wrapper.accumulative_counts = 2
    runner = Runner.from_cfg(cfg)
    runner.train()
    states = read_checkpoint(tmp_path / 'run' / 'iter_16.pth')['optimizer']['state']
    assert states[0]['step'] == 8  # 4 there, and 8 iterations of 16 here


def test_folder_whose_model_file_is_missing_is_not_resumed(tmp_path, undisturbed):
    """The trainer writes the model's file last: without it, the checkpoint is not whole."""
    folder = tmp_path / 'openai'
    write_trainer_folder(folder, read_checkpoint(undisturbed / 'iter_2.pth'), 2)
    write_trainer_folder(folder, read_checkpoint(undisturbed / 'iter_4.pth'), 4, without=['model'])
    assert loaded(tmp_path / 'run', folder, resume=True)[0].iter == 2
    shutil.rmtree(folder)
    write_trainer_folder(folder, read_checkpoint(undisturbed / 'iter_4.pth'), 4, without=['model'])
    with pytest.raises(InputError, match='no checkpoint'):
        loaded(tmp_path / 'again', folder, resume=True)
