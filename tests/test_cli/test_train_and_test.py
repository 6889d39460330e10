import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import cv2
import pytest
import torch
from safetensors import safe_open

from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.checkpoints.weights import read_backbone, read_checkpoint
from mmcm.cli import publish
from mmcm.cli.config import runner_config
from mmcm.cli.test import main as measure
from mmcm.cli.train import main as train
from mmcm.utils.errors import InputError
from support.image_folders import write_transparent_folder
from support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
QUICK = [
    'model.denoiser.backbone.channel_mult=(1,1)',
    'train_dataloader.batch_size=16',
    'train_cfg.max_iters=4',
    'default_hooks.checkpoint.interval=4',
    'default_hooks.sample_grid.rows=2',
    'default_hooks.sample_grid.columns=2',
]
DRAW = [
    'model.denoiser.backbone.channel_mult=(1,1)',
    'test_dataloader.dataset.num_samples=70',
    'test_dataloader.batch_size=32',
    'test_evaluator.reference.split=test',
]


def run(script, *arguments):
    result = subprocess.run(
        [sys.executable, ROOT / 'tools' / script, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    """A work directory with a diffusion model, hardly trained."""
    work_dir = tmp_path_factory.mktemp('edm')
    run('train.py', 'configs/digits/edm_1xb32_digits-8x8.py', '--work-dir', work_dir, '--cfg-options', *QUICK)
    return work_dir


def test_trained_diffusion_model_is_measured(teacher, tmp_path):
    printed = run(
        'test.py',
        'configs/digits/edm_1xb32_digits-8x8.py',
        teacher,
        '--work-dir',
        tmp_path,
        '--out',
        tmp_path / 'metrics.json',
        '--cfg-options',
        *DRAW,
        'model.sampler.num_steps=2',
    )
    metrics = json.loads((tmp_path / 'metrics.json').read_text())['scores'][0]['metrics']
    assert metrics['frechet/distance'] > 1 and 0 <= metrics['label/accuracy'] <= 1
    assert f'{metrics["frechet/distance"]:.4f}' in printed.splitlines()[-1]


@pytest.mark.parametrize('distance', ['PseudoHuber', 'L2'])
def test_distillation_starts_from_a_work_directory(teacher, tmp_path, distance):
    options = [f'model.teacher.checkpoint={teacher}', f'model.objective.distance.type={distance}']
    if distance == 'L2':
        config = tmp_path / 'cd_l2_1xb32_digits-8x8.py'
        config.write_text(
            f"_base_ = '{ROOT}/configs/digits/cd_1xb32_digits-8x8.py'\n"
            "model = dict(objective=dict(distance=dict(_delete_=True, type='L2')))\n"
        )
    else:
        config = 'configs/digits/cd_1xb32_digits-8x8.py'
    run('train.py', config, '--work-dir', tmp_path, '--cfg-options', *QUICK, *options)
    state = read_checkpoint(tmp_path / 'iter_4.pth')['state_dict']
    assert {key.split('.')[0] for key in state} == {'denoiser', 'target', 'teacher', 'emas'}
    taught = read_backbone(teacher / 'iter_4.pth')
    key = 'input_blocks.0.0.weight'
    assert torch.equal(state[f'teacher.backbone.{key}'], taught[key])
    assert not torch.equal(state[f'denoiser.backbone.{key}'], taught[key])


@pytest.mark.parametrize('flag', ['--amp', '--auto-scale-lr'])
def test_flags_take_effect(flag, tmp_path):
    run('train.py', 'configs/digits/ct_1xb32_digits-8x8.py', '--work-dir', tmp_path, flag, '--cfg-options', *QUICK)
    log = next(tmp_path.rglob('*.log')).read_text()
    if flag == '--amp':
        assert 'AutocastOptimWrapper' in log or 'AmpOptimWrapper' in log
    else:
        assert 'Scaling the original LR by 0.5' in log  # 16 images instead of 32


def test_published_file_holds_the_average_and_where_it_comes_from(teacher, tmp_path):
    out = tmp_path / 'edm.safetensors'
    publish.main([str(teacher), str(out), '--dtype', 'float16'])
    expected = read_backbone(teacher / 'iter_4.pth', '0.999')
    published = read_backbone(out)
    assert all(torch.equal(published[key], value.half()) for key, value in expected.items())
    with safe_open(out, framework='pt') as file:
        assert file.metadata()['iteration'] == '4' and 'ConsistencyModel' in file.metadata()['config']


def refusal(capsys, main, *argv):
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in argv])
    error = capsys.readouterr().err.splitlines()[-1]
    assert exit_.value.code == 2 and error.startswith('error: ')
    return error


