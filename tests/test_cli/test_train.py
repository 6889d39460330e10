import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmcm.checkpoints.weights import read_checkpoint
from mmcm.cli.train import alone, main
from mmcm.config import read_config
from mmcm.engine import CompileHook, DataCheckHook, MicroBatchTrainLoop, NonFiniteGuardHook, WholeCheckpointHook
from mmcm.engine.resuming.loaded_checkpoint import check_strategy
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from support.digits import randomise
from support.openai_trainer_files import write_trainer_folder

DIGITS = 'configs/digits/ct_1xb32_digits-8x8.py'
QUICK = [
    'model.denoiser.backbone.channel_mult=(1,)',
    'model.denoiser.backbone.attention_resolutions=()',
    'train_dataloader.batch_size=16',
    'val_dataloader.dataset.num_samples=8',
    'train_cfg.max_iters=2',
    'default_hooks.sample_grid.rows=1',
    'default_hooks.sample_grid.columns=1',
]
# Runners of the same second in one process share MMEngine's name for them.
pytestmark = [
    pytest.mark.filterwarnings('ignore:.*has been created'),
    # MMEngine's schedules count iterations, also those that accumulate gradients.
    pytest.mark.filterwarnings('ignore:Detected call of .scheduler.step'),
]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Train for two steps; return the runner."""
    runners, train = [], Runner.train

    def noted_train(runner):
        runners.append(runner)
        return train(runner)

    def run(*arguments, options=()):
        # A name of its own keeps its log apart from those of other tests in the same second.
        name = f'experiment_name={tmp_path.name}'
        main([DIGITS, '--work-dir', str(tmp_path), *arguments, '--cfg-options', *QUICK, name, *options])
        return runners[-1]

    monkeypatch.setattr(Runner, 'train', noted_train)
    return run


def refusal(capsys, run, *arguments, options=()):
    with pytest.raises(SystemExit) as exit_:
        run(*arguments, options=options)
    error = capsys.readouterr().err.splitlines()[-1]
    assert exit_.value.code == 2 and error.startswith('error: ')
    return error


def test_micro_batches_accumulate_to_the_batch_of_the_config(run):
    runner = run('--micro-batch', '4')
    assert isinstance(runner.train_loop, MicroBatchTrainLoop)
    assert runner.train_dataloader.batch_size == 16 and runner.iter == runner.max_iters == 2
    assert runner.optim_wrapper._inner_count == 8


def test_micro_batch_has_to_divide_the_batch(run, capsys):
    assert 'micro-batches of 5: choose one of 1, 2, 4, 8, 16' in refusal(capsys, run, '--micro-batch', '5')


def test_micro_batches_need_iterations(run, capsys):
    options = ['train_cfg.type=EpochBasedTrainLoop', 'train_cfg.max_epochs=1']
    assert "'EpochBasedTrainLoop'" in refusal(capsys, run, '--micro-batch', '4', options=options)


@pytest.mark.parametrize(
    'arguments, options, ratio',
    [
        ([], [], 0.5),  # 16 images in place of 32
        (['--micro-batch', '4'], [], 0.5),
        ([], ['optim_wrapper.accumulative_counts=2', 'default_hooks.checkpoint.interval=2'], 1.0),
    ],
)
def test_learning_rate_is_scaled_by_the_batch_of_a_step(run, arguments, options, ratio):
    runner = run('--auto-scale-lr', *arguments, options=options)
    assert runner.optim_wrapper.optimizer.param_groups[0]['initial_lr'] == pytest.approx(1e-3 * ratio)


def test_default_runtime_guards_the_run(run):
    kinds = {type(hook) for hook in run().hooks}
    assert {DataCheckHook, NonFiniteGuardHook, WholeCheckpointHook} <= kinds


def test_diverging_run_ends_with_one_line(run, capsys, tmp_path):
    error = refusal(capsys, run, options=['optim_wrapper.optimizer.lr=1e38', 'train_cfg.max_iters=20'])
    assert 'not finite' in error and 'randomness.seed=0' in error
    assert not list(tmp_path.glob('*.pth'))


def test_networks_are_compiled_where_the_config_says_so(run):
    runner = run(options=['compile.backend=eager'])
    assert [hook.options for hook in runner.hooks if isinstance(hook, CompileHook)] == [dict(backend='eager')]


def test_averages_stay_in_single_precision_with_amp(run, tmp_path):
    run('--amp')
    state = read_checkpoint(tmp_path / 'iter_2.pth')['state_dict']
    assert {value.dtype for value in state.values()} == {torch.float32}


def test_run_that_would_replace_another_is_refused(run, capsys, tmp_path):
    run()
    assert 'note:' not in capsys.readouterr().err
    before = (tmp_path / 'iter_2.pth').stat().st_mtime_ns
    for arguments in ([], ['--cfg-options', f'load_from={tmp_path / "iter_2.pth"}']):
        error = refusal(capsys, run, *arguments)
        assert f'{tmp_path} holds a run already (iter_2.pth)' in error
        assert all(way in error for way in ('--resume', '--work-dir', '--force'))
    (tmp_path / 'last_checkpoint').unlink()
    assert 'holds a run already' in refusal(capsys, run)
    assert (tmp_path / 'iter_2.pth').stat().st_mtime_ns == before
    run('--force')
    assert (tmp_path / 'iter_2.pth').stat().st_mtime_ns > before


def test_run_resumed_from_elsewhere_does_not_replace_another(run, capsys, tmp_path):
    run()
    other = tmp_path.with_name(f'{tmp_path.name}-other')
    run('--work-dir', str(other))
    error = refusal(capsys, run, '--resume', options=[f'load_from={other / "iter_2.pth"}'])
    assert 'To go on with it: leave out load_from.' in error
    options = [f'load_from={tmp_path / "iter_2.pth"}', 'train_cfg.max_iters=3']
    assert run('--resume', options=options).iter == 3  # back to a checkpoint of its own


def test_moved_run_without_its_record_goes_on(run, tmp_path, capsys):
    run()
    (tmp_path / 'last_checkpoint').unlink()
    moved = tmp_path.with_name(f'{tmp_path.name}-moved')
    tmp_path.rename(moved)
    assert run('--resume', '--work-dir', str(moved), options=['train_cfg.max_iters=3']).iter == 3
    log = ''.join(path.read_text() for path in moved.rglob('*.log'))
    assert log.count('iter_2.pth is the newest whole checkpoint') == 1 and 'resumed epoch: 0, iter: 2' in log
    for path in moved.glob('iter_*.pth'):
        path.write_bytes(path.read_bytes()[:1000])
    error = refusal(capsys, run, '--resume', '--work-dir', str(moved))
    assert f'No checkpoint in {moved} is whole: iter_3.pth, iter_2.pth.' in error


@pytest.fixture
def released(tmp_path):
    """A file of weights alone for the network of `QUICK`."""
    backbone = read_config(DIGITS).model.denoiser.backbone.to_dict()
    backbone.update(channel_mult=(1,), attention_resolutions=())
    network = MODELS.build(backbone)
    randomise(network)
    torch.save(network.state_dict(), tmp_path / 'released.pt')
    return tmp_path / 'released.pt', network.state_dict()


def test_run_starts_from_a_released_file(run, released):
    path, weights = released
    # Without a learning rate, the weights stay what they are when they are loaded.
    runner = run(options=[f'load_from={path}', 'optim_wrapper.optimizer.lr=0.0'])
    state = runner.model.state_dict()
    for key, value in weights.items():
        assert torch.equal(state[f'denoiser.backbone.{key}'], value) and torch.equal(
            state[f'target.backbone.{key}'], value
        )


def test_released_file_is_not_resumed(run, released, capsys):
    error = refusal(capsys, run, '--resume', options=[f'load_from={released[0]}'])
    assert 'holds weights alone' in error and 'Leave out --resume' in error


def test_openais_folder_is_resumed_by_mmengines_runner_alone(run, tmp_path, capsys):
    trained = read_checkpoint(Path(run(options=['optim_wrapper.optimizer.type=RAdam']).work_dir) / 'iter_2.pth')
    write_trainer_folder(tmp_path / 'openai', trained, 2)
    options = [f'load_from={tmp_path / "openai"}', 'train_cfg.max_iters=3']
    assert run('--resume', options=options).iter == 3
    error = refusal(capsys, run, '--resume', options=[*options, 'runner_type=FlexibleRunner'])
    assert "is resumed with runner_type='Runner'" in error


def test_file_of_another_network_is_refused(run, released, capsys):
    torch.save(dict(weight=torch.zeros(1)), released[0])
    assert 'is not a checkpoint of this ADMUNet' in refusal(capsys, run, options=[f'load_from={released[0]}'])


def learning_rates(folder):
    """Return the learning rates in the logs of a work directory, by iteration; later logs count."""
    lines = (line for path in sorted(folder.rglob('scalars.json')) for line in path.read_text().splitlines())
    return {entry['iter']: entry['lr'] for entry in map(json.loads, lines) if 'lr' in entry}


EVERY = ['default_hooks.logger.interval=1', 'default_hooks.checkpoint.interval=1']


def test_longer_run_goes_on_with_the_schedule_of_its_length(run, tmp_path):
    """The values of a run that was as long from the start, bit for bit; MMEngine would train on at 0."""
    run(options=EVERY)
    run('--resume', options=[*EVERY, 'train_cfg.max_iters=4'])
    whole = tmp_path.with_name(f'{tmp_path.name}-whole')
    run('--work-dir', str(whole), options=[*EVERY, 'train_cfg.max_iters=4'])
    ours, theirs = learning_rates(tmp_path), learning_rates(whole)
    assert ours[3] == theirs[3] == pytest.approx(1e-3 / 3) and ours[4] == theirs[4] == 0
    log = ''.join(path.read_text() for path in tmp_path.rglob('*.log'))
    assert log.count('The config counts, not the checkpoint: PolyLR.end 4 (2). The learning rate of iteration 2') == 1


def test_shorter_run_is_not_resumed_beyond_its_end(run, capsys):
    run()
    error = refusal(capsys, run, '--resume', options=['train_cfg.max_iters=1'])
    assert 'is at iteration 2, and the run ends at 1: set train_cfg.max_iters to more' in error
    assert run('--resume').iter == 2


def test_schedule_that_ends_early_on_purpose_stays(run, tmp_path):
    run(options=EVERY)
    assert run('--resume', options=[*EVERY, 'train_cfg.max_iters=4', 'param_scheduler.end=2']).iter == 4
    assert learning_rates(tmp_path)[3] == learning_rates(tmp_path)[4] == 0
    assert 'The config counts' not in ''.join(path.read_text() for path in tmp_path.rglob('*.log'))


def test_flexible_runner_resumes_with_the_settings_of_the_config(run, tmp_path):
    run(options=EVERY)
    options = [*EVERY, 'runner_type=FlexibleRunner', 'train_cfg.max_iters=4', 'model.ema_decays=[0.9]']
    main([DIGITS, '--work-dir', str(tmp_path), '--resume', '--cfg-options', *QUICK, *options])
    state = read_checkpoint(tmp_path / 'iter_4.pth')
    assert learning_rates(tmp_path)[3] == pytest.approx(1e-3 / 3) and state['optimizer']['state'][0]['step'] == 4
    log = ''.join(path.read_text() for path in tmp_path.rglob('*.log'))
    assert 'PolyLR.end 4 (2)' in log and 'the average 0.9 starts as a copy of the online weights' in log


def test_deepspeed_does_not_start_from_what_it_does_not_read(tmp_path):
    config = dict(strategy=dict(type='DeepSpeedStrategy'), load_from='edm_digits')
    with pytest.raises(InputError, match="set model.init_from='edm_digits' instead"):
        check_strategy(config)
    (tmp_path / 'mp_rank_00_model_states.pt').touch()
    check_strategy(config | dict(load_from=str(tmp_path)))
    check_strategy(config | dict(load_from=None))


HOOKS = [
    'timer',
    'logger',
    'param_scheduler',
    'checkpoint',
    'sampler_seed',
    'resume_data',
    'step_seed',
    'plain_log',
    'loop_end',
    'data_check',
    'guard',
    'loss_by_sigma',
    'sample_grid',
    'trajectory',
]


@pytest.mark.parametrize('name', HOOKS)
def test_any_hook_can_be_left_out(run, name):
    assert run(options=[f'default_hooks.{name}=None']).iter == 2


def test_hook_that_training_needs_is_asked_for(run, capsys):
    assert 'AveragesHook' in refusal(capsys, run, options=['default_hooks.averages=None'])


def test_console_begins_briefly_and_the_log_file_has_everything(run, capsys, tmp_path):
    run(options=['default_hooks.logger.interval=1'])
    printed = capsys.readouterr()
    lines = (printed.out + printed.err).splitlines()
    first = next(number for number, line in enumerate(lines) if 'Iter(train)' in line)
    assert first <= 10 and 'deprecated' not in printed.out + printed.err
    log = next(tmp_path.rglob('*.log'))
    assert str(log) in printed.out
    text = log.read_text()
    assert all(part in text for part in ('System environment', 'Config:', 'Hooks will be executed', 'deprecated'))


ALONE = """
import sys
from mmengine.config import Config
from mmcm.cli.train import alone

