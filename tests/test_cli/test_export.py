import subprocess
import sys

import pytest
import torch

from mmcm.apis.export import FORMATS, SamplingGraph
from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.cli.export import main
from support.digits import build, write_config


@pytest.fixture
def tiny(tmp_path):
    """Arguments that name a config and a checkpoint that goes with it."""
    torch.save(build().denoiser.backbone.state_dict(), tmp_path / 'tiny.pt')
    return ['--model', str(write_config(tmp_path)), '--checkpoint', str(tmp_path / 'tiny.pt')]


def refusal(capsys, *argv):
    """Run the command on bad input, and return the line that it ends with."""
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in argv], prog='mmcm export')
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ') and error.count('\n') == 1 and 'Traceback' not in error
    return error


def test_writes_a_file_and_says_what_it_takes(tiny, tmp_path, capsys):
    pytest.importorskip('onnxruntime')
    out = tmp_path / 'new' / 'tiny.onnx'
    main([*tiny, '--steps', '2', '--out', str(out)])
    printed = capsys.readouterr().out
    assert 'noise (N, 2, 1, 8, 8) float32, labels (N,) int64 from 0 to 9 -> images (N, 1, 8, 8)' in printed
    assert '2 network evaluations' in printed and float(printed.split()[-1]) <= 1e-4
    inferencer = ConsistencyModelInferencer(tiny[1], tiny[3], 'cpu').load()
    inputs = SamplingGraph(inferencer.model, inferencer.choose_sampler(2)).inputs(4)
    expected = inferencer.model.sample(4, inputs[1], sampler=inferencer.choose_sampler(2))
    assert (FORMATS['.onnx'].run(out, inputs) - expected).abs().max() <= 1e-4
    assert [path.name for path in out.parent.iterdir()] == ['tiny.onnx']


@pytest.mark.parametrize(
    'levels, calls',
    [
        ([], 2),
        (['--timesteps', '9', '4', '0'], 3),
        (['--sigmas', '80'], 1),
        (['--sampler', 'indices=0,2,7,9'], 4),
        (['--sampler', 'type=HeunSampler', '--steps', '2'], 3),
    ],
    ids=str,
)
def test_steps_are_chosen_as_in_sampling(tiny, tmp_path, capsys, levels, calls):
    main([*tiny, *levels, '--out', str(tmp_path / 'tiny.pt2')])
    assert f' {calls} network evaluation' in capsys.readouterr().out


@pytest.mark.parametrize(
    'name, wanted',
    [
        ('tiny', 'has to end in .onnx or .pt2'),
        ('tiny.ts', 'has to end in .onnx or .pt2'),
        ('folder.pt2', 'is a folder: name a file'),
        ('file/tiny.pt2', 'cannot be made a folder'),
    ],
)
def test_bad_places_are_refused_before_the_weights_are_read(tiny, tmp_path, capsys, name, wanted):
    (tmp_path / 'folder.pt2').mkdir()
    (tmp_path / 'file').touch()
    (tmp_path / 'tiny.pt').write_bytes(b'no checkpoint')
    assert wanted in refusal(capsys, *tiny, '--out', tmp_path / name)
    assert 'tiny.pt' in refusal(capsys, *tiny, '--out', tmp_path / 'good.pt2')  # only now


def test_missing_packages_are_named_with_the_way_to_get_them(tiny, tmp_path, capsys, monkeypatch):
    for name in ('onnx', 'onnxscript', 'onnxruntime'):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    error = refusal(capsys, *tiny, '--out', tmp_path / 'tiny.onnx')
    assert error.endswith('missing: pip install onnx onnxscript onnxruntime\n')


@pytest.mark.parametrize(
    'arguments, wanted',
    [
        (['--steps', '0'], 'num_steps has to be an integer of at least 1'),
        (['--steps', '2', '--sigmas', '80'], 'not allowed with'),
        (['--timesteps', '0', '9'], 'descend'),
        (['--sigmas', '1.5', '80'], 'sigmas must strictly decrease'),
        (['--sampler', 'type=Heun'], 'Heun'),
    ],
)
def test_bad_steps_are_refused(tiny, tmp_path, capsys, arguments, wanted):
    assert wanted in refusal(capsys, *tiny, *arguments, '--out', tmp_path / 'tiny.pt2')
    assert not (tmp_path / 'tiny.pt2').exists()


def test_nothing_but_the_model_and_the_file_is_needed(capsys):
    assert '--model' in refusal(capsys, '--out', 'x.onnx')
    assert '--out' in refusal(capsys, '--model', 'digits')


def test_help_shows_examples_without_loading_torch():
    code = (
        'import sys, mmcm.cli.export\n'
        'try: mmcm.cli.export.main(["--help"], prog="mmcm export")\n'
        'except SystemExit: print("torch" in sys.modules)'
    )
    process = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert '  mmcm export --model digits --out digits.onnx\n' in process.stdout, process.stderr
    assert process.stdout.splitlines()[-1] == 'False'
