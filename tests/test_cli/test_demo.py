import os
import pickle
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmcm.cli.demo import main
from mmcm.cli.edit import main as edit
from support.digits import BACKBONE, build, model_config, write_config
from support.file_server import Server
from support.pictures import pixels

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tiny(tmp_path):
    """Paths of a config and of a checkpoint that goes with it."""
    torch.save(build().denoiser.backbone.state_dict(), tmp_path / 'tiny.pt')
    return write_config(tmp_path), tmp_path / 'tiny.pt'


def arguments(config, checkpoint, out, *more):
    return [
        '--model-name',
        'consistency_models',
        '--model-config',
        str(config),
        '--model-ckpt',
        str(checkpoint),
        '--result-out-dir',
        str(out),
        '--device',
        'cpu',
        *more,
    ]


def refusal(capsys, *argv):
    """Run the command on bad input, and return the line that it ends with."""
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in argv])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ') and error.count('\n') == 1 and 'Traceback' not in error
    return error


def test_writes_a_sheet_and_says_where(tiny, tmp_path, capsys):
    main(arguments(*tiny, tmp_path / 'new' / 'sheet.png', '--label', '3', '1', '4'))
    assert cv2.imread(str(tmp_path / 'new' / 'sheet.png')) is not None
    printed = capsys.readouterr().out
    assert 'Generated 3 images' in printed and '2 network evaluations per image' in printed and 'sheet.png' in printed


def test_writes_single_images_into_a_folder(tiny, tmp_path):
    main(arguments(*tiny, tmp_path / 'images', '--label', '3', '--extra-parameters', 'num_images=5', 'batch_size=2'))
    assert sorted(path.name for path in (tmp_path / 'images').iterdir()) == [f'00000{i}_label3.png' for i in range(5)]


def test_labels_are_random_and_follow_the_seed(tiny, tmp_path):
    for folder, seed in (('a', '1'), ('b', '1'), ('c', '2')):
        main(arguments(*tiny, tmp_path / folder, '--seed', seed))
    names = {folder: sorted(path.name for path in (tmp_path / folder).iterdir()) for folder in 'abc'}
    assert names['a'] == names['b'] != names['c']
    first = {folder: (tmp_path / folder / names[folder][0]).read_bytes() for folder in 'ab'}
    assert first['a'] == first['b']


@pytest.mark.parametrize('requests, expected', [(None, 4), (dict(num_samples=2), 2)])
def test_number_of_images_is_that_of_mmagic_or_of_the_config(tmp_path, requests, expected):
    torch.save(build().denoiser.backbone.state_dict(), tmp_path / 'tiny.pt')
    config = write_config(tmp_path, model=model_config(requests=requests))
    main(arguments(config, tmp_path / 'tiny.pt', tmp_path / 'images'))
    assert len(list((tmp_path / 'images').iterdir())) == expected


def test_sampler_is_set_by_extra_parameters(tiny, tmp_path, capsys):
    for number, settings in enumerate(
        (
            ['type=HeunSampler', 'num_steps=4'],
            ['indices=0,3,7', 'num_scales=18'],
            ['sigmas=80.0,9.0,3.0,1.5'],
            ['indices=5'],
        )
    ):
        main(arguments(*tiny, tmp_path / f'{number}.png', '--extra-parameters', *settings))
    printed = capsys.readouterr().out
    assert all(f'{calls} network evaluation' in printed for calls in (7, 3, 4, 1))


def test_lists_models_and_tasks(capsys):
    main(['--print-supported-models'])
    main(['--print-supported-tasks'])
    main(['--print-task-supported-models', 'conditional'])
    printed = capsys.readouterr().out
    assert 'cd_imagenet64_lpips' in printed and 'conditional\n' in printed


