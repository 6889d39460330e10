import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmcm.cli.main import main as mmcm
from mmcm.cli.model_arguments import labels_of
from mmcm.cli.sample import device_of, main
from mmcm.zoo import list_configs, list_models
from support.digits import BACKBONE, build, model_config, write_config

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tiny(tmp_path):
    """The arguments that name a tiny model."""
    torch.save(build().denoiser.backbone.state_dict(), tmp_path / 'tiny.pt')
    return ['--model', str(write_config(tmp_path)), '--checkpoint', str(tmp_path / 'tiny.pt'), '--device', 'cpu']


def refusal(capsys, *argv):
    """Run the command on bad input, and return the line that it ends with."""
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in argv])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ') and error.count('\n') == 1 and 'Traceback' not in error
    return error


def test_2000_balanced_digits(tmp_path, capsys):
    out = tmp_path / 'x.npz'
    mmcm(['sample', '--model', 'digits', '-n', '2000', '--labels', 'balanced', '--seed', '0', '--out', str(out)])
    with np.load(out) as file:
        assert file['arr_0'].shape == (2000, 8, 8, 1) and file['arr_0'].dtype == np.uint8
        assert np.bincount(file['arr_1']).tolist() == [200] * 10
    assert 'Wrote 2000 images of digits, sampled in' in capsys.readouterr().out


def test_one_image_per_label_where_nobody_says_how_many(tiny, tmp_path):
    for words, labels in ((['3', '1', '4'], [3, 1, 4]), (['balanced'], [0])):
        main([*tiny, '--labels', *words, '--out', str(tmp_path / f'{words[0]}.npz')])
        with np.load(tmp_path / f'{words[0]}.npz') as file:
            assert file['arr_1'].tolist() == labels


def test_several_outputs_and_a_second_run(tiny, tmp_path, capsys):
    outs = [str(tmp_path / name) for name in ('x.npz', 'x.zip', 'x.png', 'x')]
    argv = [*tiny, '-n', '6', '--out', *outs[:2], '--out', *outs[2:], '--columns', '3']
    main(argv)
    assert all(map(os.path.exists, outs))
    assert cv2.imread(outs[2]).shape[1] == 4 + 3 * 84
    main(argv)
    first, second = capsys.readouterr().out.splitlines()
    assert all(out in first for out in outs) and second.startswith('Nothing to do')


@pytest.mark.parametrize('argv, calls', [
    ([], 2),
    (['--steps', '1'], 1),
    (['--steps', '3'], 3),
    (['--timesteps', '12', '5', '0'], 3),
    (['--sigmas', '80', '5', '3', '1'], 4),
    (['--sampler', 'type=HeunSampler', 'num_steps=3'], 5),
    (['--sampler', 'type=HeunSampler', '--steps', '4'], 7),
    (['--sampler', 'type=MultistepSampler', '--sigmas', '80', '5', '3', '1'], 4),
    (['--sampler', 'type=MultistepSampler', 'num_scales=18', '--steps', '3'], 3),
    (['--sampler', 'sigmas=[80.0,2.0,1.0]'], 3),
])  # yapf: disable
def test_steps_are_chosen_in_four_ways(tiny, tmp_path, capsys, argv, calls):
    main([*tiny, *argv, '--out', str(tmp_path / 'x.npz')])
    assert f' {calls} network evaluation{"s" * (calls > 1)} per image' in capsys.readouterr().out


@pytest.mark.parametrize('argv, expected', [
    (['-n', '0'], 'num_images'),
    (['-n', 'ten'], "invalid int value: 'ten'"),
    (['--labels', '10'], '0 to 9'),
    (['--labels', 'three'], "'three'"),
    (['--labels', 'balanced', '3'], "'balanced'"),
    (['--steps', '2', '--timesteps', '5', '0'], 'not allowed with'),
    (['--steps', '0'], 'num_steps'),
    (['--timesteps', '0', '5'], 'descend'),
    (['--sigmas', '1', '80'], 'decrease'),
    (['--sampler', 'type=HenSampler'], 'HenSampler'),
    (['--sampler', 'steps'], 'KEY=VALUE'),
    (['--sampler', 'type=HeunSampler', '--sigmas', '80'], 'HeunSampler has no use for sigmas'),
    (['--sampler', 'type=HeunSampler', 'num_steps=3', '--steps', '2'], '--steps and --sampler num_steps=3 both'),
    (['--sampler', 'indices=[0,5]', '--sigmas', '80', '2'], '--sigmas and --sampler indices=[0, 5] both'),
    (['--sampler', 'sigmas=[80.0,2.0]', '--timesteps', '0'], '--timesteps and --sampler sigmas=[80.0, 2.0] both'),
    (['--batch-size', '0'], 'batch_size'),
    (['--columns', '3'], 'columns'),
    (['--seed', '9' * 30], 'seed'),
    (['--ema', '0.9'], "'0.9'"),
    (['--device', 'gpu'], 'gpu'),
    (['--launcher', 'slurm'], 'SLURM_PROCID'),
    (['--bogus'], 'unrecognized arguments'),
])  # yapf: disable
def test_bad_input(capsys, tiny, tmp_path, argv, expected):
    assert expected in refusal(capsys, *tiny, '--out', tmp_path / 'x.npz', *argv)
    assert not (tmp_path / 'x.npz').exists()


