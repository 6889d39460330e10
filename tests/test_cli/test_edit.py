import subprocess
import sys

import numpy as np
import pytest
import torch
from digits import BACKBONE, build, model_config, write_config
from PIL import Image

from mmcm.cli.edit import main
from mmcm.datasets import DigitsDataset
from mmcm.registry import MODELS

COLOUR = dict(type='KarrasDenoiser', backbone=dict(BACKBONE, in_channels=3, out_channels=3, num_classes=None))


@pytest.fixture
def digit(tmp_path):
    """Paths of a real 3 and of a mask of its lower half."""
    digits = DigitsDataset('test')
    assert digits.labels[1] == 3
    Image.fromarray(digits[1]['inputs'][0].numpy()).save(tmp_path / 'three.png')
    mask = np.zeros((8, 8), np.uint8)
    mask[4:] = 255
    Image.fromarray(mask).save(tmp_path / 'mask.png')
    return tmp_path / 'three.png', tmp_path / 'mask.png'


@pytest.fixture
def colour(tmp_path):
    """Arguments that name a model of colour pictures."""
    torch.save(build(denoiser=COLOUR).denoiser.backbone.state_dict(), tmp_path / 'colour.pt')
    config = write_config(tmp_path, model=model_config(denoiser=COLOUR))
    return ['--model', config, '--checkpoint', tmp_path / 'colour.pt', '--device', 'cpu']


def run(*argv):
    main([str(argument) for argument in argv])


def read(folder):
    """Return the images of a folder by their names, (H, W, 3) each."""
    return {path.stem: np.asarray(Image.open(path)).astype(int) for path in folder.iterdir()}


def labels_read(images):
    """Return what the classifier of digits reads in images (8, 8, 3)."""
    classifier = MODELS.build(
        dict(type='DigitsClassifier', checkpoint='package:weights/digits_classifier.safetensors'))
    classifier.init_weights()
    pixels = torch.from_numpy(np.stack(images)[..., 0].astype(np.uint8))[:, None]
    return classifier.eval().extract(pixels).logits.argmax(1).tolist()


def refusal(capsys, *argv):
    """Run the command on bad input, and return the line that it ends with."""
    with pytest.raises(SystemExit) as exit_:
        run(*argv)
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ') and error.count('\n') == 1 and 'Traceback' not in error
    return error


def test_lower_half_of_a_digit_is_drawn_and_reads_as_its_label(digit, tmp_path, capsys):
    picture, mask = digit
    run('inpaint', '--img', picture, '--mask', mask, '--model', 'digits', '--device', 'cpu', '--labels', 3,
        '--num-candidates', 8, '--out', tmp_path / 'out')
    images = read(tmp_path / 'out')
    candidates = [image for name, image in images.items() if name.startswith('candidate')]
    assert len(candidates) == 8
    assert all(np.array_equal(image[:4], images['picture'][:4]) for image in candidates)
    assert sum(label == 3 for label in labels_read(candidates)) >= 7
    assert np.std([image[4:] for image in candidates], axis=0).max() > 5
    printed = capsys.readouterr().out
    assert 'Drew 8 candidates with digits' in printed and '39 network calls per candidate' in printed


def test_small_digit_is_enlarged_and_reads_as_its_label(digit, tmp_path):
    small = Image.open(digit[0]).resize((4, 4), Image.Resampling.BOX)
    small.save(tmp_path / 'small.png')
    run('super-resolve', '--img', tmp_path / 'small.png', '--factor', 2, '--model', 'digits', '--device', 'cpu',
        '--labels', 3, '--num-candidates', 8, '--out', tmp_path / 'out')
    images = read(tmp_path / 'out')
    candidates = [image for name, image in images.items() if name.startswith('candidate')]
    assert sum(label == 3 for label in labels_read(candidates)) >= 7
    for image in candidates:
        means = image[..., 0].reshape(4, 2, 4, 2).mean((1, 3))
        assert np.abs(means - np.asarray(small).astype(int)).max() < 6  # pixels are clipped to black and rounded