def test_script_ends_with_one_line_and_code_2(tmp_path):
    result = subprocess.run(
        [
            sys.executable,
            ROOT / 'demo' / 'mmagic_inference_demo.py',
            '--model-config',
            'configs/none.py',
            '--result-out-dir',
            tmp_path / 'x.png',
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2 and result.stdout == ''
    assert result.stderr.startswith('error: ') and result.stderr.count('\n') == 1


def test_mmagic_that_cannot_be_imported_is_left_aside(tiny, tmp_path):
    (tmp_path / 'mmagic').mkdir()
    (tmp_path / 'mmagic' / '__init__.py').write_text('from huggingface_hub import cached_download_no_more')
    result = subprocess.run(
        [sys.executable, ROOT / 'demo' / 'mmagic_inference_demo.py', *arguments(*tiny, tmp_path / 'x.png')],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(tmp_path)},
    )
    assert result.returncode == 0 and (tmp_path / 'x.png').is_file()
    assert 'MMagic is left aside, as it cannot be imported here: ImportError: cannot import' in result.stderr
    assert 'MMagic' not in result.stdout


def test_unknown_config_is_named_with_its_neighbours(capsys, tmp_path):
    error = refusal(
        capsys,
        '--model-config',
        'consistency_models_8xb256-imagenet1k-onestep-64',
        '--result-out-dir',
        tmp_path / 'x.png',
    )
    assert 'consistency_models_8xb256-imagenet1k-onestep-64x64' in error


def test_file_that_is_no_config(capsys, tmp_path):
    (tmp_path / 'broken.py').write_text('model = dict(\n')
    assert 'SyntaxError' in refusal(capsys, *arguments(tmp_path / 'broken.py', 'digits', tmp_path / 'x.png'))


def test_label_out_of_range(capsys, tiny, tmp_path):
    error = refusal(capsys, *arguments(*tiny, tmp_path / 'x.png', '--label', '10'))
    assert 'label 10' in error and '0 to 9' in error
    assert not (tmp_path / 'x.png').exists()


def test_label_for_an_unconditional_model(capsys, tmp_path):
    denoiser = dict(type='KarrasDenoiser', backbone=dict(BACKBONE, num_classes=None))
    config = write_config(tmp_path, model=model_config(denoiser=denoiser))
    assert 'unconditional' in refusal(capsys, *arguments(config, 'digits', tmp_path / 'x.png', '--label', '0'))


def test_checkpoint_of_another_architecture(capsys, tiny, tmp_path):
    other = build(denoiser=dict(type='KarrasDenoiser', backbone=dict(BACKBONE, channel_mult=(2,), num_classes=None)))
    torch.save(other.denoiser.backbone.state_dict(), tmp_path / 'other.pt')
    error = refusal(capsys, *arguments(tiny[0], tmp_path / 'other.pt', tmp_path / 'x.png', '--label', '0'))
    assert 'label_emb.weight' in error and 'keys are missing' in error
    assert 'input_blocks.0.0.weight (64, 1, 3, 3) instead of (32, 1, 3, 3)' in error


def test_truncated_checkpoint(capsys, tiny, tmp_path):
    content = tiny[1].read_bytes()
    tiny[1].write_bytes(content[: len(content) // 2])
    assert 'truncated' in refusal(capsys, *arguments(*tiny, tmp_path / 'x.png'))


def test_truncated_download(capsys, tiny, tmp_path, server: Server, monkeypatch):
    monkeypatch.setenv('MMCM_HOME', str(tmp_path / 'home'))
    server.behaviour, server.ranges = 'cut', False
    error = refusal(capsys, *arguments(tiny[0], server.url, tmp_path / 'x.png'))
    assert server.url in error and '150000 of 300000 bytes' in error and str(tmp_path / 'home') in error
    assert not list((tmp_path / 'home').rglob('*.pt'))


def test_downloaded_checkpoint_draws_like_the_file(tiny, tmp_path, server: Server, monkeypatch):
    monkeypatch.setenv('MMCM_HOME', str(tmp_path / 'home'))
    server.content = tiny[1].read_bytes()
    main(arguments(tiny[0], server.url, tmp_path / 'url.png'))
    main(arguments(*tiny, tmp_path / 'file.png'))
    assert pixels(tmp_path / 'url.png') == pixels(tmp_path / 'file.png')  # their records name the model


def test_unknown_zoo_name_is_answered_with_the_nearest(capsys, tiny, tmp_path):
    error = refusal(capsys, *arguments(tiny[0], 'cd_imagenet_lpips', tmp_path / 'x.png'))
    assert 'cd_imagenet64_lpips' in error


def test_output_that_cannot_be_written(capsys, tiny, tmp_path):
    (tmp_path / 'file').write_text('in the way')
    assert str(tmp_path / 'file') in refusal(capsys, *arguments(*tiny, tmp_path / 'file' / 'x.png'))
    assert 'suffix' in refusal(capsys, *arguments(*tiny, tmp_path / 'x.xyz'))


def test_pickle_with_code_is_refused_and_nothing_in_it_runs(capsys, tiny, tmp_path):

    class Payload:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / 'executed'),)

    torch.save(dict(state_dict=Payload()), tmp_path / 'code.pt')
    (tmp_path / 'old.pt').write_bytes(pickle.dumps(Payload()))
    for name in ('code.pt', 'old.pt'):
        assert 'refused' in refusal(capsys, *arguments(tiny[0], tmp_path / name, tmp_path / 'x.png'))
    assert not (tmp_path / 'executed').exists()


@pytest.mark.parametrize('more, expected', [
    (['--img', 'x.png'], '--img'),
    (['--extra-parameters', 'nun_images=3'], 'num_images'),
    (['--extra-parameters', 'num_images=0'], 'num_images'),
    (['--extra-parameters', 'indices=0,17'], 'leave it out'),
    (['--extra-parameters', 'sigmas=1.5,80.0'], 'strictly decrease'),
    (['--extra-parameters', 'sigmas=1.5', 'indices=0'], 'give either'),
    (['--extra-parameters', 'num_images=abc'], 'num_images'),
    (['--extra-parameters', 'num_images=[1'], 'num_images'),
    (['--extra-parameters', 'num_images'], 'KEY=VALUE'),
    (['--extra-parameters', 'columns=-1'], 'columns'),
    (['--extra-parameters', 'rho=abc'], 'rho'),
    (['--extra-parameters', 'num_scales=abc'], 'num_scales'),
    (['--extra-parameters', 'type=HeunSampler', 'num_steps=2', 's_churn=abc'], 's_churn'),
    (['--extra-parameters', 'type=5'], '5'),
    (['--seed', '9' * 30], 'seed'),
    (['--model-name', 'bogus'], 'bogus'),
    (['--extra-parameters', 'type=HenSampler'], 'HenSampler'),
    (['--device', 'cuda:99'], 'cuda:99'),
    (['--device', 'gpu'], 'gpu'),
])  # yapf: disable
def test_other_bad_input(capsys, tiny, tmp_path, more, expected):
    assert expected in refusal(capsys, *arguments(*tiny, tmp_path / 'x.png', *more))


def test_missing_output_and_missing_model(capsys, tmp_path):
    assert '--result-out-dir' in refusal(capsys)
    assert '--model-config' in refusal(capsys, '--result-out-dir', tmp_path / 'x.png')


def test_picture_is_filled_in(tmp_path, capsys):
    picture, mask = np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8)
    picture[2:6, 3:5], mask[4:] = 200, 255
    cv2.imwrite(str(tmp_path / 'one.png'), picture)
    cv2.imwrite(str(tmp_path / 'mask.png'), mask)
    main(
        [
            '--model-name',
            'digits',
            '--device',
            'cpu',
            '--img',
            str(tmp_path / 'one.png'),
            '--mask',
            str(tmp_path / 'mask.png'),
            '--label',
            '1',
            '--result-out-dir',
            str(tmp_path / 'out'),
            '--extra-parameters',
            'task=inpaint',
            'num_candidates=2',
            'num_steps=3',
        ]
    )
    assert 'Generated 2 candidates with digits' in capsys.readouterr().out
    for candidate in (tmp_path / 'out').glob('candidate*'):
        assert np.array_equal(cv2.imread(str(candidate))[:4, :, 0], picture[:4])
    assert len(list((tmp_path / 'out').iterdir())) == 5  # picture, mask, known and two candidates


