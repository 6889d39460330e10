import functools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from mmcm.datasets.digits import DigitsDataset
from mmcm.registry import MODELS
from mmcm.visualization.grids import GAP
from support.browser import Page, chromium

pytest.importorskip('gradio')

ROOT = Path(__file__).parents[2]
LABEL = '7'
DIGIT, MNIST = 8, 28  # pixels of a side
GREY = (127, 128)  # what is unknown
ORIENTATION, TO_THE_RIGHT = 274, 6  # of EXIF


def written(server):
    """Return what a server has written outside its temporary folder."""
    below = [path for folder in server.folders for path in folder.rglob('*')]
    return [path for path in below if not path.relative_to(server.tmp.parent).parts[1].startswith('mmcm-web-')] + list(
        (ROOT / 'mmcm').rglob('*.pyi')
    )


def small(picture, size=DIGIT):
    """Return a picture that was enlarged by a whole number, (size, size): the middle of each of its pixels."""
    step = picture.shape[0] // size
    assert picture.shape == (size * step, size * step, 3)
    return picture[step // 2 :: step, step // 2 :: step, 0].astype(int)


def tiles(sheet, columns, size):
    """Return the pictures of `size` pixels on a sheet of one row, enlarged as there."""
    side = (sheet.shape[1] - GAP) // columns - GAP
    assert side % size == 0
    return [sheet[GAP : GAP + side, GAP + index * (side + GAP) :][:, :side] for index in range(columns)]


def read_digits(images):
    """Return which digits a classifier that comes with the package sees, in images (N, 28, 28)."""
    weights = 'package:weights/mnist_classifier.safetensors'
    classifier = MODELS.build(dict(type='DigitsClassifier', image_size=MNIST, checkpoint=weights))
    classifier.init_weights()
    classifier.eval()
    pixels = torch.from_numpy(np.stack(images)).to(torch.uint8)[:, None]
    with torch.no_grad():
        return classifier.extract(pixels).logits.argmax(1).tolist()


def value(page, selector):
    """Return what an input holds."""
    return page.one(selector).get_attribute('value')


def look_at_what_the_tabs_open_with(page):
    for tab, pictures in (('Sample', 1), ('Edit', 4), ('Interpolate', 1), ('Compare', 3)):
        page.tab(tab)
        page.opened(f'[id^={tab.lower()}-][id$=words]')
        assert all(np.ptp(picture) > 100 for picture in page.pictures('.sheet', pictures))
        page.screenshot(f'open_{tab.lower()}')
    page.tab('Edit')
    assert value(page, '#edit-model input') == 'photo_patches'
    assert not page.all('#edit-picture .empty')


def draw_digits_of_a_class(page):
    page.tab('Sample')
    page.choose('#sample-label input', LABEL)
    page.enter('#sample-count input[type=number]', '10')
    assert '10 images' in page.press('#sample-run', '#sample-words')
    page.screenshot('sample')
    (sheet,) = page.pictures('#sample-sheet')
    digits = [small(tile, MNIST) for tile in tiles(sheet, 10, MNIST)]
    assert all(np.ptp(digit) > 100 for digit in digits)
    assert len({digit.tobytes() for digit in digits}) == 10
    assert read_digits(digits).count(int(LABEL)) >= 9  # on the average, 0.96 of them


def take_example(page, kind):
    """Press the button of an example, and wait until it is on the canvas."""
    assert value(page, '#edit-label input') == 'random'
    page.one(f'#edit-example-{kind}').click()
    page.waiting.until(
        lambda driver: value(page, '#edit-label input') != 'random' and not page.all('#edit-picture .empty')
    )
    page.waiting.until(lambda driver: page.one('#edit-picture .zoom-number').text == '78%')


def inpaint_what_was_painted(page):
    page.tab('Edit')
    page.choose('#edit-model input', 'digits')
    page.waiting.until(lambda driver: page.all('#edit-label'))
    take_example(page, 'handwritten')
    # In the browser the picture has 400 pixels, 50 for each of its own. Paint covers most of its lower half.
    rows = (((-160, y), (160, y), (160, y + 20), (-160, y + 20)) for y in range(40, 160, 40))
    page.drag('#edit-picture canvas', *(point for row in rows for point in row))
    page.screenshot('edit_painted')
    assert '4 images' in page.press('#edit-run', '#edit-words')
    page.screenshot('edit')
    seen, known = map(small, page.pictures('#edit-known', 2))
    candidates = np.stack([small(picture) for picture in page.pictures('#edit-gallery', 4)])
    digit = DigitsDataset('test')[0]
    assert page.one('#edit-label input').get_attribute('value') == str(digit['gt_label'])
    np.testing.assert_array_equal(seen, digit['inputs'][0])
    kept, painted = known == seen, np.isin(known, GREY)
    assert kept[:4].all()
    assert painted[5:7, 1:7].all()
    np.testing.assert_allclose(candidates[:, kept], np.broadcast_to(seen, candidates.shape)[:, kept], atol=1)
    assert np.abs(candidates - seen)[:, painted].max() > 20


def inpaint_a_photograph_that_was_turned(page, folder):
    exif = Image.Exif()
    exif[ORIENTATION] = TO_THE_RIGHT
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((1024, 768)).save(folder / 'photo.jpg', exif=exif)
    page.one('#edit-picture button[aria-label="Clear canvas"]').click()
    page.driver.find_element(page.css, '#edit-picture input[type=file]').send_keys(str(folder / 'photo.jpg'))
    page.waiting.until(lambda driver: page.one('#edit-picture .zoom-number').text == '39%')
    page.drag('#edit-picture canvas', (-100, 20), (100, 20))
    page.enter('#edit-count input[type=number]', '1')
    page.press('#edit-run', '#edit-words')
    page.driver.execute_script('window.scrollTo(0, document.body.scrollHeight)')
    page.screenshot('edit_photo')
    (result,) = page.pictures('#edit-pasted')
    photo = np.asarray(ImageOps.exif_transpose(Image.open(folder / 'photo.jpg'))).astype(int)
    assert result.shape == photo.shape == (1024, 768, 3)
    changed = np.abs(result - photo).max(2) > 2  # browsers decode JPEG files a little differently
    rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
    assert rows[0] > 512 and rows[-1] < 650 and len(columns) > 400
    assert changed[rows[0] : rows[-1], columns[0] : columns[-1]].mean() > 0.8


def look_at_interpolation_and_comparison(page):
    page.tab('Interpolate')
    page.press('#interpolate-run', '#interpolate-words')
    page.screenshot('interpolate')
    assert all(np.ptp(picture) > 100 for picture in page.pictures('#interpolate-sheet'))
    page.tab('Compare')
    page.press('#compare-run', '[id^=compare-][id$=-words]')
    page.screenshot('compare')
    assert all(np.ptp(picture) > 100 for picture in page.pictures('.sheet', 2))


def switch_models(page, models, tab, classes, default_class):
    """What can be chosen follows the model of a tab that draws with one."""

    def shown(steps, has_classes):
        page.waiting.until(
            lambda driver: (
                value(page, f'#{tab}-steps input[type=number]') == steps and bool(page.all(classes)) == has_classes
            )
        )

    page.tab(tab.title())
    shown('1', True)
    page.choose(f'#{tab}-model input', 'colour')
    shown('2', False)
    page.choose(f'#{tab}-model input', 'slow')
    shown('9', True)
    assert value(page, f'{classes} input') == default_class
    page.choose(f'#{tab}-model input', 'digits')
    shown('1', True)
    page.press(f'#{tab}-run', f'#{tab}-words')


def switch_models_to_compare(page, models):
    def shown(steps, has_classes):
        page.waiting.until(
            lambda driver: (
                value(page, '#compare-steps input[type=number]') == steps
                and bool(page.all('#compare-label')) == has_classes
            )
        )

    page.tab('Compare')
    shown('5', True)
    page.choose('#compare-diffusion-model input', 'slow')
    shown('9', True)
    page.choose('#compare-model input', 'colour')
    shown('5', False)
    assert value(page, '#compare-diffusion-model input') == 'diffusion'
    page.choose('#compare-model input', 'named')
    shown('5', True)
    page.choose('#compare-label input', '7 seven')
    page.press('#compare-run', '[id^=compare-][id$=-words]')
    page.screenshot('compare_switched')


def stop_an_edit(page, models):
    page.tab('Edit')
    page.choose('#edit-task input', 'Variations')
    page.choose('#edit-model input', 'slow')
    page.waiting.until(lambda driver: page.all('#edit-label'))
    take_example(page, 'sample')
    page.enter('#edit-steps input', '100')
    page.one('#edit-run').click()
    page.waiting.until(lambda driver: 'Sampling: step' in page.one('#edit-words').text)
    page.one('#edit-stop').click()
    page.waiting.until(lambda driver: page.one('#edit-words').text == 'Stopped.')
    for _ in range(20):  # no step that was on its way comes after it
        assert page.one('#edit-words').text == 'Stopped.'
        time.sleep(0.1)


def be_told_of_a_large_photograph(page, folder):
    pixels = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / 'large.jpg', quality=30)
    assert (folder / 'large.jpg').stat().st_size < 1 << 20
    page.one('#edit-picture button[aria-label="Clear canvas"]').click()
    page.driver.find_element(page.css, '#edit-picture input[type=file]').send_keys(str(folder / 'large.jpg'))
    assert 'too large: the limit is 1 MB' in page.one('#refused').text
    page.screenshot('refused')
    page.one('#refused').click()
    assert not page.all('#refused')