def test_colours_are_drawn_and_the_brightness_stays(colour, tmp_path):
    """A turned photograph in JPEG, a grey picture, and one with transparency."""
    shades = np.linspace(60, 190, 30 * 40 * 3).reshape(30, 40, 3).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(shades).save(tmp_path / 'photo.jpg', exif=exif)
    Image.fromarray(shades[..., 0]).save(tmp_path / 'grey.png')
    Image.fromarray(np.dstack([shades, shades[..., :1]])).save(tmp_path / 'rgba.png')
    for name in ('photo.jpg', 'grey.png', 'rgba.png'):
        out = tmp_path / name[:-4]
        run('colorize', '--img', tmp_path / name, *colour, '--num-candidates', 2, '--steps', 4, '--out', out)
        images = read(out)
        full = {name: images.pop(name) for name in ('full_size_000', 'full_size_001')}
        assert set(images) == {'picture', 'known', 'candidate_000', 'candidate_001'}
        assert all(image.shape == ((40, 30, 3) if name == 'photo.jpg' else (30, 40, 3)) for image in full.values())
        assert np.ptp(images['known'], axis=2).max() == 0
        for candidate in (images['candidate_000'], images['candidate_001']):
            inside = ((candidate > 0) & (candidate < 255)).all(2)  # the others are clipped
            assert inside.any()
            brightness = candidate @ np.array([0.2989, 0.5870, 0.1140]) / 0.9999
            assert np.abs(brightness - images['known'][..., 0])[inside].max() <= 1.5
        assert np.ptp(images['candidate_000'], axis=2).max() > 10


def test_sheet_shows_all_of_them(digit, tmp_path):
    picture, mask = digit
    for name in ('a.png', 'b.png'):
        run('inpaint', '--img', picture, '--mask', mask, '--model', 'digits', '--device', 'cpu', '--labels', 3, 5,
            '--num-candidates', 2, '--sigmas', 80, 5, 0.5, '--out', tmp_path / 'new' / name)
    with Image.open(tmp_path / 'new' / 'a.png') as sheet:
        assert sheet.size == (4 + 4 * 68, 4 + 64 + 16 + 4)
    assert (tmp_path / 'new' / 'a.png').read_bytes() == (tmp_path / 'new' / 'b.png').read_bytes()


def test_labels_may_be_a_rule(digit, tmp_path):
    def names(*labels):
        out = tmp_path / '_'.join(['out', *labels])
        run('super-resolve', '--img', digit[0], '--factor', 2, '--model', 'digits', '--device', 'cpu', '--steps', 2,
            *labels, '--out', out)
        return sorted(path.name for path in out.glob('candidate*'))

    balanced = names('--labels', 'balanced')
    assert balanced == [f'candidate_00{index}_label{index}.png' for index in range(4)]
    assert names('--labels', 'random') == names() != balanced


def bad_requests(folder, picture, mask):
    """Yield arguments of bad requests, and what the answer says."""
    Image.new('L', (9, 8)).save(folder / 'other.png')
    Image.new('L', (8, 8)).save(folder / 'black.png')
    (folder / 'empty.png').touch()
    (folder / 'text.jpg').write_text('no picture')
    (folder / 'cut.png').write_bytes(picture.read_bytes()[:-30])
    inpaint = ['inpaint', '--img', picture, '--mask', mask]
    enlarge = ['super-resolve', '--img', picture, '--factor']
    yield ['inpaint', '--img', picture, '--mask', folder / 'other.png'], 'the mask is of 9 x 8 pixels'
    yield ['inpaint', '--img', picture, '--mask', folder / 'black.png'], 'the mask marks nothing'
    yield ['inpaint', '--img', picture, '--mask', folder / 'text.jpg'], 'text.jpg is no picture'
    yield ['inpaint', '--img', folder / 'empty.png', '--mask', mask], 'is empty'
    yield ['inpaint', '--img', folder / 'cut.png', '--mask', mask], 'cannot be decoded'
    yield ['inpaint', '--img', folder / 'none.png', '--mask', mask], 'there is no picture'
    yield ['inpaint', '--img', picture], 'required: --mask'
    yield ['colorize', '--img', picture], 'three channels'
    yield [*enlarge, 3], 'factor 3 does not divide'
    yield [*enlarge, 1], 'integer of at least 2'
    yield [*enlarge, 'two'], 'invalid int value'
    yield [*inpaint, '--labels', 10], 'out of range'
    yield [*inpaint, '--num-candidates', 0], 'num_candidates'
    yield [*inpaint, '--seed', 2**80], 'seed'
    yield [*inpaint, '--steps', 0], 'num_steps'
    yield [*inpaint, '--steps', 3, '--sigmas', 80], 'not allowed with'
    yield [*inpaint, '--sigmas', 1, 2], 'strictly decrease'
    yield [*inpaint, '--device', 'abacus'], 'no device'


