import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import mmcm
from mmcm.apis.sampling.image_archives import read_origin
from mmcm.checkpoints import resolve_checkpoint
from mmcm.cli.test import main as measure
from support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / 'configs/digits/cd_1xb32_digits-8x8.py')
KEYS = ['frechet/distance', 'label/accuracy', 'manifold/precision', 'manifold/recall']
# Runners of the same second in one process share MMEngine's name for them.
pytestmark = pytest.mark.filterwarnings('ignore:.*has been created')


def test_command(tmp_path, *arguments):
    """Run the command, and return what it wrote to --out."""
    out = tmp_path / 'scores.json'
    measure([CONFIG, *map(str, arguments), '--work-dir', str(tmp_path / 'work'), '--out', str(out), '--force'])
    return json.loads(out.read_text())


test_command.__test__ = False


def table(printed):
    """Return the table that was printed last, a dict for each row."""
    lines = [line.split() for line in printed.splitlines()]
    start = max(index for index, line in enumerate(lines) if line[:1] in (['sampler'], ['samplers'], ['samples']))
    return [dict(zip(lines[start], line)) for line in lines[start + 1 :]]


def test_shipped_model_has_its_published_scores(tmp_path, capsys):
    """Those of the metafile, drawn and measured in full."""
    written = test_command(tmp_path, 'digits')
    (score,) = written['scores']
    assert score['metrics']['frechet/distance'] == pytest.approx(0.04043, abs=5e-5)
    assert score['metrics']['label/accuracy'] == 0.994
    (row,) = table(capsys.readouterr().out)
    assert row == {
        'sampler': 'config',
        'NFE': '1',
        'images': '2000',
        'seconds': row['seconds'],
        'images/s': row['images/s'],
        **{key: f'{score["metrics"][key]:.4f}' for key in KEYS},
    }


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """A training checkpoint: the shipped weights as the trained ones, and an average that draws something else."""
    weights = load_file(resolve_checkpoint('digits'))
    average = {key: value * (0.5 if key.startswith('out.') else 1) for key, value in weights.items()}
    path = tmp_path_factory.mktemp('run') / 'iter_1.pth'
    torch.save(
        dict(
            state_dict={
                **{f'denoiser.backbone.{key}': value.float() for key, value in weights.items()},
                **{f'emas.0_999.backbone.{key}': value.float() for key, value in average.items()},
            }
        ),
        path,
    )
    return path


def test_every_sampler_is_measured_with_every_average(tmp_path, capsys, checkpoint):
    written = test_command(
        tmp_path,
        checkpoint,
        '--samplers',
        'twostep,onestep',
        '--emas',
        '0.999,online',
        '-n',
        60,
        '--seed',
        3,
        '--out-dir',
        tmp_path / 'drawn',
    )
    scores = {(score['sampler'], score['ema']): score for score in written['scores']}
    assert list(scores) == [('twostep', '0.999'), ('onestep', '0.999'), ('twostep', 'online'), ('onestep', 'online')]
    assert [row['NFE'] for row in table(capsys.readouterr().out)] == ['2', '1', '2', '1']
    values = [score['metrics']['frechet/distance'] for score in scores.values()]
    assert len(set(values)) == 4
    # Each is what a run of its own measures, with the settings of the config in place of the short ones.
    alone = test_command(
        tmp_path,
        'digits',
        '--samplers',
        'twostep',
        '--cfg-options',
        'test_dataloader.dataset.num_samples=60',
        'test_dataloader.dataset.seed=3',
    )
    assert alone['scores'][0]['metrics'] == scores['twostep', 'online']['metrics']
    assert alone['scores'][0]['weights'] == scores['twostep', 'online']['weights']
    assert alone['scores'][0]['weights'] != scores['twostep', '0.999']['weights']
    for (name, ema), score in scores.items():
        kept = np.load(tmp_path / 'drawn' / f'{name}_{ema}.npz')
        assert kept['arr_0'].shape == (60, 8, 8, 1) and kept['arr_0'].dtype == np.uint8
        assert kept['arr_1'].tolist() == [index % 10 for index in range(60)]
        given = test_command(tmp_path, '--samples', tmp_path / 'drawn' / f'{name}_{ema}.npz')
        assert given['scores'][0]['metrics'] == pytest.approx(score['metrics'], rel=1e-9)
    assert len(list((tmp_path / 'drawn').iterdir())) == 4  # nothing else is left


