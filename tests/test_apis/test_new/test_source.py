import numpy as np
import pytest
from PIL import Image

from mmcm.apis.new.inspection import inspect_images
from mmcm.apis.new.source import Source, chosen_size, packed, pays_to_pack, unpacked
from mmcm.datasets import ImagePack
from mmcm.utils.errors import InputError
from support.own_pictures import write_deep_grey, write_flawed, write_icons, write_photo_crops


def look(source):
    dataset = source.found()
    return dataset, inspect_images(dataset, 'white')


def test_subfolders_are_classes_unless_there_is_one_or_as_many_as_images(tmp_path):
    assert Source(str(write_icons(tmp_path / 'a', 6, 16))).found().num_classes == 3
    assert Source(str(write_icons(tmp_path / 'b', 3, 16))).found().num_classes is None
    assert Source(str(write_flawed(tmp_path / 'c', 3)[0])).found().num_classes is None
    assert Source(str(tmp_path / 'b'), classes='folders').found().num_classes == 3
    assert Source(str(tmp_path / 'a'), classes='none').found().num_classes is None


def test_classes_may_come_from_file_names(tmp_path):
    folder = write_deep_grey(tmp_path, 4)
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f'{"ab"[number % 2]}_{number}.png')
    assert Source(str(folder), classes='names').found().metainfo['classes'] == ('a', 'b')


def test_size_follows_the_files_and_fits_a_network(tmp_path):
    folder = write_photo_crops(tmp_path, 3, (50, 80))
    source = Source(str(folder))
    assert chosen_size(source, *look(source)) == (48, 48)
    wide = Source(str(folder), (32, 48))
    assert chosen_size(wide, *look(wide)) == (32, 48)
    odd = Source(str(folder), (50, 50))
    with pytest.raises(InputError, match='--size 48'):
        chosen_size(odd, *look(odd))


def test_size_of_a_pack_is_its_own(tmp_path):
    np.savez(tmp_path / 'x.npz', np.zeros((4, 16, 24, 3), np.uint8))
    source = Source(str(tmp_path / 'x.npz'))
    assert chosen_size(source, *look(source)) == (16, 24)
    other = Source(str(tmp_path / 'x.npz'), (8, 8))
    with pytest.raises(InputError, match='have 16 x 24 pixels'):
        chosen_size(other, *look(other))
    data = unpacked(source, *[look(source)[0], (16, 24), look(source)[1]])
    assert data.config['data_file'] == str((tmp_path / 'x.npz').absolute()) and not data.encoded


def test_packing_pays_where_it_takes_little_time_and_disk(tmp_path):
    dataset, _ = look(Source(str(write_photo_crops(tmp_path, 3, (16, 16)))))
    assert pays_to_pack(dataset, (16, 16), 10.0, 100.0, tmp_path / 'new' / 'folder')
    assert not pays_to_pack(dataset, (16, 16), 30.0, 100.0, tmp_path)
    assert not pays_to_pack(dataset, (2**24, 2**24), 1.0, 100.0, tmp_path)


def test_pack_has_the_classes_and_leaves_broken_files_out(tmp_path):
    folder, (_, _, broken) = write_flawed(tmp_path / 'images', 4)
    source = Source(str(folder), (16, 16), classes='folders')
    _, findings = look(source)
    data, left_out = packed(source, (16, 16), findings, tmp_path / 'x.npz', 1)
    assert str(broken) in left_out[0] and data.num_images == 6
    assert len(ImagePack(tmp_path / 'x.npz')) == 6 and data.classes == ('flower',)


def test_colours_that_a_sample_missed_are_kept(tmp_path, monkeypatch):
    folder = write_deep_grey(tmp_path / 'images', 4)
    source = Source(str(folder), (16, 16))
    _, findings = look(source)
    write_photo_crops(folder, 2, (16, 16))
    findings.num_images = 6  # as if a sample had seen four grey images
    assert findings.channels == 1 and not findings.is_complete
    data, left_out = packed(source, (16, 16), findings, tmp_path / 'x.npz', 1)
    assert (data.channels, data.num_images, left_out) == (3, 6, [])


def test_pack_of_the_same_images_is_taken_and_another_file_is_kept(tmp_path, monkeypatch):
    folder, _ = write_flawed(tmp_path / 'images', 4)
    source, out = Source(str(folder), (16, 16)), tmp_path / 'x.npz'
    _, findings = look(source)
    first = packed(source, (16, 16), findings, out, 1)
    time = out.stat().st_mtime_ns
    assert packed(source, (16, 16), findings, out, 1) == first and out.stat().st_mtime_ns == time
    with pytest.raises(InputError, match='exists: give --force'):
        packed(source, (8, 8), findings, out, 1)
    assert packed(source, (8, 8), findings, out, 1, force=True)[0].size == (8, 8)


def test_pack_is_made_again_when_a_file_has_changed(tmp_path):
    folder, _ = write_flawed(tmp_path / 'images', 4)
    source, out = Source(str(folder), (16, 16)), tmp_path / 'x.npz'
    packed(source, (16, 16), look(source)[1], out, 1)
    before = ImagePack(out, labelled=False)[0]['inputs']
    changed = min(path for path in folder.rglob('*') if path.is_file())
    Image.new('RGB', (20, 20), 'red').save(changed)
    with pytest.raises(InputError, match='exists: give --force'):
        packed(source, (16, 16), look(source)[1], out, 1)
    packed(source, (16, 16), look(source)[1], out, 1, force=True)
    assert not (ImagePack(out, labelled=False)[0]['inputs'] == before).all()


def test_grey_images_of_which_one_is_broken_stay_grey(tmp_path):
    folder = write_deep_grey(tmp_path / 'images', 4)
    source = Source(str(folder), (16, 16))
    _, findings = look(source)
    (folder / 'zz.png').write_bytes(b'no image')
    findings.num_images = 5  # as if a sample had seen four of them
    data, left_out = packed(source, (16, 16), findings, tmp_path / 'x.npz', 1)
    assert (data.channels, data.num_images, len(left_out)) == (1, 4, 1)
    assert ImagePack(tmp_path / 'x.npz', labelled=False)[0]['inputs'].shape[0] == 1


def test_classes_none_is_for_all_data_and_others_for_data_with_labels(tmp_path):
    folder = tmp_path / 'photos.py'
    folder.write_text("train_dataloader = dict(dataset=dict(type='PhotoPatches'))")
    assert Source(str(folder), classes='none').config() == dict(type='PhotoPatches')
    with pytest.raises(InputError, match='--classes folders is not for a PhotoPatches'):
        Source(str(folder), classes='folders').config()


def test_pack_with_one_class_is_read_without_it(tmp_path):
    np.savez(tmp_path / 'x.npz', np.zeros((4, 16, 16, 3), np.uint8), np.zeros(4, np.int64))
    source = Source(str(tmp_path / 'x.npz'))
    dataset, findings = look(source)
    data = unpacked(source, dataset, (16, 16), findings)
    assert data.classes == () and not data.config['labelled']