def again_if_the_browser_hangs(test):
    """Run a test once more if Chromium, which draws the canvas in software here, no longer answers the driver."""

    @functools.wraps(test)
    def run(tmp_path, **fixtures):
        from urllib3.exceptions import HTTPError  # which comes with the driver

        for number in (1, 2):
            folder = tmp_path / str(number)
            folder.mkdir()
            try:
                return test(tmp_path=folder, **fixtures)
            except HTTPError:
                if number == 2:
                    raise

    return run


@pytest.mark.slow
@again_if_the_browser_hangs
def test_visitor_with_many_models_and_a_bad_day(tmp_path, start_server, models):
    server = start_server(tmp_path, '--max-upload-mb', 1, '--model', *vars(models).values())
    with chromium(tmp_path / 'chromium') as driver:
        server.wait_for_pictures()
        driver.get(server.url)
        page = Page(driver, tmp_path / 'screenshots')
        for tab in ('Sample', 'Edit', 'Interpolate', 'Compare'):
            page.tab(tab)
            page.opened(f'[id^={tab.lower()}-][id$=words]')
        switch_models(page, models, 'sample', '#sample-label', 'balanced')
        switch_models(page, models, 'interpolate', '#interpolate-last-label', '2 hen')
        switch_models_to_compare(page, models)
        stop_an_edit(page, models)
        assert page.errors() == []
        be_told_of_a_large_photograph(page, tmp_path)
    assert server.end(signal.SIGINT) == 0
    assert server.output == ''