def test_guidance_is_measured_and_recorded(tmp_path, capsys):
    weights = load_file(resolve_checkpoint('digits'))
    torch.manual_seed(0)
    rows = weights['label_emb.weight']
    weights['label_emb.weight'] = torch.cat((rows, torch.randn(1, rows.shape[1]).to(rows)))
    torch.save(weights, tmp_path / 'null.pt')
    given = (tmp_path / 'null.pt', '-n', 60, '--samplers', 'twostep', '--out-dir', tmp_path / 'drawn')
    null_class = ('--cfg-options', 'model.denoiser.backbone.null_class=True')
    found = []
    for options in ([], ['--guidance', 1], ['--guidance', 2], ['--guidance', 2, '--guidance-interval', 0, 50]):
        (score,) = test_command(tmp_path, *given, *options, *null_class)['scores']
        found.append((score['metrics'], score['network_calls'], read_origin(tmp_path / 'drawn/twostep.npz')))
    plain, one, guided, partly = found
    assert plain[:2] == one[:2] and plain[2] == one[2] and 'guidance' not in plain[2]
    assert [calls for _, calls, _ in found] == [2, 2, 4, 3] and guided[0] != plain[0] != partly[0]
    assert guided[2]['guidance'] == dict(scale=2.0, interval=None)
    assert partly[2]['guidance'] == dict(scale=2.0, interval=[0.0, 50.0])
    assert 'null_class=True' in refusal(capsys, CONFIG, 'digits', '--guidance', '2', '--work-dir', tmp_path)


def test_average_that_draws_is_named(tmp_path, checkpoint):
    (score,) = test_command(tmp_path, checkpoint, '-n', 60)['scores']
    assert score['ema'] == '0.999'


def test_file_says_what_the_scores_depend_on(tmp_path):
    written = test_command(tmp_path, '--samplers', 'config,onestep,twostep', '-n', 60, '--seed', 1)
    assert written['format'] == 1 and written['checkpoint'] == 'digits' and written['processes'] == 1
    assert written['requests'] == dict(
        type='SamplingRequests', num_samples=60, num_classes=10, labels='balanced', seed=1
    )
    assert written['versions']['mmcm'] == mmcm.__version__ and written['versions']['torch'] == torch.__version__
    assert [metric['type'] for metric in written['evaluator']['metrics']][:1] == ['FrechetDistance']
    assert {len(text) for text in written['fingerprints']['frechet'].values()} == {64}
    own, first, two = written['scores']
    assert own['sampler_config'] == dict(type='MultistepSampler', indices=[0], num_scales=18)
    assert two['sampler_config'] == dict(type='MultistepSampler', sigmas=[80.0, 0.8])
    assert [score['network_calls'] for score in written['scores']] == [1, 1, 2]
    assert own['metrics'] == first['metrics'] != two['metrics']
    assert set(two) == {
        'sampler',
        'sampler_config',
        'network_calls',
        'ema',
        'weights',
        'fingerprint',
        'num_samples',
        'seconds',
        'metrics',
    }


