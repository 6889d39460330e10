import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmcm.cli.analyze import main, row_of
from mmcm.datasets import DigitsDataset
from mmcm.utils.errors import InputError
from support.digits import build, write_config

ROOT = Path(__file__).parents[2]
DATA = 'cd_1xb32_digits-8x8'


def error_of(capsys, *arguments):
    with pytest.raises(SystemExit) as raised:
        main([str(argument) for argument in arguments])
    assert raised.value.code == 2
    return capsys.readouterr().err


def shape_of(path):
    return cv2.imread(str(path)).shape


def test_calls(tmp_path, capsys):
    scores = [
        dict(
            sampler='one',
            sampler_config=dict(type='MultistepSampler'),
            network_calls=calls,
            ema=None,
            metrics={'frechet/distance': 8 / calls},
        )
        for calls in (2, 1)
    ]
    (tmp_path / 'ct.json').write_text(json.dumps(dict(format=1, config='ct.py', titles={}, scores=scores)))
    main(['calls', str(tmp_path / 'ct.json'), '--out', str(tmp_path / 'out' / 'calls.png')])
    assert shape_of(tmp_path / 'out' / 'calls.png') == (600, 900, 3)
    assert 'frechet/distance of ct: 8 at 1, 4 at 2' in capsys.readouterr().out


def test_seeds(tmp_path, capsys):
    torch.save(build().denoiser.backbone.state_dict(), tmp_path / 'tiny.pt')
    config = str(write_config(tmp_path))
    checkpoint = f'checkpoint={tmp_path / "tiny.pt"}'
    main(
        [
            'seeds',
            '--row',
            config,
            checkpoint,
            'steps=1',
            '--row',
            config,
            checkpoint,
            'sigmas=80,1.5',
            'name=two',
            '--seeds',
            '5',
            '6',
            '7',
            '--out',
            str(tmp_path / 'seeds.png'),
        ]
    )
    height, width, _ = shape_of(tmp_path / 'seeds.png')
    assert height == 32 + 4 + 2 * 68 and width > 4 + 3 * 68
    assert 'takes KEY=VALUE' in error_of(capsys, 'seeds', '--row', config, 'steps', '--out', tmp_path / 'x.png')


def test_row_of_the_words_of_the_command_line():
    row = row_of('digits', 'ema=0.999', 'steps=3', 'name=mine', 's_churn=2.5', 'type=HeunSampler')
    assert row == ('digits', None, '0.999', 3, dict(s_churn=2.5, type='HeunSampler'), 'mine')
    with pytest.raises(InputError, match='steps'):
        row_of('digits', 'steps=half')


def test_neighbours(tmp_path, capsys):
    data = DigitsDataset()
    samples = np.stack([data[index]['inputs'].permute(1, 2, 0).numpy() for index in (17, 100)])
    np.savez(tmp_path / 'samples.npz', samples)
    arguments = [
        'neighbours',
        str(tmp_path / 'samples.npz'),
        DATA,
        '-k',
        '2',
        '--real',
        '20',
        '--out',
        str(tmp_path / 'near.png'),
        '--json',
        str(tmp_path / 'near.json'),
        '--force',
    ]
    for features in (
        [],
        ['--features', DATA],
        ['--features', 'DigitsClassifier', 'checkpoint=package:weights/digits_classifier.safetensors'],
    ):
        main([*arguments, *features])
        numbers = json.loads((tmp_path / 'near.json').read_text())
        found = [(entry['neighbours'][0]['index'], entry['neighbours'][0]['label']) for entry in numbers['samples']]
        assert found == [(17, data.labels[17]), (100, data.labels[100])]
        assert all(entry['neighbours'][0]['distance'] < 1e-3 for entry in numbers['samples'])
        assert numbers['share_nearer'] == 1 and len(numbers['real']) == 20
        assert '100.0 % of the samples' in capsys.readouterr().out
    assert shape_of(tmp_path / 'near.png')[0] == 16 + 4 + 2 * (64 + 16 + 4)


