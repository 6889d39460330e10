import io
import json
import multiprocessing
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from PIL import Image
from torch.utils.data import DataLoader

from mmcm.datasets import ImageFolder, stack_samples
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from support.named_pipes import written_pipe

CONFIGS = Path(__file__).parents[2] / 'configs' / 'edm'
PIPELINE = [dict(type='LoadImage'), dict(type='PackImage')]


def write_image(path, colour, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new('RGB', size, colour).save(path)


@pytest.fixture
def folder(tmp_path):
    """Return a folder of three classes, whose images are uniformly grey, and a file that is none."""
    write_image(tmp_path / 'n02' / 'b.png', (200, 200, 200))
    write_image(tmp_path / 'n02' / 'a.JPEG', (100, 100, 100))
    write_image(tmp_path / 'n10' / 'part' / 'c.jpg', (150, 150, 150))
    write_image(tmp_path / 'n01' / 'd.png', (50, 50, 50))
    (tmp_path / 'n01' / 'notes.txt').write_text('not an image')
    return tmp_path


def test_classes_are_the_sorted_names_of_the_subfolders(folder):
    dataset = ImageFolder(str(folder), PIPELINE)
    assert dataset.metainfo['classes'] == ('n01', 'n02', 'n10')
    assert [dataset[index]['gt_label'] for index in range(len(dataset))] == [0, 1, 1, 2]


def test_images_come_in_the_order_of_their_paths(folder):
    dataset = ImageFolder(str(folder), PIPELINE)
    images = torch.stack([dataset[index]['inputs'] for index in range(len(dataset))])
    assert images.shape == (4, 3, 4, 6) and images.dtype == torch.uint8
    assert images.float().mean((1, 2, 3)).tolist() == [50, 100, 200, 150]


def test_images_without_classes_may_lie_anywhere(folder):
    write_image(folder / 'loose.png', (0, 0, 0))
    dataset = ImageFolder(str(folder), PIPELINE, labelled=False)
    assert [dataset[index]['gt_label'] for index in range(len(dataset))] == [None] * 5
    assert dataset.metainfo['classes'] == ()


@pytest.mark.parametrize('name, size', [('edm_8xb512_imagenet1k-64x64', 64), ('edm_8xb32_LSUN-cat-256x256', 256)])
def test_shipped_configs_give_the_model_rgb(tmp_path, name, size):
    write_image(tmp_path / 'n01' / 'red.png', (255, 0, 0), size=(size + 9, size))
    config = Config.fromfile(CONFIGS / f'{name}.py')
    pipeline = config.train_dataloader.dataset.pipeline
    preprocessor = MODELS.build(config.model.get('data_preprocessor', dict(type='ImagePreprocessor')))
    inputs = preprocessor(dict(inputs=[ImageFolder(str(tmp_path), pipeline)[0]['inputs']]))['inputs']
    assert torch.equal(inputs, torch.tensor([1.0, -1, -1]).view(1, 3, 1, 1).expand(1, 3, size, size))


def test_images_beside_the_classes_are_refused_where_they_are_as_many(folder):
    for name in ('loose', 'more', 'other'):
        write_image(folder / f'{name}.png', (0, 0, 0))
    with pytest.raises(InputError, match='loose.png lies in no subfolder'):
        ImageFolder(str(folder), PIPELINE)


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match='there is no data folder .*nowhere'):
        ImageFolder(str(tmp_path / 'nowhere'), PIPELINE)


def test_folder_without_images_is_refused(tmp_path):
    (tmp_path / 'notes.txt').write_text('not an image')
    with pytest.raises(InputError, match='holds no images .*put them there, or name the folder or the zip'):
        ImageFolder(str(tmp_path), PIPELINE)


def png(level, size=(6, 4)):
    file = io.BytesIO()
    Image.new('RGB', size, (level,) * 3).save(file, 'PNG')
    return file.getvalue()