@pytest.mark.slow
@again_if_the_browser_hangs
def test_page_draws_and_edits_and_asks_nobody_else(tmp_path, start_server):
    server = start_server(tmp_path)
    with chromium(tmp_path / 'chromium') as driver:
        server.wait_for_pictures()
        driver.get(server.url)
        page = Page(driver, tmp_path / 'screenshots')
        look_at_what_the_tabs_open_with(page)
        draw_digits_of_a_class(page)
        inpaint_what_was_painted(page)
        inpaint_a_photograph_that_was_turned(page, tmp_path)
        look_at_interpolation_and_comparison(page)
        assert page.asked() == {'127.0.0.1'}
        assert page.links() <= {'127.0.0.1'}
        assert page.errors() == []
        assert written(server) == []
    assert server.end(signal.SIGINT) == 0
    assert server.output == ''


@pytest.mark.slow
def test_same_page_needs_no_network(tmp_path):
    alone = ['unshare', '--net', '--map-root-user']
    if shutil.which('unshare') is None or subprocess.run([*alone, 'true'], capture_output=True).returncode:
        pytest.skip('processes cannot be cut off from the network here')
    environment = {name: value for name, value in os.environ.items() if not name.startswith('PYTEST_')}
    test = f'{__file__}::{test_page_draws_and_edits_and_asks_nobody_else.__name__}'
    options = ['-m', '', '-p', 'no:cacheprovider', '--basetemp', str(tmp_path / 'inner')]
    done = subprocess.run(
        [*alone, sys.executable, 'tests/support/offline.py', test, *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '1 passed' in done.stdout