COLOUR = dict(type='KarrasDenoiser', backbone=dict(BACKBONE, in_channels=3, out_channels=3, num_classes=None))


@pytest.fixture
def colour(tmp_path):
    """Arguments that name a model of colour pictures, and a picture with a mask of its own size and a small one."""
    torch.save(build(denoiser=COLOUR).denoiser.backbone.state_dict(), tmp_path / 'colour.pt')
    config = write_config(tmp_path, model=model_config(denoiser=COLOUR))
    cv2.imwrite(str(tmp_path / 'photo.png'), np.random.RandomState(0).randint(0, 256, (12, 20, 3)).astype(np.uint8))
    for name, size in (('mask.png', (12, 20)), ('small.png', (3, 5))):
        cv2.imwrite(str(tmp_path / name), np.tri(*size, dtype=np.uint8) * 255)
    return [
        '--model-config',
        str(config),
        '--model-ckpt',
        str(tmp_path / 'colour.pt'),
        '--device',
        'cpu',
        '--img',
        str(tmp_path / 'photo.png'),
        '--result-out-dir',
        str(tmp_path / 'out'),
    ]


@pytest.mark.parametrize(
    'task, mask, extra',
    [
        ('inpaint', 'mask.png', ['num_steps=3']),
        ('inpaint', 'small.png', ['resize_mask=True', 'num_steps=3']),
        ('uncrop', None, ['share=0.5']),
        ('colorize', None, ['sigmas=80.0,5.0']),
        ('super-resolve', None, ['factor=2', 'num_steps=3']),
        ('deblur', None, ['kernel=1,2,1', 'num_steps=3']),
        ('stroke', None, []),
        ('variations', None, ['sigmas=2.0']),
        ('denoise', None, ['sigma=0.3']),
    ],
)
def test_every_task_writes_what_mmcm_edit_writes(colour, tmp_path, task, mask, extra):
    masks = [] if mask is None else ['--mask', str(tmp_path / mask)]
    main([*colour, *masks, '--seed', '5', '--extra-parameters', f'task={task}', 'num_candidates=2', *extra])
    words = {'num_steps': 'steps'}
    options = []
    for option in extra:
        name, _, value = option.partition('=')
        name = '--' + words.get(name, name).replace('_', '-')
        options += [name] if value == 'True' else [name, *value.split(',')]
    given = dict(zip(colour[::2], colour[1::2]))
    edit(
        [
            task,
            '--img',
            given['--img'],
            *masks,
            '--model',
            given['--model-config'],
            '--checkpoint',
            given['--model-ckpt'],
            '--device',
            'cpu',
            '--seed',
            '5',
            '--num-candidates',
            '2',
            *options,
            '--out',
            str(tmp_path / 'edited'),
        ]
    )
    written, expected = (
        {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()} for folder in ('out', 'edited')
    )
    assert written == expected and 'candidate_001.png' in written