def test_first_level_of_a_multistep_config_is_a_sampler(tmp_path):
    own = ['--cfg-options', 'model.sampler.indices=(0,8)']
    config, first = test_command(tmp_path, '--samplers', 'config,onestep', '-n', 30, *own)['scores']
    assert config['network_calls'] == 2
    config = tmp_path / 'multistep.py'
    config.write_text(
        f'_base_ = {CONFIG!r}\nmodel = dict(sampler=dict(indices=(0, 8)))\nsamplers = dict(_delete_=True)\n'
    )
    measure(
        [
            str(config),
            '--samplers',
            'config,onestep',
            '-n',
            '30',
            '--work-dir',
            str(tmp_path / 'work'),
            '--out',
            str(tmp_path / 'first.json'),
        ]
    )
    scores = json.loads((tmp_path / 'first.json').read_text())['scores']
    assert [score['network_calls'] for score in scores] == [2, 1]
    assert scores[1]['metrics'] == first['metrics']


def foreign_npz(path, number=5000):
    """Write digits as another program might, with numpy alone: noisy copies of the real ones."""
    digits = np.load(Path(mmcm.__file__).parent / 'datasets/data/digits.npz')
    random = np.random.default_rng(0)
    rows = random.integers(len(digits['images']), size=number)
    levels = digits['images'][rows] / 16 * 255 + random.normal(0, 4, (number, 8, 8))
    images = levels.clip(0, 255).round().astype(np.uint8)[..., None]
    np.savez(path, images, digits['labels'][rows].astype(np.int64))
    return images, digits['labels'][rows]


def test_samples_of_another_program_are_measured(tmp_path, capsys):
    images, _ = foreign_npz(tmp_path / 'theirs.npz')
    np.savez_compressed(tmp_path / 'bare.npz', images[:1000])
    written = test_command(tmp_path, '--samples', tmp_path / 'theirs.npz', tmp_path / 'bare.npz')
    printed = capsys.readouterr().out
    theirs, bare = written['scores']
    assert theirs['num_samples'] == 5000 and bare['num_samples'] == 1000 and written['checkpoint'] is None
    assert theirs['metrics']['frechet/distance'] < 0.1 and theirs['metrics']['label/accuracy'] > 0.98
    assert theirs['metrics']['manifold/recall'] > 0.9
    assert list(bare['metrics']) == ['frechet/distance', 'manifold/precision', 'manifold/recall']
    assert 'bare.npz has no labels: label accuracy is left out' in printed
    assert table(printed)[1]['label/accuracy'] == '-'
    assert theirs['fingerprint'] != bare['fingerprint']


def test_pictures_in_a_folder_count_as_the_same_images(tmp_path):
    images, labels = foreign_npz(tmp_path / 'theirs.npz', 100)
    folder = tmp_path / 'pictures'
    folder.mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(folder / f'img{index:03d}.png')
    unlabelled = test_command(tmp_path, '--samples', folder)['scores'][0]
    pairs = [[f'img{index:03d}.png', int(label)] for index, label in enumerate(labels)]
    (folder / 'dataset.json').write_text(json.dumps(dict(labels=pairs)))
    labelled, packed = test_command(tmp_path, '--samples', folder, tmp_path / 'theirs.npz')['scores']
    assert labelled['metrics'] == pytest.approx(packed['metrics'], rel=1e-9)
    assert 'label/accuracy' not in unlabelled['metrics']
    assert unlabelled['metrics']['frechet/distance'] == labelled['metrics']['frechet/distance']


def refusal(capsys, *argv):
    with pytest.raises(SystemExit) as exit_:
        measure([str(argument) for argument in argv])
    error = capsys.readouterr().err.splitlines()[-1]
    assert exit_.value.code == 2 and error.startswith('error: ')
    return error


