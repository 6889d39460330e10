"""A run that is killed and resumed ends where an undisturbed one ends, bit for bit."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmcm.checkpoints.weights import read_checkpoint
from mmcm.registry import MODELS
from support.digits import randomise
from support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
TESTS = ROOT / 'tests'
ITERATIONS = 24
TINY = [
    'model.denoiser.backbone.base_channels=32',
    'model.denoiser.backbone.channel_mult=(1,1)',
    'model.denoiser.backbone.dropout=0.1',
    'train_dataloader.batch_size=16',
    f'train_cfg.max_iters={ITERATIONS}',
    'default_hooks.checkpoint.interval=4',
    'default_hooks.logger.interval=4',
    'default_hooks.sample_grid.interval=12',
    'default_hooks.sample_grid.rows=2',
    'default_hooks.sample_grid.columns=2',
    'default_hooks.trajectory.interval=12',
]


def command(work_dir, *arguments, method='ct'):
    return [
        sys.executable,
        str(ROOT / 'tools' / 'train.py'),
        f'configs/digits/{method}_1xb32_digits-8x8.py',
        '--work-dir',
        str(work_dir),
        '--cfg-options',
        *TINY,
        *arguments,
    ]


def run(work_dir, *arguments):
    return subprocess.run(command(work_dir, *arguments), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)


def final_state(work_dir):
    return read_checkpoint(work_dir / f'iter_{ITERATIONS}.pth')


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('undisturbed')
    result = run(work_dir)
    assert result.returncode == 0, result.stderr
    return work_dir


def assert_same_end(work_dir, undisturbed):
    ours, theirs = final_state(work_dir), final_state(undisturbed)
    assert ours['state_dict'].keys() == theirs['state_dict'].keys()
    for key, tensor in theirs['state_dict'].items():
        assert torch.equal(ours['state_dict'][key], tensor), key
    logs = [state['message_hub']['log_scalars']['train/loss']['log'] for state in (ours, theirs)]
    assert torch.equal(*logs) and len(logs[0]) == ITERATIONS  # the log goes on where it was
    moments = zip(ours['optimizer']['state'].values(), theirs['optimizer']['state'].values())
    for ours, theirs in moments:
        assert torch.equal(ours['exp_avg_sq'], theirs['exp_avg_sq'])


def run_and_kill(command, checkpoint):
    """Run `command`, a script of Python's, and kill it as soon as it has written `checkpoint`."""
    python, *script = command
    killed = subprocess.run(
        [python, TESTS / 'support' / 'kill_when.py', f'Path({str(checkpoint)!r}).exists()', *script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (checkpoint.parent / f'iter_{ITERATIONS}.pth').exists()


def test_killed_and_resumed_run_ends_with_the_same_weights(tmp_path, undisturbed):
    run_and_kill(command(tmp_path), tmp_path / 'iter_8.pth')
    result = run(tmp_path, '--resume')
    assert result.returncode == 0, result.stderr
    assert 'resumed epoch' in result.stdout.lower() + result.stderr.lower()
    assert_same_end(tmp_path, undisturbed)


# The other methods, each with a curriculum that changes between the checkpoint and the end.
METHODS = dict(
    edm=[
        'model.augmentation.type=EDMAugmentation',
        'model.augmentation.probability=0.5',
        'model.denoiser.backbone.augment_dim=9',
        'model.objective.levels.type=LossSecondMomentLevels',
        'model.objective.levels.num_levels=4',
        'model.objective.levels.history=2',
    ],
    cd=['model.teacher.checkpoint={teacher}'],
    pd=['model.teacher.checkpoint={teacher}', 'model.objective.curriculum.stage_length=5'],
    ict=[f'model.objective.curriculum.total_steps={ITERATIONS}'],
    ect=['model.init_from={teacher}', 'model.objective.curriculum.stage_length=5'],
    tcm=['model.init_from={teacher}', 'model.objective.curriculum.stage_length=5'],
    sct=['model.init_from={teacher}', 'model.objective.warmup_steps=20'],
    scd=['model.teacher.checkpoint={teacher}', 'model.objective.warmup_steps=20'],
    meanflow=['model.denoiser.backbone.null_class=True', 'model.label_dropout=0.2', 'model.objective.guidance=1.5'],
    imf=[
        'model.denoiser.guided=True',
        'model.denoiser.velocity_head=True',
        'model.denoiser.backbone.num_conditions=4',
        'model.denoiser.backbone.out_channels=2',
        'model.denoiser.backbone.null_class=True',
        'model.label_dropout=0.2',
    ],
    soflow=[f'model.objective.curriculum.total_steps={ITERATIONS}'],
    shortcut=['model.objective.num_levels=3'],
)


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    """Write random weights of the tiny network."""
    config = Config.fromfile(ROOT / 'configs' / 'digits' / 'edm_1xb32_digits-8x8.py')
    config.merge_from_dict(dict(model=dict(denoiser=dict(backbone=dict(base_channels=32, channel_mult=(1, 1))))))
    backbone = MODELS.build(config.model.denoiser.backbone)
    randomise(backbone)
    path = tmp_path_factory.mktemp('teacher') / 'edm.pth'
    torch.save(backbone.state_dict(), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize('method', METHODS)
def test_every_method_resumes_exactly(tmp_path, method, teacher):
    options = [option.format(teacher=teacher) for option in METHODS[method]]
    killed, whole = tmp_path / 'killed', tmp_path / 'whole'
    run_and_kill(command(killed, *options, method=method), killed / 'iter_8.pth')
    for arguments in (command(whole, *options, method=method), command(killed, *options, '--resume', method=method)):
        result = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
        assert result.returncode == 0, result.stderr
    assert_same_end(killed, whole)


def test_half_written_checkpoint_is_passed_over(tmp_path, undisturbed):
    """As if the process had died while the file was being written: MMEngine names it only afterwards."""
    short = run(tmp_path, 'train_cfg.max_iters=8', f'param_scheduler.end={ITERATIONS}')
    assert short.returncode == 0, short.stderr
    whole = (tmp_path / 'iter_8.pth').read_bytes()
    (tmp_path / 'iter_12.pth').write_bytes(whole[: len(whole) // 2])
    result = run(tmp_path, '--resume')
    assert result.returncode == 0, result.stderr
    assert_same_end(tmp_path, undisturbed)


def test_checkpoint_holds_plain_values_alone(undisturbed):
    """Whoever reads it needs no list of what to let through."""
    code = (
        'import sys, torch; checkpoint = torch.load(sys.argv[1], weights_only=True); '
        'print(len(checkpoint["message_hub"]["log_scalars"]["train/loss"]["log"]))'
    )
    path = undisturbed / f'iter_{ITERATIONS}.pth'
    result = subprocess.run([sys.executable, '-c', code, str(path)], capture_output=True, text=True)
    assert result.stdout.strip() == str(ITERATIONS), result.stderr


def test_training_writes_sheets_and_tensorboard(undisturbed):
    for folder in ('samples', 'trajectories'):
        assert (undisturbed / folder / 'iter_12.png').stat().st_size > 0
        assert (undisturbed / folder / f'iter_{ITERATIONS}.png').stat().st_size > 0
    assert list(undisturbed.rglob('events.out.tfevents.*'))
