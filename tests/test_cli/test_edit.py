import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from mmcm.apis.editing.request import TASKS, WHOLE
from mmcm.cli.edit import main
from mmcm.datasets import DigitsDataset
from mmcm.registry import MODELS
from support.digits import BACKBONE, build, model_config, write_config
from support.image_folders import png_header

ROOT = Path(__file__).parents[2]
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
    classifier = MODELS.build(dict(type='DigitsClassifier', checkpoint='package:weights/digits_classifier.safetensors'))
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
    run(
        'inpaint',
        '--img',
        picture,
        '--mask',
        mask,
        '--model',
        'digits',
        '--device',
        'cpu',
        '--labels',
        3,
        '--num-candidates',
        8,
        '--out',
        tmp_path / 'out',
    )
    images = read(tmp_path / 'out')
    candidates = [image for name, image in images.items() if name.startswith('candidate')]
    assert len(candidates) == 8
    assert all(np.array_equal(image[:4], images['picture'][:4]) for image in candidates)
    assert sum(label == 3 for label in labels_read(candidates)) >= 7
    assert np.std([image[4:] for image in candidates], axis=0).max() > 5
    printed = capsys.readouterr().out
    assert 'Generated 8 candidates with digits' in printed and '39 network evaluations per candidate' in printed


def test_small_digit_is_enlarged_and_reads_as_its_label(digit, tmp_path):
    small = Image.open(digit[0]).resize((4, 4), Image.Resampling.BOX)
    small.save(tmp_path / 'small.png')
    run(
        'super-resolve',
        '--img',
        tmp_path / 'small.png',
        '--factor',
        2,
        '--model',
        'digits',
        '--device',
        'cpu',
        '--labels',
        3,
        '--num-candidates',
        8,
        '--out',
        tmp_path / 'out',
    )
    images = read(tmp_path / 'out')
    candidates = [image for name, image in images.items() if name.startswith('candidate')]
    assert sum(label == 3 for label in labels_read(candidates)) >= 7
    for image in candidates:
        means = image[..., 0].reshape(4, 2, 4, 2).mean((1, 3))
        assert np.abs(means - np.asarray(small).astype(int)).max() < 6  # pixels are clipped to black and rounded