@pytest.mark.parametrize('arguments, expected', [
    (['--samplers', 'twostep,threestep'], "no sampler 'threestep', nearest: twostep, onestep, fourstep; it has config"),
    (['--emas', '0.5,online'], 'holds one set of weights'),
    (['--num-images', '0'], '--num-images has to be an integer of at least 1'),
    (['--samples', 'x.npz', '--samplers', 'onestep'], 'nothing is generated: leave out samplers'),
    (['--ema', 'online', '--emas', 'online'], 'not allowed with'),
    (['--out', '/proc/x'], '/proc/x cannot be written'),
    (['--out-dir', '/proc/x'], '/proc/x'),
    (['--out', '.'], 'is a folder'),
    (['--cfg-options', 'test_dataloader.batch_size=0'], 'test_dataloader.batch_size has to be an integer'),
    (['--cfg-options', 'test_dataloder.batch_size=3'], "nothing reads a setting 'test_dataloder', nearest: test_d"),
    (['--cfg-options', 'test_dataloader.batchsize=3'], 'batchsize'),
    (['--cfg-options', 'samplers.config.indices=0'], "names other than 'config'"),
    (['--samplers', 'twostep', '--cfg-options', 'samplers.twostep.sigmas=(1.,2.)'],
     "the sampler 'twostep' of the config: sigmas must strictly"),
    (['--cfg-options', 'test_evaluator.metrics.0.type=Nothing'], 'Nothing'),
    (['--samples', 'nowhere.npz'], 'nowhere.npz'),
    (['--samples', 'nowhere'], 'nowhere is neither a folder'),
    (['--samplers', ','], 'a list of names with commas'),
    (['-n', '2'], 'PrecisionRecall needs at least 4 images to measure, got 2'),
    (['-n', '99999999999999'], 'num_samples has to be at least 1 and at most 100000000'),
    (['--cfg-options', 'test_evaluator.reference=5'], 'there is no file 5'),
    (['--cfg-options', 'checkpoint=5'], "no checkpoint '5'"),
    (['--cfg-options', 'test_evaluator=5'], 'test_evaluator has to be the config of an evaluator, got 5'),
])  # yapf: disable
def test_request_that_cannot_be_met_is_refused(capsys, tmp_path, arguments, expected):
    assert expected in refusal(capsys, CONFIG, *arguments, '--work-dir', tmp_path)
    assert not list(Path(tmp_path).glob('*.npz'))


def test_nothing_is_drawn_where_real_images_are_too_few(capsys, tmp_path, monkeypatch):
    np.savez(tmp_path / 'few.npz', np.zeros((2, 8, 8, 1), np.uint8))
    monkeypatch.setattr('mmcm.models.ConsistencyModel.test_step', None)
    error = refusal(
        capsys, CONFIG, '--work-dir', tmp_path, '--cfg-options', f'test_evaluator.reference={tmp_path / "few.npz"}'
    )
    assert 'PrecisionRecall needs at least 4 real images' in error and 'few.npz has 2' in error
    np.savez(tmp_path / 'rgb.npz', np.zeros((20, 8, 8, 3), np.uint8))
    error = refusal(
        capsys, CONFIG, '--work-dir', tmp_path, '--cfg-options', f'test_evaluator.reference={tmp_path / "rgb.npz"}'
    )
    assert 'rgb.npz: DigitsClassifier takes digits' in error


def test_all_samples_are_looked_at_before_one_is_measured(capsys, tmp_path, monkeypatch):
    foreign_npz(tmp_path / 'good.npz', 10)
    np.savez(tmp_path / 'large.npz', np.zeros((10, 9, 9, 1), np.uint8))
    np.savez(tmp_path / 'few.npz', np.zeros((3, 8, 8, 1), np.uint8))
    monkeypatch.setattr('mmcm.apis.evaluation.image_sets.measure', None)
    given = [CONFIG, '--work-dir', tmp_path, '--samples', tmp_path / 'good.npz']
    assert 'large.npz has 9 x 9 pixels' in refusal(capsys, *given, tmp_path / 'large.npz')
    assert 'at least 4 images' in refusal(capsys, *given, tmp_path / 'few.npz')


def test_no_metrics_are_no_matter_of_labels(capsys, tmp_path):
    foreign_npz(tmp_path / 'good.npz', 10)
    error = refusal(
        capsys,
        CONFIG,
        '--work-dir',
        tmp_path,
        '--samples',
        tmp_path / 'good.npz',
        '--cfg-options',
        'test_evaluator.metrics=[]',
    )
    assert 'test_evaluator has no metrics' in error