def test_bad_outputs(capsys, tiny, tmp_path):
    (tmp_path / 'file').write_text('in the way')
    assert 'suffix' in refusal(capsys, *tiny, '--out', tmp_path / 'x.xyz')
    assert str(tmp_path / 'file') in refusal(capsys, *tiny, '--out', tmp_path / 'file' / 'x.npz')
    for out in ('.', '..', '/'):
        assert 'name a new folder' in refusal(capsys, *tiny, '--out', out)
    assert '--out' in refusal(capsys, *tiny)
    assert '--model' in refusal(capsys, '--out', tmp_path / 'x.npz')


def test_output_in_the_home_folder(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    main([*tiny, '--out', '~/x.npz'])
    assert (tmp_path / 'x.npz').exists()


def test_label_for_an_unconditional_model(capsys, tmp_path):
    denoiser = dict(type='KarrasDenoiser', backbone=dict(BACKBONE, num_classes=None))
    config = write_config(tmp_path, model=model_config(denoiser=denoiser))
    assert 'unconditional' in refusal(
        capsys, '--model', config, '--checkpoint', 'digits', '--labels', '0', '--out', tmp_path / 'x.npz'
    )


def test_words_become_labels():
    assert labels_of(None) is None
    assert labels_of(['balanced']) == 'balanced' and labels_of(['random']) == 'random'
    assert labels_of(['145']) == '145' and labels_of(['145', 'king penguin']) == ['145', 'king penguin']


def test_gpus_are_dealt_out_to_the_processes_of_a_machine(monkeypatch):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 4)
    assert [device_of(None, rank) for rank in (0, 3, 4)] == ['cuda:0', 'cuda:3', 'cuda:0']
    assert device_of('cuda', 2) == 'cuda:2' and device_of('cuda:1', 2) == 'cuda:1' and device_of('cpu', 2) == 'cpu'
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 0)
    assert device_of(None, 3) is None


def test_interrupted_run_says_how_it_goes_on(capsys, tiny, tmp_path, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr('mmcm.models.consistency_model.ConsistencyModel.generate', interrupted)
    with pytest.raises(SystemExit, match='130'):
        main([str(argument) for argument in (*tiny, '--out', tmp_path / 'x.npz')])
    assert 'same command goes on' in capsys.readouterr().err


def test_help_does_not_load_torch():
    code = 'import sys\nfrom mmcm.cli.sample import main\ntry: main(["--help"])\nfinally: print("torch" in sys.modules)'
    process = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert process.stdout.splitlines()[-1] == 'False', process.stderr
    assert '--labels "king penguin"' in process.stdout


def test_examples_of_the_help_and_the_documentation_name_models_of_the_zoo(capsys):
    with pytest.raises(SystemExit):
        main(['--help'])
    text = capsys.readouterr().out + (ROOT / 'docs' / 'sampling.md').read_text()
    named = re.findall(r'--model ([a-z][\w-]+)', text)
    known = {model.name for model in list_models()} | {path.stem for path in list_configs()}
    assert len(named) >= 8 and set(named) <= known


def test_guidance_on_the_command_line(tmp_path, tiny, capsys):
    denoiser = dict(type='KarrasDenoiser', backbone=dict(BACKBONE, null_class=True))
    torch.save(build(denoiser=denoiser).denoiser.backbone.state_dict(), tmp_path / 'null.pt')
    (tmp_path / 'null.py').write_text(f'model = {model_config(denoiser=denoiser)!r}\n')
    model = ['--model', str(tmp_path / 'null.py'), '--checkpoint', str(tmp_path / 'null.pt'), '--device', 'cpu']
    out = tmp_path / 'x.npz'
    main([*model, '--labels', '3', '--guidance', '2', '--guidance-interval', '0', '50', '--out', str(out)])
    assert '3 network evaluations per image' in capsys.readouterr().out
    assert 'null_class=True' in refusal(capsys, *tiny, '--labels', 3, '--guidance', 2, '--out', tmp_path / 'y.npz')
