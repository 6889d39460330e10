import io
import json
import os
import tracemalloc
import zipfile

import pytest
from PIL import Image

from mmcm.datasets import ImageFolder
from mmcm.datasets.formats.image_archive import open_archive
from mmcm.utils.errors import InputError
from support.zip_programs import PROGRAMS, zipped_by

PIPELINE = [dict(type='LoadImage'), dict(type='PackImage')]


def png(level):
    file = io.BytesIO()
    Image.new('RGB', (6, 4), (level,) * 3).save(file, 'PNG')
    return file.getvalue()


FRUIT = {'apple/0.png': png(1), 'Äpfel/0.png': png(2), 'cherry/b/1.png': png(4), 'cherry/a.png': png(3)}


@pytest.fixture
def told(monkeypatch):
    """Return the lines of the log, while they are written."""
    lines = []
    monkeypatch.setattr('mmcm.datasets.image_files.log_warning', lambda text, *_: lines.append(text))
    return lines


@pytest.fixture(params=['folder', 'zip'])
def place(request, tmp_path):
    """Return a function that writes files, and folders without any, to a folder or a zip file, and returns it."""

    def write(files, folders=()):
        if request.param == 'zip':
            with zipfile.ZipFile(tmp_path / 'data.zip', 'w') as archive:
                for name, content in {**{f'{name}/': b'' for name in folders}, **files}.items():
                    archive.writestr(name, content)
            return str(tmp_path / 'data.zip')
        for name in folders:
            (tmp_path / 'data' / name).mkdir(parents=True)
        for name, content in files.items():
            (tmp_path / 'data' / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / 'data' / name).write_bytes(content)
        return str(tmp_path / 'data')

    return write


def read(root, **options):
    """Return the names of the classes, and the label of each level of grey."""
    dataset = ImageFolder(str(root), PIPELINE, **options)
    levels = [dataset[index]['inputs'].unique().item() for index in range(len(dataset))]
    return dataset.metainfo['classes'], dict(zip(levels, [] if dataset.labels is None else dataset.labels.tolist()))


@pytest.mark.parametrize('name', PROGRAMS)
def test_archives_of_all_programs_are_read_alike(name, tmp_path):
    (tmp_path / 'a.zip').write_bytes(zipped_by(PROGRAMS[name], FRUIT, ['banana']))
    assert zipfile.ZipFile(tmp_path / 'a.zip').testzip() is None  # they are zip files
    assert read(tmp_path / 'a.zip') == (('apple', 'banana', 'cherry', 'Äpfel'), {1: 0, 3: 2, 4: 2, 2: 3})
    assert read(tmp_path / 'a.zip') == read(tmp_path / 'a.zip')


@pytest.mark.parametrize('name', PROGRAMS)
def test_labels_of_archives_of_all_programs_are_found(name, tmp_path):
    labels = [['apple/0.png', 3], ['Äpfel/0.png', 1], ['./cherry\\b/1.png', 0], ['cherry/a.png', 2]]
    files = {f'fruit/{key}': value for key, value in FRUIT.items()}
    files['fruit/dataset.json'] = json.dumps(dict(labels=labels)).encode()
    (tmp_path / 'a.zip').write_bytes(zipped_by(PROGRAMS[name], files))
    assert read(tmp_path / 'a.zip')[1] == {1: 3, 2: 1, 4: 0, 3: 2}


def test_classes_without_images_keep_their_numbers(place):
    files = {'apple/0.png': png(1), 'cherry/0.png': png(2), 'beet/0.heic': b'x', 'cherry/notes.txt': b'x'}
    assert read(place(files, ['banana'])) == (('apple', 'banana', 'beet', 'cherry'), {1: 0, 2: 3})


def test_files_that_are_left_out_are_counted_in_one_line(place, told):
    others = dict.fromkeys(['b/0.heic', 'b/1.HEIC', 'b/readme', 'a/.hidden'], b'x')
    root = place({'a/0.png': png(1), 'b/1.png': png(2), **others})
    read(root)
    assert len(told) == 1 and root in told[0]
    assert 'left out 3 files that are no image of a format that is read (.heic 2, no suffix 1), b/0.heic' in told[0]
    assert 'have to be converted' in told[0]