def write_pictures(folder):
    """Write pictures of many kinds; return the pixels that one sees, (H, W, 3 or 4), by the names of their files."""
    rows, columns = np.mgrid[:768, :1024]
    photo = np.stack([60 + rows // 6, 190 - columns // 8, 60 + (rows + columns) // 14], -1).astype(np.uint8)
    small = photo[::5, ::6]  # 154 x 171 pixels
    exif = Image.Exif()
    exif[0x0112] = 6  # the top is on the right
    Image.fromarray(photo).save(folder / 'turned.jpg', exif=exif)
    grey, alpha = small[..., 0], np.where(small[..., :1] > 120, 255, small[..., :1])
    Image.fromarray(grey).save(folder / 'grey.png')
    Image.fromarray(np.dstack([small, alpha])).save(folder / 'rgba.png')
    cv2.imwrite(str(folder / 'sixteen.png'), small[..., ::-1].astype(np.uint16) * 257)
    indexed = Image.fromarray(small).quantize(16)
    indexed.save(folder / 'palette.gif')
    Image.fromarray(small).convert('CMYK').save(folder / 'cmyk.jpg')
    return {
        'turned.jpg': np.rot90(np.asarray(Image.open(folder / 'turned.jpg')), -1),
        'grey.png': np.dstack([grey] * 3),
        'rgba.png': np.dstack([small, alpha]),
        'sixteen.png': small,
        'palette.gif': np.asarray(indexed.convert('RGB')),
        'cmyk.jpg': np.asarray(Image.open(folder / 'cmyk.jpg').convert('RGB')),
    }


def unclipped(image):
    return ((image > 0) & (image < 255)).all(-1)


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pictures')
    return folder, write_pictures(folder)


PICTURES = ('turned.jpg', 'grey.png', 'rgba.png', 'sixteen.png', 'palette.gif', 'cmyk.jpg')
GREY_AXIS = np.array([0.2989, 0.5870, 0.1140]) / 0.9999


@pytest.fixture(params=PICTURES)
def edited(request, pictures, colour, tmp_path):
    """Return a function that runs a task on a picture: what one sees of it, and the images that were written."""
    folder, seen = pictures
    seen = seen[request.param]

    def run_task(task, *arguments, region='square'):
        if task in WHOLE:
            arguments = [*arguments, '--region', region]
        run(task, '--img', folder / request.param, *colour, *arguments, '--num-candidates', 2, '--out', tmp_path / task)
        images = read(tmp_path / task)
        assert all(images[f'candidate_00{index}'].shape == images['picture'].shape for index in range(2))
        assert region == 'whole' or images['picture'].shape == (8, 8, 3)
        assert not np.array_equal(images['candidate_000'], images['candidate_001']) or task == 'denoise'
        return seen.astype(int), images

    return run_task


@pytest.mark.parametrize('region', ['square', 'whole'])
def test_any_picture_is_filled_in_and_keeps_each_known_pixel(edited, pictures, request, tmp_path, region):
    height, width = pictures[1][request.node.callspec.params['edited']].shape[:2]
    mask = np.zeros((height, width), np.uint8)
    mask[height // 2 :, : width // 2] = 255
    mask[: height // 4, : width // 2] = 128  # soft
    Image.fromarray(mask).save(tmp_path / 'mask.png')
    seen, images = edited('inpaint', '--mask', tmp_path / 'mask.png', '--steps', 4, region=region)
    known = images['mask'][..., 0] == 0
    assert known.any() and np.array_equal(images['candidate_000'][known], images['picture'][known])
    for index in range(2):
        full = images[f'full_size_00{index}']
        assert full.shape == seen.shape
        assert np.array_equal(full[mask == 0], seen[mask == 0])
        drawn = mask == 255
        if region == 'square':
            square, drawn = drawn, np.zeros_like(drawn)
            left, top, side = (width - min(width, height)) // 2, (height - min(width, height)) // 2, min(width, height)
            drawn[top : top + side, left : left + side] = square[top : top + side, left : left + side]
        assert (full[drawn] != seen[drawn]).any(1).mean() > 0.9
        assert seen.shape[2] == 3 or (full[drawn][:, 3] == 255).all()  # what was drawn is not transparent


@pytest.mark.parametrize('region, options', [('square', []), ('whole', ['--side', 12])])
def test_any_picture_is_coloured_and_keeps_its_brightness(edited, region, options):
    seen, images = edited('colorize', '--steps', 4, *options, region=region)
    assert np.ptp(images['known'], axis=2).max() == 0 and np.ptp(images['candidate_000'], axis=2).max() > 10
    for index in range(2):
        candidate, full = images[f'candidate_00{index}'], images[f'full_size_00{index}']
        brightness = candidate @ GREY_AXIS - images['known'][..., 0]
        assert unclipped(candidate).any() and np.abs(brightness[unclipped(candidate)]).max() <= 1.5
        assert full.shape == seen.shape and np.array_equal(full[..., 3:], seen[..., 3:])
        full, seen_colours = full[..., :3], seen[..., :3]
        brightness = (full - seen_colours) @ GREY_AXIS
        assert unclipped(full).mean() > 0.1 and np.abs(brightness[unclipped(full)]).max() <= 1


def test_any_picture_is_surrounded_and_stays_in_the_middle(edited):
    _, images = edited('uncrop', '--share', 0.5, '--steps', 4)
    assert np.array_equal(images['candidate_000'][2:6, 2:6], images['picture'][2:6, 2:6])
    assert not np.array_equal(images['candidate_000'][:2], images['picture'][:2]) and 'full_size_000' not in images


@pytest.mark.parametrize('factor', [2, 4, 8])
def test_any_picture_is_enlarged_and_keeps_the_means_of_its_patches(edited, factor):
    _, images = edited('super-resolve', '--factor', factor, '--steps', 4)

    def patches(image):
        return image.reshape(8 // factor, factor, 8 // factor, factor, 3).swapaxes(1, 2)

    drawn, seen = patches(images['candidate_000']), patches(images['picture'])
    whole = unclipped(drawn).all((2, 3))
    assert np.abs(drawn.mean((2, 3)) - seen.mean((2, 3)))[whole].max(initial=0) <= 1
    assert np.array_equal(images['known'], images['known'][::factor, ::factor].repeat(factor, 0).repeat(factor, 1))


@pytest.mark.parametrize(
    'task, arguments',
    [('stroke', ['--sigmas', 0.0025]), ('variations', ['--sigmas', 0.0025]), ('denoise', ['--sigma', 0.0025])],
)
def test_any_picture_under_next_to_no_noise_stays_what_it_is(edited, task, arguments):
    _, images = edited(task, *arguments)
    assert np.abs(images['candidate_000'] - images['picture']).max() <= 2


def test_any_picture_is_sharpened(edited):
    _, images = edited('deblur', '--kernel', 1, 2, 1, '--steps', 4)
    assert np.abs(images['known'] - images['picture']).max() > 2


def test_sheet_shows_all_of_them(digit, tmp_path):
    picture, mask = digit
    for name in ('a.png', 'b.png'):
        run(
            'inpaint',
            '--img',
            picture,
            '--mask',
            mask,
            '--model',
            'digits',
            '--device',
            'cpu',
            '--labels',
            3,
            5,
            '--num-candidates',
            2,
            '--sigmas',
            80,
            5,
            0.5,
            '--out',
            tmp_path / 'new' / name,
        )
    with Image.open(tmp_path / 'new' / 'a.png') as sheet:
        assert sheet.size == (4 + 5 * 132, 4 + 128 + 16 + 4)  # before, mask, known and two candidates
    assert (tmp_path / 'new' / 'a.png').read_bytes() == (tmp_path / 'new' / 'b.png').read_bytes()


def test_labels_may_be_a_rule(digit, tmp_path):
    def names(*labels):
        out = tmp_path / '_'.join(['out', *labels])
        run(
            'super-resolve',
            '--img',
            digit[0],
            '--factor',
            2,
            '--model',
            'digits',
            '--device',
            'cpu',
            '--steps',
            2,
            *labels,
            '--out',
            out,
        )
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
    Image.fromarray(np.full((64, 64), 99, np.uint8)).save(folder / 'whole.jpg')
    (folder / 'cut.jpg').write_bytes((folder / 'whole.jpg').read_bytes()[:-200])
    (folder / 'huge.png').write_bytes(png_header(30000, 30000))
    inpaint = ['inpaint', '--img', picture, '--mask', mask]
    enlarge = ['super-resolve', '--img', picture, '--factor']
    yield ['inpaint', '--img', picture, '--mask', folder / 'other.png'], 'the mask is of 9 x 8 pixels'
    yield ['inpaint', '--img', picture, '--mask', folder / 'other.png'], '--resize-mask'
    yield ['inpaint', '--img', picture, '--mask', folder / 'black.png'], 'the mask marks nothing'
    yield ['inpaint', '--img', picture, '--mask', folder / 'text.jpg'], 'text.jpg is no image'
    yield ['inpaint', '--img', picture, '--mask', folder / 'huge.png'], 'huge.png has more pixels than can be read'
    yield ['inpaint', '--img', picture, '--mask', folder], 'is a folder'
    yield ['inpaint', '--img', picture], 'required: --mask'
    for task, *arguments in (inpaint[:1] + inpaint[3:], ['colorize'], ['stroke'], ['uncrop', '--share', 0.5]):
        yield [task, '--img', folder / 'empty.png', *arguments], 'is empty'
        yield [task, '--img', folder / 'cut.png', *arguments], 'cannot be decoded'
        yield [task, '--img', folder / 'cut.jpg', *arguments], 'cannot be decoded'
        yield [task, '--img', folder / 'none.png', *arguments], 'there is no image'
        yield [task, '--img', folder / 'huge.png', *arguments], 'huge.png has more pixels than can be read'
        yield [task, '--img', folder / 'text.jpg', *arguments], 'whatever its name says'
        yield [task, '--img', folder, *arguments], 'is a folder: name an image file'
    yield ['stroke', '--img', picture, '--region', 'whole'], 'stroke sees the central square'
    yield ['stroke', '--img', picture, '--side', 8], 'a side is for whole images'
    yield [*inpaint, '--side', 7], 'side has to be an integer from 8 to'
    yield [*inpaint, '--max-calls', 0], 'max_calls'
    yield [*enlarge[:2], folder / 'whole.jpg', '--factor', 4, '--region', 'whole'], 'max_calls (--max-calls) is 20000'
    yield [*enlarge[:2], folder / 'whole.jpg', '--factor', 4, '--side', 99], 'leave it out'
    yield ['stroke', '--img', '~nobody.png'], 'there is no image ~nobody.png'
    yield ['colorize', '--img', picture], 'three channels'
    yield [*enlarge, 3], 'factor 3 does not divide'
    yield [*enlarge, 1], 'integer of at least 2'
    yield [*enlarge, -2], 'integer of at least 2'
    yield [*enlarge, 'two'], 'invalid int value'
    yield [*inpaint, '--labels', 10], 'out of range'
    yield [*inpaint, '--labels', 'eleven'], "no class is called 'eleven'"
    yield [*inpaint, '--num-candidates', 0], 'num_candidates'
    yield [*inpaint, '--seed', 2**80], 'seed'
    yield [*inpaint, '--steps', 0], 'num_steps'
    yield [*inpaint, '--steps', 41], 'num_steps'
    yield [*inpaint, '--steps', 3, '--sigmas', 80], 'not allowed with'
    yield [*inpaint, '--device', 'abacus'], 'no device'
    yield [*inpaint, '--dtype', 'int8'], 'dtype'
    for sigmas in ((1, 2), (-1,), ('nan',), ('inf',), (0,), (80, 'nan', 1)):
        answer = 'each of it a number' if 'nan' in sigmas else 'strictly decrease'
        yield [*inpaint, '--sigmas', *sigmas], answer
        yield ['variations', '--img', picture, '--sigmas', *sigmas], answer
    for share in (0, 1, -0.5, 'nan', 'inf', 2):
        yield ['uncrop', '--img', picture, '--share', share], 'share between 0 and 1'
    for sigma in (0, -1, 'nan', 'inf', 0.001):
        yield ['denoise', '--img', picture, '--sigma', sigma], 'sigma'
    yield ['denoise', '--img', picture, '--sigma', 0.3, '--sigmas', 5, 1], 'have to begin with it, got [5.0, 1.0]'
    for kernel in ((1, 1), ('nan', 1, 1), ('inf', 1, 1), (1e308, 1e308, 1e308), (1, -1, 0), (0,), [1] * 17):
        yield ['deblur', '--img', picture, '--kernel', *kernel], 'weights'
    yield ['deblur', '--img', picture, '--kernel'], 'expected at least one argument'
    yield ['stroke', '--img', picture, '--steps', 3], 'give sigmas'
    yield ['interpolate', '--seeds', 1], 'expected 2 arguments'
    yield ['interpolate', '--labels', 1, 2, 3], '3 labels'
    yield ['interpolate', '-n', 1], 'at least 2'
    yield ['interpolate', '--sigmas', 1, 2], 'strictly decrease'


def test_bad_requests_end_with_one_line_before_the_weights_are_read_or_anything_is_written(
    digit, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr('mmcm.models.ConsistencyModel.load_checkpoint', lambda *_: pytest.fail('read the weights'))
    requests = list(bad_requests(tmp_path, *digit))
    before = set(tmp_path.rglob('*'))
    for argv, answer in requests:
        error = refusal(capsys, *argv, '--model', 'digits', '--out', tmp_path / 'new' / 'folder')
        assert answer in error, (argv, error)
    inpaint = ['inpaint', '--img', digit[0], '--mask', digit[1], '--model', 'digits']
    assert 'no suffix' in refusal(capsys, *inpaint, '--out', tmp_path / 'x.xyz')
    assert 'no suffix' in refusal(capsys, *inpaint, '--out', tmp_path / 'folder', '--steps-out', tmp_path / 'steps')
    assert 'TASK' in refusal(capsys, '--img', digit[0])
    assert set(tmp_path.rglob('*')) == before


@pytest.mark.parametrize('argument', ['--img', '--mask'])
def test_picture_that_says_it_is_huge_is_refused_before_it_is_decoded(digit, tmp_path, capsys, monkeypatch, argument):
    picture, mask = digit
    (tmp_path / 'huge.png').write_bytes(png_header(30000, 30000))
    (tmp_path / 'large.png').write_bytes(png_header(9000, 9000))  # which Pillow alone lets pass
    decode = ImageFile.ImageFile.load
    monkeypatch.setattr(
        ImageFile.ImageFile, 'load', lambda image: decode(image) if image.size == (8, 8) else pytest.fail('decoded')
    )
    for name in ('huge.png', 'large.png'):
        files = {'--img': picture, '--mask': mask, argument: tmp_path / name}
        arguments = [word for pair in files.items() for word in pair]
        assert 'more than 67108864' in refusal(
            capsys, 'inpaint', *arguments, '--model', 'digits', '--out', tmp_path / 'x.png'
        )


@pytest.mark.parametrize('argv', [['--help'], ['colorize', '--help'], ['inpaint']])
def test_help_and_wrong_arguments_do_not_load_torch(argv):
    code = (
        'import sys, mmcm.cli.main\ntry:\n    mmcm.cli.main.main(sys.argv[1:])\n'
        'finally:\n    print("torch" in sys.modules)'
    )
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


@pytest.mark.parametrize(
    'task, arguments, calls',
    [
        ('uncrop', ['--share', 0.75], 39),
        ('deblur', ['--kernel', 1, 2, 1], 39),
        ('stroke', [], 2),
        ('variations', ['--sigmas', 0.8, 0.4, 0.2], 3),
        ('denoise', ['--sigma', 0.3], 1),
    ],
)
def test_every_other_task_draws_a_three(digit, tmp_path, capsys, task, arguments, calls):
    run(
        task,
        '--img',
        digit[0],
        '--model',
        'digits',
        '--device',
        'cpu',
        '--labels',
        3,
        '--num-candidates',
        4,
        *arguments,
        '--steps-out',
        tmp_path / 'steps.png',
        '--out',
        tmp_path / 'out',
    )
    candidates = [image for name, image in read(tmp_path / 'out').items() if name.startswith('candidate')]
    assert labels_read(candidates).count(3) >= 3
    assert f'{calls} network evaluation' in capsys.readouterr().out
    with Image.open(tmp_path / 'steps.png') as sheet:
        assert sheet.size == (4 + calls * 68, 4 + 4 * 68)


def test_strip_leads_from_one_digit_to_another(tmp_path):
    run(
        'interpolate',
        '--seeds',
        4,
        7,
        '--labels',
        3,
        8,
        '-n',
        5,
        '--model',
        'digits',
        '--device',
        'cpu',
        '--out',
        tmp_path / 'out',
    )
    images = read(tmp_path / 'out')
    assert len(images) == 5
    read_as = labels_read([images[name] for name in sorted(images)])
    assert read_as[0] == 3 and read_as[-1] == 8


def test_picture_of_the_user_is_not_replaced(digit, tmp_path, capsys):
    common = ('stroke', '--img', digit[0], '--model', 'digits')
    assert 'file of --img' in refusal(capsys, *common, '--steps-out', digit[0], '--out', tmp_path / 'out.png')
    assert 'file of --out' in refusal(
        capsys, *common, '--steps-out', tmp_path / 'new' / 'out.png', '--out', tmp_path / 'new' / 'out.png'
    )
    assert not (tmp_path / 'new').exists()


@pytest.mark.parametrize('size', [(4, 3), (40, 30), (31, 20)])
def test_mask_of_another_size_is_stretched_when_asked(pictures, colour, tmp_path, size):
    """Its left half is white, so the left half of the picture is drawn, and the right one keeps its pixels."""
    folder, seen = pictures
    seen = seen['sixteen.png']
    mask = np.zeros(size[::-1], np.uint8)
    mask[:, : size[0] // 2] = 255
    Image.fromarray(mask).save(tmp_path / 'mask.png')
    run(
        'inpaint',
        '--img',
        folder / 'sixteen.png',
        '--mask',
        tmp_path / 'mask.png',
        '--resize-mask',
        *colour,
        '--steps',
        4,
        '--num-candidates',
        1,
        '--out',
        tmp_path / 'out',
    )
    full, edge = read(tmp_path / 'out')['full_size_000'], round(seen.shape[1] * (size[0] // 2) / size[0])
    assert np.array_equal(full[:, edge + 1 :], seen[:, edge + 1 :])
    inside = slice((seen.shape[1] - seen.shape[0]) // 2, edge - 1)  # of the central square
    assert (full[:, inside] != seen[:, inside]).any(2).mean() > 0.9


def test_half_precision_may_be_asked_for(digit, tmp_path):
    for dtype in ('float32', 'bfloat16'):
        run(
            'super-resolve',
            '--img',
            digit[0],
            '--factor',
            2,
            '--model',
            'digits',
            '--device',
            'cpu',
            '--labels',
            3,
            '--steps',
            2,
            '--dtype',
            dtype,
            '--out',
            tmp_path / dtype,
        )
    single, half = (read(tmp_path / dtype)['candidate_000_label3'] for dtype in ('float32', 'bfloat16'))
    assert 0 < np.abs(single - half).max() < 30


def test_candidate_that_does_not_fit_the_memory_ends_with_one_line(digit, tmp_path, capsys, monkeypatch):
    def full(*_, **options):
        raise torch.cuda.OutOfMemoryError('out of memory')

    monkeypatch.setattr('mmcm.models.ConsistencyModel.edit', full)
    assert 'not even one image fits' in refusal(
        capsys, 'stroke', '--img', digit[0], '--model', 'digits', '--device', 'cpu', '--out', tmp_path / 'x.png'
    )


def test_what_the_documentation_shows_runs(colour, tmp_path, monkeypatch):
    """With a tiny model in place of the one for photographs, which takes longer."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r'```(\w+)\n(.*?)```', (ROOT / 'docs' / 'editing.md').read_text(encoding='utf-8'), re.DOTALL)
    scripts = {kind: [text for name, text in blocks if name == kind] for kind in ('bash', 'python')}
    exec(compile(scripts['python'][0], 'docs/editing.md', 'exec'), {})
    commands = [line.split()[2:] for line in scripts['bash'][0].splitlines()]
    assert {words[0] for words in commands} == {*TASKS, 'interpolate'}
    for words in commands:
        at = words.index('--model')
        if words[at + 1] == 'photo_patches':
            words[at : at + 2] = colour
        if words[0] == 'super-resolve':  # the tiny model takes 23 times as many tiles
            words += ['--num-candidates', '1']
        run(*words)
        out = tmp_path / words[words.index('--out') + 1]
        assert out.is_file() or any(out.iterdir())


@pytest.mark.parametrize('option', ['--img', '--mask'])
def test_images_are_read_before_a_model_is_found(option, capsys, digit, tmp_path, monkeypatch):
    monkeypatch.setattr('mmcm.cli.edit.build_inferencer', lambda *args, **kwargs: pytest.fail('a model was asked for'))
    images = {'--img': digit[0], '--mask': digit[1], option: tmp_path / 'missing.png'}
    given = [word for pair in images.items() for word in pair]
    assert 'missing.png' in refusal(capsys, 'inpaint', *given, '--model', 'digits', '--out', tmp_path / 'x.png')