def test_number_and_seed_are_of_images_drawn_on_request(capsys, tmp_path):
    error = refusal(capsys, 'classifier_1xb128_digits-8x8', '--work-dir', tmp_path, '--seed', 1)
    assert 'SamplingRequests' in error


@pytest.mark.parametrize('images, labels, expected', [
    (np.arange(10 * 8 * 8 * 3, dtype=np.uint8).reshape(10, 8, 8, 3), None, '8 x 8 pixels in 3 channels'),
    (np.zeros((10, 16, 16, 1), np.uint8), None, '16 x 16 pixels in 1 channel'),
    (np.zeros((10, 8, 8, 1)), None, 'float64'),
    (np.zeros((10, 8, 8, 1), np.uint8), np.arange(1, 11), 'has label 10'),
    (np.zeros((10, 8, 8, 1), np.uint8), np.arange(9), '(10,)'),
])  # yapf: disable
def test_images_that_do_not_fit_the_config_are_refused(capsys, tmp_path, images, labels, expected):
    np.savez(tmp_path / 'x.npz', images, *([] if labels is None else [labels]))
    assert expected in refusal(capsys, CONFIG, '--samples', tmp_path / 'x.npz', '--work-dir', tmp_path)


def test_what_a_killed_run_has_left_does_not_matter(tmp_path):
    left = tmp_path / 'drawn' / '.config.npz.drawn'
    left.mkdir(parents=True)
    (left / '0.raw').write_bytes(bytes(64))
    test_command(tmp_path, '-n', 20, '--out-dir', tmp_path / 'drawn')
    assert [path.name for path in (tmp_path / 'drawn').iterdir()] == ['config.npz']
    assert len(np.load(tmp_path / 'drawn' / 'config.npz')['arr_0']) == 20


def run_in_two_processes(*arguments):
    result = subprocess.run(
        [
            sys.executable,
            '-m',
            'torch.distributed.run',
            '--standalone',
            '--nproc_per_node',
            '2',
            str(ROOT / 'tools/test.py'),
            CONFIG,
            *map(str, arguments),
            '--launcher',
            'pytorch',
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=dict(os.environ, OMP_NUM_THREADS='1'),
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize('number, batch_size', [(230, 50), (230, 500)])  # with one batch, one process draws nothing
def test_two_processes_do_what_one_does(tmp_path, number, batch_size):
    arguments = [
        '--samplers',
        'onestep,fourstep',
        '-n',
        number,
        '--cfg-options',
        f'test_dataloader.batch_size={batch_size}',
    ]
    alone = test_command(tmp_path, *arguments[:4], '--out-dir', tmp_path / 'one', *arguments[4:])
    printed = run_in_two_processes(
        *arguments[:4],
        '--work-dir',
        tmp_path / 'two',
        '--out',
        tmp_path / 'two.json',
        '--out-dir',
        tmp_path / 'two',
        *arguments[4:],
    )
    together = json.loads((tmp_path / 'two.json').read_text())
    assert together['processes'] == 2 and len(table(printed)) == 2
    for ours, theirs in zip(together['scores'], alone['scores']):
        assert ours['metrics'] == pytest.approx(theirs['metrics'], rel=1e-9)
    for name in ('onestep', 'fourstep'):
        assert (tmp_path / 'one' / f'{name}.npz').read_bytes() == (tmp_path / 'two' / f'{name}.npz').read_bytes()
    run_in_two_processes(
        '--work-dir', tmp_path / 'two', '--out', tmp_path / 'given.json', '--samples', tmp_path / 'one' / 'onestep.npz'
    )
    given = json.loads((tmp_path / 'given.json').read_text())
    assert given['scores'][0]['metrics'] == pytest.approx(alone['scores'][0]['metrics'], rel=1e-9)