@pytest.mark.parametrize(
    'suffix, form', [('.jfif', 'JPEG'), ('.JPE', 'JPEG'), ('.dib', 'BMP'), ('.apng', 'PNG'), ('.TIF', 'TIFF')]
)
def test_suffixes_of_the_same_formats_are_read(place, suffix, form):
    file = io.BytesIO()
    Image.new('RGB', (6, 4), (9, 9, 9)).save(file, form)
    assert read(place({'a/0.png': png(1), f'b/0{suffix}': file.getvalue(), 'c/0.png': png(3)}))[1] == {1: 0, 9: 1, 3: 2}


def test_names_do_not_steer_a_terminal_nor_fill_a_line(place, told):
    read(place({'a/0.png': png(1), 'b/\x1b[2J.heic': b'x', 'c/' + 'x' * 240 + '.heic': b'x', 'd/e.a\rb': b'x'}))
    assert 'b/\\x1b[2J.heic first' in told[0] and told[0].isprintable() and len(told[0]) < 500


LITTER = [
    '.DS_Store',
    'Thumbs.db',
    'desktop.ini',
    'Icon\r',
    '__MACOSX/a/._0.png',
    '__MACOSX/0.png',
    '@eaDir/0.png',
    'a/@eaDir/0.png',
    '.ipynb_checkpoints/0.png',
    '._cover.png',
    '$RECYCLE.BIN/0.png',
    'a/._0.png',
]


def test_what_systems_leave_behind_is_neither_class_nor_image_nor_counted(place, told):
    root = place({**dict.fromkeys(LITTER, b'x'), 'a/0.png': png(1), 'b/0.png': png(2)})
    assert read(root) == (('a', 'b'), {1: 0, 2: 1})
    assert told == []


@pytest.mark.parametrize('around', ['fruit/', 'data/fruit/', './x\\'])
def test_folders_around_the_classes_are_looked_through(tmp_path, around, told):
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
        for name, content in {'b/0.png': png(1), 'c/0.png': png(2), 'empty/': b''}.items():
            info = zipfile.ZipInfo()
            info.filename = around + name
            archive.writestr(info, content)
        archive.writestr('README.txt', b'')
    dataset = ImageFolder(str(tmp_path / 'a.zip'), PIPELINE)
    assert dataset.metainfo['classes'] == ('b', 'c', 'empty') and dataset.labels.tolist() == [0, 1]
    inner = around.replace('./', '').replace('\\', '/')
    assert f'the classes are those in {inner}' in told[0]
    assert (
        dataset.source_of(1) == f'{tmp_path}/a.zip/{inner}c/0.png'
        and len(ImageFolder(str(tmp_path / 'a.zip'), PIPELINE, labelled=False)) == 2
    )


@pytest.mark.parametrize(
    'files, classes',
    [
        (['only/0.png', 'only/1.png'], ('only',)),
        (['only/part/0.png', 'only/part/1.png'], ('only',)),
        (['only/0.png', 'only/1.png', 'only/a/1.png', 'only/b/2.png'], ('only',)),
        (['all/0.png', 'all/a/1.png', 'all/b/2.png'], ('a', 'b')),
        (['all/a/0.png', 'all/b/1.png'], ('a', 'b')),
    ],
)
def test_a_single_class_is_no_folder_around_classes(place, files, classes):
    assert read(place({name: png(index) for index, name in enumerate(files)}))[0] == classes


def test_few_images_beside_the_classes_are_left_out_and_told(place, told):
    root = place({'a/0.png': png(1), 'b/0.png': png(2), 'cover.png': png(3)})
    assert read(root) == (('a', 'b'), {1: 0, 2: 1})
    assert 'left out 1 image beside the folders of classes (cover.png), which labelled=False' in told[0]
    assert sorted(read(root, labelled=False)[1]) == [] and len(ImageFolder(root, PIPELINE, labelled=False)) == 3


def test_many_images_beside_the_classes_are_refused(place):
    root = place({'a/0.png': png(1), 'b/0.png': png(2), '0.png': png(3), '1.png': png(4)})
    with pytest.raises(InputError, match=r'/0.png lies in no subfolder.*and so do 1 others: .*set labelled=False'):
        read(root)


