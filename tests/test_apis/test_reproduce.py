import json

import cv2
import numpy as np
import pytest
import torch

from mmcm.apis import ConsistencyModelInferencer
from mmcm.apis.reproduce import reproduce, resolve_recorded
from mmcm.apis.sampling.bulk import sample_to_files
from mmcm.utils.errors import InputError
from mmcm.utils.provenance import AFTER_HEADER, read_png, with_record
from support.digits import build, write_config


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Return a folder with every kind of PNG that samples are written to."""
    folder = tmp_path_factory.mktemp('made')
    inferencer = ConsistencyModelInferencer('digits')
    outs = [folder / 'grid.png', folder / 'many']
    sample_to_files(inferencer, outs, 5, 'balanced', 3, batch_size=2, columns=2, num_steps=2)
    result = inferencer(labels=[3, 1, 4], seed=[5, 6, 2**63], clip=False, sigmas=(80.0, 2.0))
    result.save(folder / 'sheet.png', 2)
    result.save(folder / 'single')
    return folder


def quiet(line):
    pass


def without_record(content):
    """Return a PNG without its first text chunk, and that record."""
    size = 12 + int.from_bytes(content[AFTER_HEADER : AFTER_HEADER + 4], 'big')
    text = content[AFTER_HEADER + 8 : AFTER_HEADER + size - 4].split(b'\0', 1)[1]
    return content[:AFTER_HEADER] + content[AFTER_HEADER + size :], json.loads(text)


def changed(path, out, **changes):
    """Write the PNG at `path` to `out`, with entries of its record changed."""
    content, record = without_record(path.read_bytes())
    out.write_bytes(with_record(content, {**record, **changes}))
    return out


@pytest.mark.parametrize('name', ['grid.png', 'many/00000/img00000003.png', 'sheet.png', 'single/000001_label1.png'])
def test_picture_is_made_again_byte_for_byte(folder, name):
    made = reproduce(folder / name, note=quiet)
    assert made.same_bytes and made.content == (folder / name).read_bytes()
    assert (made.max_difference, made.num_different, made.changes) == (0, 0, [])


def test_other_pixels_and_versions_are_reported(folder, tmp_path):
    content, record = without_record((folder / 'sheet.png').read_bytes())
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    pixels[0, :3] -= 7
    cv2.imwrite(str(tmp_path / 'x.png'), pixels)
    old = with_record((tmp_path / 'x.png').read_bytes(), {**record, 'versions': {**record['versions'], 'torch': '1.0'}})
    (tmp_path / 'x.png').write_bytes(old)
    made = reproduce(tmp_path / 'x.png', note=quiet)
    assert (made.same_bytes, made.max_difference, made.num_different) == (False, 7, 3)
    assert made.changes == [f'torch {torch.__version__} here, 1.0 in the record']


def test_other_weights_are_reported(folder, tmp_path):
    path = changed(folder / 'sheet.png', tmp_path / 'x.png', weights='0' * 64)
    (change,) = reproduce(path, note=quiet).changes
    assert change.startswith('weights ') and change.endswith(f'{"0" * 64} in the record')


def test_model_of_the_user_takes_the_place_of_the_recorded_one(tmp_path):
    torch.save(build().denoiser.backbone.state_dict(), tmp_path / 'tiny.pt')
    config, weights = str(write_config(tmp_path)), str(tmp_path / 'tiny.pt')
    ConsistencyModelInferencer(config, weights)(2).save(tmp_path / 'x.png')
    with pytest.raises(InputError, match="names the model 'tiny.p.*name it yourself"):
        reproduce(tmp_path / 'x.png', note=quiet)
    assert reproduce(tmp_path / 'x.png', config, weights, note=quiet).same_bytes


def test_config_that_a_record_names_is_never_run(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('evil.py', 'ct_1xb32_digits-8x8', 'ct_1xb32_digits-8x8.py'):
        (tmp_path / name).write_text("open('ran', 'w')\nmodel = dict(type='ConsistencyModel')\n")
    for model in ('evil.py', './evil.py', str(tmp_path / 'evil.py'), 'evil'):
        path = changed(folder / 'sheet.png', tmp_path / 'x.png', model=model)
        with pytest.raises(InputError, match='name it yourself'):
            reproduce(path, note=quiet)
    for model in ('digits', 'ct_1xb32_digits-8x8', 'ct_1xb32_digits-8x8.py'):  # ours, whatever lies here
        path = changed(folder / 'sheet.png', tmp_path / 'x.png', model=model, checkpoint='digits')
        assert reproduce(path, note=quiet).max_difference == 0
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('name', ['https://example.org/net.pth', 'someone/net', 'net.pth', '/etc/passwd', '.', ''])
def test_addresses_hubs_and_missing_files_are_for_the_user_to_name(name):
    with pytest.raises(InputError, match='name it yourself'):
        resolve_recorded(name)


def test_model_is_shown_before_it_is_downloaded(folder, tmp_path, monkeypatch):
    path = changed(folder / 'sheet.png', tmp_path / 'x.png', model='cd_imagenet64_l2', checkpoint='cd_imagenet64_l2')
    lines = []

    def refuse(*arguments, **options):
        raise InputError(f'nothing is downloaded in tests; {len(lines)} lines before')

    monkeypatch.setattr('mmcm.checkpoints.checkpoint.resolve_checkpoint', refuse)
    with pytest.raises(InputError, match='2 lines before'):
        reproduce(path, note=lines.append, cache_dir=tmp_path)
    assert lines[0] == 'Model of x.png: cd_imagenet64_l2' and lines[1].startswith('Downloading https://')


@pytest.mark.parametrize(
    ('name', 'changes', 'reason'),
    [
        ('sheet.png', dict(num_images=10**6), 'too few for the 1000000 images'),
        ('many/00000/img00000003.png', dict(index=5), 'image 5 of 5'),
        ('many/00000/img00000003.png', dict(index=None), 'image None of 5'),
        ('sheet.png', dict(sampler=dict(type='MultistepSampler', sigmas=[1.0, 2.0])), 'strictly decrease'),
        ('sheet.png', dict(labels=[11]), '11'),
        ('sheet.png', dict(seed=[1]), '1'),
        ('sheet.png', dict(model=None), 'names no model'),
    ],
)
def test_record_that_does_not_fit_is_refused(folder, tmp_path, name, changes, reason):
    with pytest.raises(InputError, match=reason):
        reproduce(changed(folder / name, tmp_path / 'x.png', **changes), note=quiet)


def test_picture_without_a_record_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / 'x.png'), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(InputError, match='no record of what made it'):
        reproduce(tmp_path / 'x.png', note=quiet)
    with pytest.raises(InputError, match='No such file'):
        reproduce(tmp_path / 'missing.png', note=quiet)


def test_damaged_picture_is_refused(folder, tmp_path):
    (tmp_path / 'x.png').write_bytes((folder / 'sheet.png').read_bytes()[:-60])
    with pytest.raises(InputError, match='x.png'):
        reproduce(tmp_path / 'x.png', note=quiet)


def test_archives_have_the_record_beside_their_origin(folder):
    notes = json.loads((folder / 'many' / 'origin.json').read_text())
    single = read_png(folder / 'many' / '00000' / 'img00000003.png')
    assert {**notes['mmcm-provenance'], 'writer': 'grid-image', 'index': 3} == single