def test_bad_requests_end_with_one_line_before_the_weights_are_read(digit, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('mmcm.models.ConsistencyModel.load_checkpoint', lambda *_: pytest.fail('read the weights'))
    for argv, answer in bad_requests(tmp_path, *digit):
        error = refusal(capsys, *argv, '--model', 'digits', '--out', tmp_path / 'x.png')
        assert answer in error, (argv, error)
    inpaint = ['inpaint', '--img', digit[0], '--mask', digit[1], '--model', 'digits']
    assert 'no suffix' in refusal(capsys, *inpaint, '--out', tmp_path / 'x.xyz')
    assert 'TASK' in refusal(capsys, '--img', digit[0])
    assert not (tmp_path / 'x.png').exists()


@pytest.mark.parametrize('argv', [['--help'], ['colorize', '--help'], ['inpaint']])
def test_help_and_wrong_arguments_do_not_load_torch(argv):
    code = ('import sys, mmcm.cli.main\ntry:\n    mmcm.cli.main.main(sys.argv[1:])\n'
            'finally:\n    print("torch" in sys.modules)')
    process = subprocess.run([sys.executable, '-c', code, 'edit', *argv], capture_output=True, text=True)
    assert process.stdout.splitlines()[-1] == 'False', process.stderr


def test_what_is_there_is_not_replaced(capsys, digit, tmp_path):
    picture, mask = digit
    common = ('inpaint', '--img', picture, '--mask', mask, '--model', 'digits')
    before = picture.read_bytes(), mask.read_bytes()
    assert 'is the file of --img, which it would replace' in refusal(capsys, *common, '--out', picture)
    assert 'is the file of --mask, which it would replace' in refusal(capsys, *common, '--out', mask)
    assert 'is a folder that is not empty' in refusal(capsys, *common, '--out', tmp_path)
    assert (picture.read_bytes(), mask.read_bytes()) == before


@pytest.mark.parametrize('task, arguments, calls', [
    ('uncrop', ['--share', 0.75], 39), ('deblur', ['--kernel', 1, 2, 1], 39), ('stroke', [], 2),
    ('variations', ['--sigmas', 0.8, 0.4, 0.2], 3), ('denoise', ['--sigma', 0.3], 1),
])
def test_every_other_task_draws_a_three(digit, tmp_path, capsys, task, arguments, calls):
    run(task, '--img', digit[0], '--model', 'digits', '--device', 'cpu', '--labels', 3, '--num-candidates', 4,
        *arguments, '--steps-out', tmp_path / 'steps.png', '--out', tmp_path / 'out')
    candidates = [image for name, image in read(tmp_path / 'out').items() if name.startswith('candidate')]
    assert labels_read(candidates).count(3) >= 3
    assert f'{calls} network call' in capsys.readouterr().out
    with Image.open(tmp_path / 'steps.png') as sheet:
        assert sheet.size == (4 + calls * 68, 4 + 4 * 68)


def test_strip_leads_from_one_digit_to_another(tmp_path):
    run('interpolate', '--seeds', 4, 7, '--labels', 3, 8, '-n', 5, '--model', 'digits', '--device', 'cpu', '--out',
        tmp_path / 'out')
    images = read(tmp_path / 'out')
    assert len(images) == 5
    read_as = labels_read([images[name] for name in sorted(images)])
    assert read_as[0] == 3 and read_as[-1] == 8


@pytest.mark.parametrize('arguments, expected', [
    (['uncrop', '--share', 1], 'share between 0 and 1'), (['deblur', '--kernel', 1, 1], 'odd number of weights'),
    (['denoise', '--sigma', 0], 'sigma'), (['stroke', '--steps', 3], 'give sigmas'),
])
def test_bad_settings_of_a_task_are_refused(digit, tmp_path, capsys, arguments, expected):
    error = refusal(capsys, *arguments, '--img', digit[0], '--model', 'digits', '--out', tmp_path / 'out.png')
    assert expected in error and not (tmp_path / 'out.png').exists()


def test_picture_of_the_user_is_not_replaced(digit, tmp_path, capsys):
    assert 'file of --img' in refusal(capsys, 'stroke', '--img', digit[0], '--model', 'digits', '--steps-out', digit[0],
                                      '--out', tmp_path / 'out.png')