def test_order_is_that_of_code_points_as_text(place, told):
    names = ['10', '2', '1', 'Zoo', 'ant', 'été', 'Ant']
    files = {f'{name}/0.png': png(index) for index, name in enumerate(names)}
    assert read(place(files))[0] == ('1', '10', '2', 'Ant', 'Zoo', 'ant', 'été')
    assert 'the classes Ant, ant differ in upper and lower case alone' in told[0]


@pytest.mark.parametrize(
    'names, remark',
    [
        (['1', '2', '10'], 'sorted as text (1, 10, 2), so that 1 is class 0'),
        (['0', '1', '2'], None),
        (['00000', '00001'], None),
        (['train', 'val'], 'look like parts of a data set'),
    ],
)
def test_odd_names_of_classes_are_told(place, names, remark, told):
    read(place({f'{name}/0.png': png(index) for index, name in enumerate(names)}))
    assert remark in told[0] if remark else told == []


def test_later_entries_of_a_name_count(tmp_path, told):
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
        for name, level in (('a/0.png', 1), ('b/0.png', 2), ('./a/0.png', 3)):
            info = zipfile.ZipInfo()
            info.filename = name
            archive.writestr(info, png(level))
    assert read(tmp_path / 'a.zip')[1] == {3: 0, 2: 1}
    assert '1 of its entries are replaced by later ones of the same name' in told[0]


def test_entry_that_leads_out_of_the_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
        archive.writestr('a/../../b/0.png', png(1))
    with pytest.raises(InputError, match=r"a\.zip cannot be read as a zip file: 'a/\.\./\.\./b/0.png' leads out of it"):
        open_archive(tmp_path / 'a.zip', '')


def test_names_of_many_folders_take_no_more_memory_than_they_have_bytes(tmp_path):
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
        for index in range(20):
            archive.writestr('a/' * 30_000 + f'{index}.png', bytes(1000))
    tracemalloc.start()
    files = open_archive(tmp_path / 'a.zip', '')
    files.look_through()
    assert files.prefix == '' and len(files.images().names) == 20
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 2**20  # the names have 1.2 MB, all paths of folders above them 18 GB


def test_link_in_an_archive_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
        info = zipfile.ZipInfo('a/0.png')
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, '../b/0.png')
    with pytest.raises(InputError, match=r'a/0\.png in .*a\.zip is a link, not an image: .*zip without -y'):
        ImageFolder(str(tmp_path / 'a.zip'), PIPELINE)


def test_names_in_any_normal_form_of_unicode_are_one_class(tmp_path):
    for folder in ('e\u0301te\u0301', '\u00e9t\u00e9'):
        os.makedirs(tmp_path / folder)
    (tmp_path / 'e\u0301te\u0301' / '0.png').write_bytes(png(1))
    (tmp_path / '\u00e9t\u00e9' / '1.png').write_bytes(png(2))
    (tmp_path / 'z').mkdir()
    (tmp_path / 'z' / '0.png').write_bytes(png(3))
    assert read(tmp_path) == (('z', '\u00e9t\u00e9'), {3: 0, 1: 1, 2: 1})


def test_names_of_files_of_other_formats_keep_the_number_of_their_class(place):
    files = {'ant_0.png': png(1), 'bee_0.heic': b'x', 'cat_0.png': png(2), 'labels_v2.txt': b'x'}
    assert read(place(files), classes_from='file_name') == (('ant', 'bee', 'cat'), {1: 0, 2: 2})


@pytest.mark.parametrize('extra, way', [('a/9.png', 'get them'), ('a/9.heic', 'save them in a format that is read')])
def test_labels_of_images_that_are_not_read_are_refused(place, extra, way):
    labels = json.dumps(dict(labels=[['a/0.png', 1], [extra, 0]])).encode()
    with pytest.raises(InputError, match=f'names 1 images that are not there, among them {extra}: {way}'):
        read(place({'a/0.png': png(1), 'a/9.heic': b'x', 'dataset.json': labels}))