@pytest.mark.parametrize(
    'argv, expected',
    [
        ([], 'task=inpaint'),
        (['--extra-parameters', 'task=paint'], 'one of inpaint'),
        (['--extra-parameters', 'task=stroke', 'columns=3'], "no 'columns'"),
        (['--extra-parameters', 'task=stroke', 'factor=3'], 'stroke takes no further'),
        (['--extra-parameters', 'task=deblur', 'kernel=3'], 'kernel has to be a list'),
        (['--extra-parameters', 'task=deblur', 'kernel=1,2'], 'odd number'),
        (['--extra-parameters', 'task=uncrop', 'share=most'], 'share has to be a number'),
        (['--extra-parameters', 'task=stroke', 'sigmas=high'], 'a list, each of it a number, got'),
        (['--extra-parameters', 'task=colorize'], 'three channels'),
    ],
)
def test_edits_that_cannot_be_are_refused(tmp_path, capsys, argv, expected):
    cv2.imwrite(str(tmp_path / 'one.png'), np.zeros((8, 8), np.uint8))
    assert expected in refusal(
        capsys, '--model-name', 'digits', '--img', tmp_path / 'one.png', '--result-out-dir', tmp_path / 'out', *argv
    )
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('home', [False, True])
def test_picture_of_the_user_is_not_replaced(tmp_path, capsys, monkeypatch, home):
    monkeypatch.setenv('HOME', str(tmp_path))
    cv2.imwrite(str(tmp_path / 'one.png'), np.zeros((8, 8), np.uint8))
    assert 'file of --img' in refusal(
        capsys,
        '--model-name',
        'digits',
        '--img',
        tmp_path / 'one.png',
        '--result-out-dir',
        '~/one.png' if home else tmp_path / 'one.png',
        '--extra-parameters',
        'task=stroke',
    )
