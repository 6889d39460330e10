import json

import cv2
import numpy as np
import pytest

from mmcm.cli.score_edits import main
from support.digits import write_colour_model, write_config
from support.image_folders import files, write_folder


@pytest.fixture
def model(tmp_path):
    return [f'--{name}={value}' for name, value in zip(('model', 'checkpoint'), write_colour_model(tmp_path))]


def run(*arguments):
    """Run the command with few pictures and steps."""
    main([*map(str, arguments), '--num-images', '3', '--num-candidates', '2', '--sigmas', '80', '1', '--device', 'cpu'])


def test_held_out_patches_are_scored_and_shown(model, tmp_path, capsys):
    out, sheets = tmp_path / 'scores' / 'edits.json', tmp_path / 'sheets'
    run(*model, '--out', out, '--sheets', sheets)
    content = json.loads(out.read_text())
    assert list(content['edits']) == ['colorize', 'super-resolve', 'inpaint']
    assert content['num_candidates'] == 2 and content['network_calls'] == 2 and len(content['images']['items']) == 3
    assert files(sheets) == ['colorize.png', 'inpaint.png', 'super-resolve.png']
    assert cv2.imread(str(sheets / 'colorize.png')).shape[0] == 16 + 4 + 3 * (96 + 16 + 4)
    lines = capsys.readouterr().out.splitlines()
    bicubic = content['edits']['super-resolve']['results']['bicubic']
    cells = [
        f'{bicubic[key][part]:.{digits}f}'
        for key, digits in (('psnr', 2), ('pooled_psnr', 2), ('ssim', 4))
        for part in ('mean', 'standard_error')
    ]
    assert 'super-resolve bicubic ' + ' '.join(cells) in [' '.join(line.split()) for line in lines]
    assert lines[-1].startswith('Generated 2 candidates for each of 3 images')


def test_pictures_and_colours_may_be_of_ones_own(model, tmp_path):
    data = write_folder(tmp_path / 'data', 5, size=(20, 24))
    learned = tmp_path / 'learned'
    learned.mkdir()
    cv2.imwrite(str(learned / 'red.png'), np.full((16, 16, 3), (0, 0, 255), np.uint8))
    run(*model, '--data', data, '--learned', learned, '--edits', 'colorize', '--out', tmp_path / 'red.json')
    run(*model, '--data', data, '--learned', data, '--edits', 'colorize', '--out', tmp_path / 'own.json')
    red, own = (json.loads((tmp_path / name).read_text()) for name in ('red.json', 'own.json'))
    results = [content['edits']['colorize']['results'] for content in (red, own)]
    assert red['images'] == own['images'] and red['images']['items'] == [0, 1, 3]
    assert results[0]['mean colour']['psnr']['mean'] < results[1]['mean colour']['psnr']['mean'] - 3
    assert results[0]['candidate'] == results[1]['candidate']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--out', 'scores.txt'], 'has to end in .json, got scores.txt'),
        (['--num-images', '1'], '--num-images has to be an integer of at least 2'),
        (['--factor', '3'], 'factor 3 does not divide the size of the images, 16 x 16'),
        (['--edits', 'sharpen'], 'invalid choice'),
        (['--steps', '3', '--sigmas', '80'], 'not allowed with'),
    ],
)
def test_bad_input_is_refused_in_one_line(model, tmp_path, arguments, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([*model, '--out', str(tmp_path / 'new' / 'scores.json'), '--sheets', str(tmp_path / 'sheets'), *arguments])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert message in error and error.count('\n') == 1
    assert not (tmp_path / 'new').exists() and not (tmp_path / 'sheets').exists()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--edits', 'colorize'], 'images of 1 channel, without colours'),
        (['--data', 'digits'], 'windows of 11 x 11 pixels, got images of 8 x 8'),
    ],
)
def test_grey_or_small_pictures_are_refused_before_weights_are_read(tmp_path, arguments, message, capsys):
    model = ['--model', str(write_config(tmp_path)), '--checkpoint', 'missing.pt', '--out', str(tmp_path / 'a.json')]
    with pytest.raises(SystemExit):
        main([*model, *arguments])
    assert message in capsys.readouterr().err