def test_grey_pictures_are_compared_with_grey_data(tmp_path, capsys):
    digits, pictures, out = DigitsDataset(), tmp_path / 'pictures', tmp_path / 'out'
    pictures.mkdir()
    for index in range(3):
        cv2.imwrite(str(pictures / f'{index}.png'), digits[index]['inputs'][0].numpy())
    for first, second in ((pictures, DATA), (DATA, pictures)):
        main(
            [
                'neighbours',
                str(first),
                str(second),
                '-k',
                '1',
                '--out',
                str(out / 'n.png'),
                '--json',
                str(out / 'n.json'),
                '--force',
            ]
        )
        samples = json.loads((out / 'n.json').read_text())['samples']
        assert [sample['neighbours'][0]['distance'] for sample in samples[:3]] == [0, 0, 0]
    cv2.imwrite(str(pictures / '1.png'), np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    assert '1.png' in error_of(capsys, 'neighbours', pictures, DATA, '--out', out / 'm.png')


def test_neighbours_of_what_a_model_draws(tmp_path):
    main(
        [
            'neighbours',
            '--model',
            'digits',
            DATA,
            '-n',
            '4',
            '-k',
            '1',
            '--out',
            str(tmp_path / 'near.png'),
            '--json',
            str(tmp_path / 'near.json'),
        ]
    )
    labels = [entry['neighbours'][0]['label'] for entry in json.loads((tmp_path / 'near.json').read_text())['samples']]
    assert labels == [0, 1, 2, 3]


def test_dataset(tmp_path, capsys):
    main(
        [
            'dataset',
            DATA,
            '--rows',
            '3',
            '--columns',
            '4',
            '--out',
            str(tmp_path / 'sheet.png'),
            '--json',
            str(tmp_path / 'sheet.json'),
        ]
    )
    assert shape_of(tmp_path / 'sheet.png')[1] == 640
    assert json.loads((tmp_path / 'sheet.json').read_text())['num_images'] == 1797
    assert '1797 images, 10 classes of 174 to 183 images' in capsys.readouterr().out


def test_mistakes_are_one_line(tmp_path, capsys):
    out = tmp_path / 'x.png'
    assert 'no such folder' in error_of(capsys, 'dataset', 'no such folder', '--out', out)
    assert 'suffix of an image' in error_of(capsys, 'dataset', DATA, '--out', tmp_path / 'x.txt')
    assert 'cannot be read as scores' in error_of(capsys, 'calls', ROOT / 'model-index.yml', '--out', out)
    (tmp_path / 'scores.json').write_text('{"format": 1, "scores": 3}')
    assert 'holds no scores of format 1' in error_of(capsys, 'calls', tmp_path / 'scores.json', '--out', out)
    assert '--size is for images in files' in error_of(capsys, 'dataset', DATA, '--size', 16, '--out', out)
    assert f'{DATA} says what size' in error_of(capsys, 'neighbours', DATA, DATA, '--size', 16, '--out', out)
    assert 'names no extractor' in error_of(
        capsys, 'neighbours', 'digits', DATA, '--draw', 2, '--features', 'classifier_1xb128_digits-8x8', '--out', out
    )
    assert '(SAMPLES DATA) or a model' in error_of(capsys, 'neighbours', DATA, '--out', out)
    assert '--rows' in error_of(capsys, 'neighbours', 'digits', DATA, '--draw', 2, '--rows', 0, '--out', out)
    assert not out.exists()


@pytest.mark.parametrize('name', sorted(path.name for path in (ROOT / 'tools' / 'analysis_tools').glob('*.py')))
def test_scripts_are_the_subcommands(name):
    result = subprocess.run(
        [sys.executable, str(ROOT / 'tools' / 'analysis_tools' / name), '--help'],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    expected = '--batch-size N' if name == 'get_flops.py' else '--out FILE'  # of mmcm info, and of mmcm analyze
    assert result.returncode == 0 and expected in result.stdout, result.stderr


def test_log_and_pipeline(tmp_path, capsys):
    folder = tmp_path / 'run' / '20260101_000000' / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text('{"loss": 2.0, "lr": 0.1, "time": 0.5, "step": 100}\n')
    out = tmp_path / 'log.png'
    main(['log', str(tmp_path / 'run'), '--out', str(out), '--json', str(tmp_path / 'log.json')])
    assert 'run: iteration 100, loss 2, learning rate 0.1, 0.5 s per iteration' in capsys.readouterr().out
    assert shape_of(out) == (2 * 340, 2 * 620, 3)
    assert json.loads((tmp_path / 'log.json').read_text())['runs'][0]['scalars']['lr']['values'] == [0.1]
    main(['pipeline', DATA, '--rows', '2', '--out', str(tmp_path / 'pipeline.png')])
    assert shape_of(tmp_path / 'pipeline.png')[0] == 4 + 2 * 132 + 32
    assert 'no log' in error_of(capsys, 'log', tmp_path, '--out', tmp_path / 'x.png')