# Runners of the same second in one process share MMEngine's name for them.
@pytest.mark.filterwarnings('ignore:.*has been created')
def test_bad_input_is_told_before_any_work(capsys, tmp_path, teacher):
    digits = 'configs/digits/ct_1xb32_digits-8x8.py'
    assert 'nowhere.py' in refusal(capsys, train, 'nowhere.py')
    assert 'nowhere' in refusal(capsys, measure, digits, 'nowhere', '--work-dir', tmp_path)
    assert 'test_dataloader' in refusal(
        capsys, measure, 'classifier_1xb128_digits-8x8', teacher, '--work-dir', tmp_path
    )
    wide = ['--cfg-options', 'model.denoiser.backbone.base_channels=64']
    error = refusal(capsys, measure, digits, teacher, '--work-dir', tmp_path, *wide)
    assert 'shapes differ' in error
    error = refusal(capsys, measure, digits, teacher, '--work-dir', tmp_path, '--ema', '0.5', *wide[:1], *DRAW)
    assert "'0.5'" in error and '0.999' in error
    error = refusal(capsys, measure, digits, teacher, '--work-dir', tmp_path, '--ema', 'abc', *wide[:1], *DRAW)
    assert "'abc'" in error
    (tmp_path / 'file').write_text('')
    error = refusal(capsys, measure, digits, teacher, '--out', tmp_path / 'file' / 'metrics.json')
    assert str(tmp_path / 'file') in error


@pytest.mark.filterwarnings('ignore:.*has been created')
@pytest.mark.parametrize('arguments, expected', [
    (['--work-dir', '{}/file/sub'], 'file'),
    (['--cfg-options', 'novalue'], 'KEY=VALUE'),
    (['--cfg-options', 'model.bad=1'], 'bad'),
    (['--cfg-options', 'model.type=Foo'], 'Foo'),
    (['--cfg-options', 'model.denoiser.type=Foo'], 'Foo'),
    (['--cfg-options', 'model.ema_decays=0.99'], 'ema_decays'),
    (['--cfg-options', 'optim_wrapper.optimizer.type=RAdan'], 'config cannot be built'),
    (['--launcher', 'pytorch'], 'torchrun'),
])  # yapf: disable
def test_config_that_cannot_be_trained_is_refused(capsys, tmp_path, arguments, expected):
    (tmp_path / 'file').write_text('')
    arguments = [argument.format(tmp_path) for argument in arguments]
    if '--work-dir' not in arguments:
        arguments += ['--work-dir', str(tmp_path / 'work')]
    assert expected in refusal(capsys, train, 'configs/digits/ct_1xb32_digits-8x8.py', *arguments)


def test_config_without_a_model_is_refused(capsys, tmp_path):
    (tmp_path / 'empty.py').write_text('x = 1\n')
    assert 'no model' in refusal(capsys, train, tmp_path / 'empty.py')


def test_testing_writes_beside_the_record_of_the_training():
    config = 'configs/digits/ct_1xb32_digits-8x8.py'
    arguments = Namespace(config=config, cfg_options=None, launcher='none', work_dir='')
    folders = [Path(runner_config(arguments, folder).work_dir) for folder in ('', 'test')]
    assert folders[1] == folders[0] / 'test'


def test_names_of_classes_go_from_the_folder_to_the_published_model(tmp_path, capsys):
    folder, work_dir = write_transparent_folder(tmp_path / 'images'), tmp_path / 'run'
    config = tmp_path / 'own.py'
    config.write_text(
        f"_base_ = '{ROOT}/configs/digits/edm_1xb32_digits-8x8.py'\n"
        f"train_dataloader = dict(batch_size=4, dataset=dict(_delete_=True, type='ImageFolder', data_root='{folder}', "
        "pipeline=[dict(type='LoadImage'), dict(type='PackImage')]))\n"
        'model = dict(denoiser=dict(backbone=dict(num_classes=2, in_channels=3, out_channels=3, channel_mult=(1, ))), '
        'sampler=dict(num_steps=2))\n'
        'train_cfg = dict(max_iters=1)\n'
    )
    train([str(config), '--work-dir', str(work_dir)])
    published = tmp_path / 'model.safetensors'
    publish.main([str(work_dir), str(published)])
    for model in (work_dir, published):
        draw = ConsistencyModelInferencer(str(model))
        drawing = draw(labels=['dog', 'Cat', 1])
        assert drawing.labels == [1, 0, 1] and drawing.names == ['dog', 'cat', 'dog']
        with pytest.raises(InputError, match="no class is called 'cow'"):
            draw(labels='cow')
    sheet = cv2.imread(str(work_dir / 'samples' / 'iter_1.png'))
    assert sheet.shape[:2] == (16 + 4 + 2 * (64 + 16 + 4), 4 + 10 * 68)  # a title, two rows of ten captioned images


def test_recipe_of_pmf_trains_and_samples_without_its_velocity_head(tmp_path):
    """The head is saved with the training, and is no part of the model that samples, nor of a published file."""
    options = ['train_dataloader.batch_size=8', 'train_cfg.max_iters=2', 'default_hooks.checkpoint.interval=2']
    train(['pmf_1xb32_digits-8x8', '--work-dir', str(tmp_path), '--cfg-options', *options, 'val_cfg=None'])
    weights = read_checkpoint(tmp_path / 'iter_2.pth')['state_dict']
    assert any(key.startswith('emas.0_999.backbone.v_heads.') for key in weights)
    inferencer = ConsistencyModelInferencer(str(tmp_path), device='cpu')
    assert len(inferencer(2, labels=[3, 7]).images) == 2
    assert not any('v_heads' in key for key in inferencer.model.state_dict())
    publish.main([str(tmp_path), str(tmp_path / 'pmf.safetensors')])
    with safe_open(tmp_path / 'pmf.safetensors', 'pt') as file:
        assert not any(key.startswith('v_') for key in file.keys())  # noqa: SIM118 (no mapping)