def write_zip(path, files, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, 'w', method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return str(path)


FILES = {
    '00000/b.png': png(20),
    '00000/a.png': png(10),
    '00001/c.png': png(30),
    'notes.txt': b'no image',
    '__MACOSX/00000/._a.png': b'',
    '00000/._a.png': b'',
}


def levels(dataset):
    return [dataset[index]['inputs'].unique().item() for index in range(len(dataset))]


@pytest.mark.parametrize('method', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zip_file_is_read_as_the_folder_would_be(tmp_path, method):
    dataset = ImageFolder(write_zip(tmp_path / 'a.zip', FILES, method), PIPELINE)
    assert levels(dataset) == [10, 20, 30] and dataset.labels.tolist() == [0, 0, 1]
    assert dataset.metainfo['classes'] == ('00000', '00001')
    assert dataset.source_of(1) == f'{tmp_path}/a.zip/00000/b.png'


def test_zip_file_may_be_larger_than_its_first_format_knew(tmp_path):
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
        for name, content in FILES.items():
            with archive.open(name, 'w', force_zip64=True) as entry:
                entry.write(content)
    assert levels(ImageFolder(str(tmp_path / 'a.zip'), PIPELINE)) == [10, 20, 30]


@pytest.mark.parametrize('way, workers', [('fork', 2), ('spawn', 1)])  # spawning takes seconds
def test_processes_read_a_zip_file_at_once(tmp_path, way, workers):
    files = {f'{index % 5}/{index:03d}.png': png(index) for index in range(120)}
    dataset = ImageFolder(write_zip(tmp_path / 'a.zip', files, zipfile.ZIP_DEFLATED), PIPELINE)
    expected = levels(dataset)  # this process has opened the file, too
    loader = DataLoader(
        dataset,
        8,
        num_workers=workers,
        collate_fn=stack_samples,
        multiprocessing_context=multiprocessing.get_context(way),
    )
    found = torch.cat([batch['inputs'][:, 0, 0, 0] for batch in loader]).tolist()
    assert found == expected and sorted(found) == list(range(120))


def test_reading_does_not_move_others_about_in_an_open_zip_file(tmp_path):
    files = {'00000/a.png': png(10), 'notes.txt': bytes(10**6), '00000/c.png': png(30)}  # more than a buffer holds
    dataset = ImageFolder(write_zip(tmp_path / 'a.zip', files), PIPELINE)
    dataset[0]
    place = os.lseek(dataset.files._file.fileno(), 0, os.SEEK_CUR)  # which processes share after a fork
    dataset[1]
    assert os.lseek(dataset.files._file.fileno(), 0, os.SEEK_CUR) == place


def test_pickled_data_set_reads_on(tmp_path):
    dataset = ImageFolder(write_zip(tmp_path / 'a.zip', FILES), PIPELINE)
    assert levels(pickle.loads(pickle.dumps(dataset))) == levels(dataset) == [10, 20, 30]


@pytest.fixture(params=['folder', 'zip'])
def place(request, tmp_path):
    """Return a function that writes files to a folder or a zip file and returns it."""

    def write(files):
        if request.param == 'zip':
            return write_zip(tmp_path / 'data.zip', files)
        for name, content in files.items():
            (tmp_path / 'data' / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / 'data' / name).write_bytes(content)
        return str(tmp_path / 'data')

    return write


def with_labels(labels):
    return {**FILES, 'dataset.json': json.dumps(dict(labels=labels)).encode()}


def test_labels_of_the_file_beside_the_images_count(place):
    root = place(with_labels([['00001/c.png', 0], ['00000/b.png', 6], ['00000/a.png', 2]]))
    dataset = ImageFolder(root, PIPELINE, flip=True)
    assert dataset.labels.tolist() == [2, 6, 0] * 2 and dataset.num_classes == 7
    assert dataset[1]['gt_label'] == 6 and dataset[4]['gt_label'] == 6


@pytest.mark.parametrize(
    'content, message',
    [
        (b'{"labels": [["00000/a.png", 1], [', 'no list of labels'),
        (b'[1, 2]', 'no list of labels'),
        (b'{"labels": {"00000/a.png": 1}}', 'no list of labels'),
        (b'\xff\xfe', 'no list of labels'),
        (b'{"labels": null}', 'no labels: set labelled=False'),
        (b'{"labels": [["00000/a.png", null], ["00000/b.png", null], ["00001/c.png", null]]}', 'no labels'),
        (b'{"labels": [["00000/a.png", 0], ["00000/b.png", null], ["00001/c.png", 1]]}', 'gives 00000/b.png no label'),
        (b'{"labels": [["00000/a.png", 0], ["00000/b.png", -1], ["00001/c.png", 1]]}', 'the label -1'),
        (b'{"labels": [["00000/a.png", 0], ["00000/b.png", 1.5], ["00001/c.png", 1]]}', 'the label 1.5'),
        (
            b'{"labels": [["00000/a.png", 0], ["00000/b.png", 1000000], ["00001/c.png", 1]]}',
            'gives 00000/b.png the label 1000000: an integer from 0 to 999999 is expected',
        ),
        (
            b'{"labels": [["00000/a.png", 0], ["00000/b.png", 99999999999999999999], ["00001/c.png", 1]]}',
            'gives 00000/b.png the label 99999999999999999999',
        ),
        (b'{"labels": [["00000/a.png", 0], ["00000/b.png", true], ["00001/c.png", 1]]}', 'the label True'),
        (b'{"labels": [["00000/a.png", 0], ["00000/b.png", "dog"], ["00001/c.png", 1]]}', "the label 'dog'"),
        (b'{"labels": [["00000/a.png", 0], ["00000/b.png", 1]]}', 'leaves out 1 of 3 images, 00001/c.png first'),
        (
            b'{"labels": [["00000/a.png", 0], ["00000/b.png", 1], ["00001/c.png", 1], ["00001/d.png", 1]]}',
            'names 1 images that are not there, among them 00001/d.png',
        ),
        (b'{"labels": [["00000/a.png", 0], ["00000/a.png", 1], ["00000/b.png", 1], ["00001/c.png", 1]]}', 'twice'),
    ],
)
def test_labels_that_do_not_fit_the_images_are_refused(place, content, message):
    root = place({**FILES, 'dataset.json': content})
    with pytest.raises(InputError, match=f'dataset.json .*{message}'):
        ImageFolder(root, PIPELINE)
    assert len(ImageFolder(root, PIPELINE, labelled=False)) == 3


def test_class_may_be_what_the_file_name_begins_with(place):
    root = place({'dog_1.png': png(1), 'cat_2_3.png': png(2), 'b_/dog_4.png': png(3)})
    dataset = ImageFolder(root, PIPELINE, classes_from='file_name')
    assert dataset.metainfo['classes'] == ('cat', 'dog')
    assert dict(zip(levels(dataset), dataset.labels.tolist())) == {1: 1, 2: 0, 3: 1}


def test_file_name_without_a_class_is_refused(place):
    with pytest.raises(InputError, match='fish.png has no underscore in its name'):
        ImageFolder(place({'dog_1.png': png(1), 'fish.png': png(2)}), PIPELINE, classes_from='file_name')


def test_unknown_way_of_telling_classes_is_refused(folder):
    with pytest.raises(InputError, match="classes_from has to be one of folder, file_name, got 'suffix'"):
        ImageFolder(str(folder), PIPELINE, classes_from='suffix')


def test_zip_file_without_images_is_refused(tmp_path):
    with pytest.raises(InputError, match='a.zip holds no images'):
        ImageFolder(write_zip(tmp_path / 'a.zip', {'notes.txt': b''}), PIPELINE)


def test_file_that_is_no_zip_is_refused(tmp_path):
    (tmp_path / 'a.zip').write_bytes(b'not a zip')
    with pytest.raises(InputError, match='a.zip cannot be read as a zip file'):
        ImageFolder(str(tmp_path / 'a.zip'), PIPELINE)
    (tmp_path / 'a.tar').write_bytes(b'')
    with pytest.raises(InputError, match='a.tar is neither a folder nor a .zip'):
        ImageFolder(str(tmp_path / 'a.tar'), PIPELINE)


def test_truncated_zip_file_is_refused(tmp_path):
    path = Path(write_zip(tmp_path / 'a.zip', FILES))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match='a.zip cannot be read as a zip file'):
        ImageFolder(str(path), PIPELINE)


@pytest.mark.parametrize('method', [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_damaged_entry_is_told_by_its_name(tmp_path, method):
    path = Path(write_zip(tmp_path / 'a.zip', {'a.png': bytes(range(256)) * 9, 'b.png': png(5)}, method))
    content = bytearray(path.read_bytes())
    content[60:70] = bytes(10)
    path.write_bytes(content)
    dataset = ImageFolder(str(path), PIPELINE, labelled=False)
    with pytest.raises(InputError, match='a.zip/a.png (cannot be decoded|cannot be read|is damaged)'):
        dataset[0]
    assert dataset[1]['inputs'].unique().item() == 5


def test_other_compression_is_refused_at_once(tmp_path):
    with pytest.raises(InputError, match='other means than deflate'):
        ImageFolder(write_zip(tmp_path / 'a.zip', FILES, zipfile.ZIP_LZMA), PIPELINE)


def test_fingerprint_follows_the_images(place):
    first = ImageFolder(place(FILES), PIPELINE)
    assert first.fingerprint == ImageFolder(first.files.root, PIPELINE).fingerprint
    others = [
        ImageFolder(first.files.root, [*PIPELINE[:1], dict(type='CenterCropToSquare', size=2), *PIPELINE[1:]]),
        ImageFolder(first.files.root, PIPELINE, flip=True),
    ]
    before = first.fingerprint
    others.append(ImageFolder(place({**FILES, '00001/c.png': png(31, size=(7, 4))}), PIPELINE))
    assert len({before, *(other.fingerprint for other in others)}) == 4


def test_fingerprint_tells_folders_apart_whose_files_have_equal_names_sizes_and_times(tmp_path, monkeypatch):
    for level, name in ((1, 'x'), (2, 'y')):  # as an archive without times leaves them
        write_image(tmp_path / name / 'a.bmp', (level,) * 3)
        os.utime(tmp_path / name / 'a.bmp', (0, 0))
    prints = [ImageFolder(str(tmp_path / name), PIPELINE, labelled=False).fingerprint for name in 'xy']
    assert prints[0] != prints[1]
    monkeypatch.chdir(tmp_path)
    assert ImageFolder('x', PIPELINE, labelled=False).fingerprint == prints[0]


def test_fingerprint_of_a_zip_file_is_of_what_is_in_it(tmp_path):
    prints = [
        ImageFolder(write_zip(tmp_path / name, files), PIPELINE).fingerprint
        for name, files in (('x.zip', FILES), ('y.zip', FILES), ('z.zip', {**FILES, '00001/c.png': png(31)}))
    ]
    assert prints[0] == prints[1] != prints[2]


def test_link_to_a_folder_above_it_is_refused(folder):
    (folder / 'n01' / 'up').symlink_to(folder)
    with pytest.raises(InputError, match='up cannot be read: Too many levels of symbolic links'):
        ImageFolder(str(folder), PIPELINE)


def test_corrupt_image_among_many_is_named_when_it_is_read(folder):
    (folder / 'n02' / 'c.jpg').write_bytes((folder / 'n02' / 'a.JPEG').read_bytes()[:300])
    dataset = ImageFolder(str(folder), PIPELINE)
    assert len(dataset) == 5
    with pytest.raises(InputError, match=r'n02/c\.jpg cannot be decoded, it is damaged'):
        levels(dataset)


def test_links_are_followed_and_hidden_files_are_not_images(folder):
    (folder / 'n03').symlink_to(folder / 'n01')
    (folder / 'n01' / '._d.png').write_text('of another system')
    assert ImageFolder(str(folder), PIPELINE).metainfo['classes'] == ('n01', 'n02', 'n03', 'n10')


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='named pipes')
def test_pipes_in_a_folder_are_refused(folder):
    with written_pipe(folder / 'n02' / 'c.png', (folder / 'n02' / 'b.png').read_bytes()):
        dataset = ImageFolder(str(folder), PIPELINE)
        with pytest.raises(InputError, match=r'c\.png cannot be read: it is no plain file'):
            dataset[3]
    with (
        written_pipe(folder / 'dataset.json', b'{"labels": null}'),
        pytest.raises(InputError, match=r'dataset\.json cannot be read: it is no plain file'),
    ):
        ImageFolder(str(folder), PIPELINE)
