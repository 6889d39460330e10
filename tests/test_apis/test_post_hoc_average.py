"""Post-hoc averages from the checkpoints of a run."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from safetensors import safe_open
from safetensors.torch import load_file

from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.apis.post_hoc_average import average_run
from mmcm.cli.main import main as mmcm
from mmcm.models.averages import update_ema
from mmcm.models.ema_decays import PowerFunctionDecay
from mmcm.utils.errors import InputError
from support.digits import build, model_config, objective_config

DECAYS = (dict(sigma_rel=0.05), dict(sigma_rel=0.1))
STEPS, EVERY = 64, 8
EXPECTED = 0.07  # sigma_rel of the average that is reconstructed


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A work directory whose weights move smoothly, and the average with `EXPECTED` that was kept beside."""
    folder = tmp_path_factory.mktemp('run')
    options = dict(objective=objective_config(), ema_decays=DECAYS)
    model, beside = build(**options), build(seed=0).denoiser
    config = Config(dict(model=model_config(**options)))
    start = [parameter.detach().clone() for parameter in model.denoiser.parameters()]
    for step in range(STEPS):
        model.begin_step(step)
        with torch.no_grad():
            for parameter, first in zip(model.denoiser.parameters(), start):
                parameter.copy_(first * (1 + (step + 1) / STEPS))
            update_ema(beside, model.denoiser, PowerFunctionDecay(EXPECTED).at(step, 1))
        model.update_averages()
        if (step + 1) % EVERY == 0:
            content = dict(meta=dict(iter=step + 1, cfg=config.pretty_text), state_dict=model.state_dict())
            torch.save(content, folder / f'iter_{step + 1}.pth')
    (folder / 'last_checkpoint').write_text(str(folder / f'iter_{STEPS}.pth'))
    return folder, beside.backbone.state_dict()


def test_average_is_near_the_one_that_was_kept(run, tmp_path):
    folder, kept = run
    made = average_run(folder, EXPECTED, tmp_path / 'x.safetensors')
    assert made.iteration == STEPS and made.num_averages > 2 and made.error < 0.05
    weights = load_file(tmp_path / 'x.safetensors')
    assert weights.keys() == kept.keys()
    for key, value in kept.items():
        # Weights grow from w to 2 w. 8 checkpoints of 64 steps are few: the paper's 1e-3 is for smooth profiles.
        assert float((weights[key] - value).abs().max()) <= 2e-3 * float(value.abs().max()), key


@pytest.mark.parametrize('sigma_rel, name', [(0.05, 'sigma_rel_0_05'), (0.1, 'sigma_rel_0_1')])
def test_average_of_the_run_comes_back_bit_for_bit(run, tmp_path, sigma_rel, name):
    folder, _ = run
    made = average_run(folder, sigma_rel, tmp_path / 'x.safetensors', iteration=24)
    assert (made.iteration, made.num_averages) == (24, 1)
    saved = torch.load(folder / 'iter_24.pth', weights_only=True)['state_dict']
    for key, value in load_file(tmp_path / 'x.safetensors').items():
        expected = saved[f'emas.{name}.backbone.{key}']
        assert float((value - expected).abs().max()) <= 1e-6 * float(expected.abs().max())


def test_command_writes_a_model_that_samples(run, tmp_path, capsys):
    out = tmp_path / 'model.safetensors'
    mmcm(['average', str(run[0]), '--sigma-rel', '0.08', '--out', str(out)])
    assert 'sigma_rel=0.08 at iteration 64' in capsys.readouterr().out
    with safe_open(out, framework='pt') as file:
        metadata = file.metadata()
    assert (metadata['average'], metadata['iteration']) == ('sigma_rel=0.08', '64')
    assert len(ConsistencyModelInferencer(out)(labels=[3]).images) == 1


def test_far_average_is_warned_of(run, tmp_path, capsys):
    mmcm(['average', str(run[0]), '--sigma-rel', '0.01', '--out', str(tmp_path / 'x.safetensors')])
    assert 'warning: the profile is off by' in capsys.readouterr().err


def test_average_is_chosen_by_its_setting(run):
    images = [
        ConsistencyModelInferencer(run[0], average=average)(labels=[3], output_type='np').images[0]
        for average in ('sigma_rel=0.05', 'sigma_rel=0.1', None)
    ]
    assert (images[0] == images[2]).all() and (images[0] != images[1]).any()
    with pytest.raises(InputError, match=r'it has online, sigma_rel=0.05, sigma_rel=0.1'):
        ConsistencyModelInferencer(run[0], average='0.999')(labels=[3])


def test_run_without_power_functions_is_refused(tmp_path):
    with pytest.raises(InputError, match='holds no checkpoints of a run'):
        average_run(tmp_path, 0.05, tmp_path / 'x.safetensors')
    model = build(objective=objective_config(), ema_decays=(0.999,))
    torch.save(dict(meta=dict(iter=8), state_dict=model.state_dict()), tmp_path / 'iter_8.pth')
    with pytest.raises(InputError, match='no checkpoint in .* has a power-function average: train with two'):
        average_run(tmp_path, 0.05, tmp_path / 'x.safetensors')


@pytest.mark.parametrize(
    'options', [dict(sigma_rel=0.5), dict(iteration=4), dict(iteration=65), dict(iteration=0), dict(out=Path('x.pt'))]
)
def test_average_that_cannot_be_is_refused_before_anything_is_written(run, tmp_path, options):
    out = tmp_path / 'x.safetensors'
    with pytest.raises(InputError):
        average_run(run[0], **{**dict(sigma_rel=0.05, out=out), **options})
    assert not out.exists()