with alone(Config(dict(work_dir=sys.argv[1]))):
    print('held', flush=True)
    sys.stdin.read()
"""


def test_second_training_in_a_work_directory_is_refused_in_one_line(tmp_path, capsys, run):
    command = [sys.executable, '-c', ALONE, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout.readline() == b'held\n'
        error = refusal(capsys, run)
        first.stdin.close()
    assert error.startswith(f'error: {tmp_path} is being trained by process {first.pid} on ')
    assert error.endswith('without --launcher none.')
    assert not [path for path in tmp_path.iterdir() if path.suffix != '.pt']  # no log, no checkpoint, no lock


def test_other_processes_of_a_run_share_its_work_directory(tmp_path, monkeypatch):
    config = Config(dict(work_dir=str(tmp_path)))
    with alone(config):
        with pytest.raises(InputError, match='is being trained by'), alone(config):
            pytest.fail('two trainings')
        monkeypatch.setenv('RANK', '1')
        monkeypatch.setenv('WORLD_SIZE', '2')
        with pytest.raises(InputError, match='is being trained by'), alone(config):
            pytest.fail('two trainings without a launcher')
        config.launcher = 'pytorch'
        with alone(config):
            pass


def test_run_starts_from_a_part_of_a_checkpoint_that_the_command_line_names(run, tmp_path):
    start = ['model.init_from.checkpoint=edm_digits', 'model.init_from.partial=True']
    start.append('model.denoiser.backbone.channel_mult=(1,2,2)')
    runner = run(options=start)
    report = runner.model.initial_load
    assert 0.3 < report.ratio < 1 and report.new
    log = ''.join(path.read_text() for path in tmp_path.rglob('*.log'))
    assert f'{report}.' in log and log.count('of the weights are loaded') == 1
    saved = read_checkpoint(tmp_path / 'iter_2.pth')
    assert "init_from=dict(checkpoint='edm_digits', partial=True)" in saved['meta']['cfg']
    assert run('--resume', options=[*start, 'train_cfg.max_iters=3']).iter == 3


def test_values_of_a_partial_start_are_checked_before_the_run(run, capsys):
    error = refusal(capsys, run, options=['model.init_from.checkpoint=edm_digits', 'model.init_from.partial=1'])
    assert 'model.init_from.partial has to be True or False, got 1' in error
    assert 'model.init_from has to be text, None or a dict' in refusal(capsys, run, options=['model.init_from=3'])
    error = refusal(capsys, run, options=['model.init_from.checkpoint=edm_digits', 'model.init_from.parts=True'])
    assert "got 'parts', nearest: partial" in error


def test_start_that_a_recipe_names_becomes_a_partial_one(tmp_path):
    config = read_config('ect_1xb32_digits-8x8', {'model.init_from.partial': True})
    assert config.model.init_from == dict(checkpoint='work_dirs/edm_1xb32_digits-8x8', partial=True)
    assert read_config('ect_1xb32_digits-8x8', {'model.init_from': 'x'}).model.init_from == 'x'
