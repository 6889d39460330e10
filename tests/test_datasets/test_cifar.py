import codecs
import collections
import hashlib
import pickle
import struct
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmcm.datasets import CIFAR10, CIFAR100
from mmcm.datasets.class_names import class_names
from mmcm.registry import DATASETS, MODELS
from mmcm.utils.errors import InputError

CONFIGS = Path(__file__).parents[2] / 'configs' / '_base_'
NAMES = [*(f'data_batch_{number}' for number in range(1, 6)), 'test_batch']
PIPELINE = [dict(type='PackImage')]
read = partial(CIFAR10, check_md5=False)  # the files of these tests are not the published ones


class Python2Pickler(pickle._Pickler):
    """Writes what Python 2 and the NumPy of 2009 wrote: byte strings are its `str`, `numpy.core` is public."""

    dispatch = pickle._Pickler.dispatch.copy()

    def save_str(self, content):
        self.write(pickle.BINSTRING + struct.pack('<i', len(content)) + content)

    dispatch[bytes] = save_str


def pickled(content):
    class Stream(list):
        write = list.append

    stream = Stream()
    Python2Pickler(stream, protocol=2).dump(content)
    return b''.join(stream).replace(b'numpy._core.multiarray', b'numpy.core.multiarray')


def batch(number, count=4, order='C'):
    pixels = np.random.RandomState(number).randint(0, 256, (count, 3072)).astype(np.uint8)
    labels = [(number + index) % 10 for index in range(count)]
    return {
        b'batch_label': b'training batch of 5',
        b'labels': labels,
        b'data': np.asarray(pixels, order=order),
        b'filenames': [b'leptodactylus_pentadactylus_s_000004.png'] * count,
    }


@pytest.fixture
def root(tmp_path):
    """Return a folder with the six files, in the format of the published ones, of 4 images each."""
    (tmp_path / 'cifar-10-batches-py').mkdir()
    for number, name in enumerate(NAMES):
        (tmp_path / 'cifar-10-batches-py' / name).write_bytes(pickled(batch(number)))
    return tmp_path


def replace(root, content, name='data_batch_3'):
    (root / 'cifar-10-batches-py' / name).write_bytes(content)
    return str(root)


def test_files_of_these_tests_are_such_as_python_2_wrote(root):
    content = (root / 'cifar-10-batches-py' / 'data_batch_1').read_bytes()
    assert content.startswith(b'\x80\x02') and b'cnumpy.core.multiarray\n_reconstruct\n' in content
    assert b'_codecs' not in content and b'T\x0b\x00\x00\x00batch_label' in content
    read = pickle.loads(content, encoding='bytes')
    assert np.array_equal(read[b'data'], batch(0)[b'data'])


def test_images_come_in_the_order_of_the_files(root):
    dataset = read(str(root))
    assert len(dataset) == 20 and dataset.num_classes == 10 and len(dataset.metainfo['classes']) == 10
    for index in (0, 6, 19):
        number, position = divmod(index, 4)
        expected = batch(number)
        sample = dataset[index]
        assert sample['inputs'].shape == (3, 32, 32) and sample['inputs'].dtype == torch.uint8
        assert np.array_equal(sample['inputs'].flatten(), expected[b'data'][position])
        assert sample['gt_label'] == expected[b'labels'][position] == dataset.labels[index]


def test_split_chooses_the_files(root):
    dataset = read(str(root), split='test')
    assert dataset.labels.tolist() == batch(5)[b'labels']
    assert np.array_equal(dataset.images.flatten(1), batch(5)[b'data'])


def test_array_stored_by_columns_is_the_same(root):
    expected = read(str(root))
    dataset = read(replace(root, pickled(batch(2, order='F'))))
    assert torch.equal(dataset.images, expected.images)


def test_mirror_images_follow_the_images(root):
    dataset, plain = read(str(root), flip=True), read(str(root))
    assert len(dataset) == 40 and dataset.labels.tolist() == 2 * plain.labels.tolist()
    for index in range(20):
        assert torch.equal(dataset[index]['inputs'], plain[index]['inputs'])
        assert torch.equal(dataset[20 + index]['inputs'], plain[index]['inputs'].flip(2))
    assert torch.equal(dataset[-1]['inputs'], dataset[39]['inputs'])
    with pytest.raises(IndexError):
        dataset[40]


def test_pipeline_gets_what_mmcv_would_read(root):
    plain, packed = read(str(root), flip=True), read(str(root), flip=True, pipeline=PIPELINE)
    for index in (3, 30):
        assert torch.equal(packed[index]['inputs'], plain[index]['inputs'])
        assert packed[index]['gt_label'] == plain[index]['gt_label']


def test_base_configs_fit_each_other(root):
    config = Config.fromfile(CONFIGS / 'datasets' / 'cifar10_32x32.py').train_dataloader.dataset
    dataset = DATASETS.build({**config, 'data_root': str(root), 'check_md5': False})
    assert len(dataset) == 40 and config.data_root == 'data/cifar10'
    config = Config.fromfile(CONFIGS / 'models' / 'adm_cifar10-32x32.py').model.denoiser.backbone
    with torch.device('meta'):
        backbone = MODELS.build(config)
        images = torch.empty(2, *dataset[0]['inputs'].shape)
        assert backbone(images, torch.empty(2)).shape == images.shape
    assert backbone.num_classes is dataset.num_classes is None


def test_images_without_classes_have_none(root):
    dataset = read(str(root), labelled=False)
    assert dataset.num_classes is None and dataset.labels is None and dataset[0]['gt_label'] is None


def test_digests_of_the_files_are_checked(root, monkeypatch):
    with pytest.raises(InputError, match='data_batch_1 is not the published file: its MD5 is .*, not c99cafc1'):
        CIFAR10(str(root))
    digests = {name: hashlib.md5(pickled(batch(number))).hexdigest() for number, name in enumerate(NAMES[:5])}
    monkeypatch.setitem(CIFAR10.splits, 'train', digests)
    assert len(CIFAR10(str(root))) == 20


@pytest.mark.parametrize('size', [0, 1, 40, 3000, -1])
def test_truncated_file_is_refused(root, size):
    with pytest.raises(InputError, match='data_batch_3 is no whole pickle'):
        read(replace(root, pickled(batch(2))[:size]))


@pytest.mark.parametrize('content', [b'\x89PNG\r\n', b'<html>not found</html>', b'\x1f\x8b\x08' + bytes(9)])
def test_file_of_another_kind_is_refused(root, content):
    with pytest.raises(InputError, match='data_batch_3 is no whole pickle'):
        read(replace(root, content))


@pytest.mark.parametrize('protocol', [0, 1, 2, 3, 4])
def test_batch_that_python_3_wrote_is_the_same(root, protocol):
    content = pickle.dumps(batch(2), protocol)
    assert (b'_codecs' in content) == (protocol < 3)
    assert torch.equal(read(replace(root, content)).images[8:12].flatten(1), torch.from_numpy(batch(2)[b'data']))


class Code:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('protocol', [0, 2, 4, 5])
def test_code_in_a_file_is_refused_and_not_run(root, tmp_path, protocol):
    content = pickle.dumps({**batch(2), b'labels': Code(eval, f'open({str(tmp_path / "run")!r}, "w")')}, protocol)
    with pytest.raises(InputError, match='more than arrays .*nothing in it was run'):
        read(replace(root, content))
    assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(
    'value',
    [
        collections.OrderedDict(),
        np.float64(1.0),
        getattr,
        np.load,
        Code(np.ndarray.__reduce__, np.zeros(1)),
        Code(codecs.encode, 'a', 'rot13'),
        Code(codecs.encode, b'a', 'latin1'),
        Code(codecs.decode, b'a', 'latin1'),
    ],
)
def test_other_classes_and_functions_are_refused(root, value):
    with pytest.raises(InputError, match='more than arrays'):
        read(replace(root, pickled({b'labels': value})))


@pytest.mark.parametrize(
    'content',
    [
        b'c_codecs\nencode\n(dX\x08\x00\x00\x00encodingX\x01\x00\x00\x00xsb.',  # sets attributes of what it imports
        b'c_codecs\nencode\nN}X\x07\x00\x00\x00__new__Ns\x86b.',
        b'c_codecs\nencode\n(X\x01\x00\x00\x00atR.',
    ],
)
def test_what_stands_for_codecs_cannot_be_changed_or_called_otherwise(root, content):
    with pytest.raises(InputError, match='no whole pickle'):
        read(replace(root, content))
    test_batch_that_python_3_wrote_is_the_same(root, 2)


def test_arrays_of_other_things_than_bytes_are_refused(root):
    for values in (np.zeros((4, 3072)), np.array([[None]]), np.array(['a'])):
        with pytest.raises(InputError, match='no whole pickle|more than arrays'):
            read(replace(root, pickled({**batch(2), b'data': values})))


def test_array_that_says_too_much_of_its_size_is_refused(root):
    content = pickled(batch(2))
    assert content.count(b'K\x04M\x00\x0c\x86') == 1  # the shape, (4, 3072)
    with pytest.raises(InputError, match='no whole pickle'):
        read(replace(root, content.replace(b'K\x04M\x00\x0c\x86', b'K\x05M\x00\x0c\x86')))


@pytest.mark.parametrize(
    'change, match',
    [
        ({b'data': np.zeros((4, 3071), np.uint8)}, 'is no batch of CIFAR-10'),
        ({b'data': [1, 2, 3]}, 'is no batch of CIFAR-10'),
        ({b'labels': None}, 'is no batch of CIFAR-10'),
        ({b'labels': [1, 2, 3]}, 'has 4 images and 3 labels'),
        ({b'labels': [1, 2, 3, 10]}, 'one from 0 to 9'),
        ({b'labels': [1, 2, 3, -1]}, 'one from 0 to 9'),
        ({b'labels': [1, 2, 3, b'4']}, 'one from 0 to 9'),
        ({b'labels': [1, 2, 3, True]}, 'one from 0 to 9'),
    ],
)
def test_batch_that_does_not_fit_is_refused(root, change, match):
    with pytest.raises(InputError, match=f'data_batch_3 .*{match}'):
        read(replace(root, pickled({**batch(2), **change})))


def test_pickle_of_no_dict_is_refused(root):
    with pytest.raises(InputError, match='is no batch'):
        read(replace(root, pickled([1, 2])))


def test_missing_files_are_told_with_their_place_and_their_page(root, tmp_path):
    (root / 'cifar-10-batches-py' / 'data_batch_4').unlink()
    match = 'data_batch_4 cannot be read: No such file.*python version .*cs.toronto.edu.*folder cifar-10-batches-py'
    with pytest.raises(InputError, match=match):
        read(str(root))


def test_unknown_split_is_refused(root):
    with pytest.raises(InputError, match="one of train, test, got 'val'"):
        read(str(root), split='val')


@pytest.fixture
def root100(tmp_path):
    """Return a folder with the files of CIFAR-100, of 6 images each."""
    (tmp_path / 'cifar-100-python').mkdir()
    for number, name in enumerate(('train', 'test')):
        (tmp_path / 'cifar-100-python' / name).write_bytes(pickled(batch100(number)))
    return tmp_path


def batch100(number):
    content = batch(number, 6)
    labels = content.pop(b'labels')
    fine, coarse = ([label + shift for label in labels] for shift in (90, 10))
    return {**content, b'fine_labels': fine, b'coarse_labels': coarse}


@pytest.mark.parametrize('split, number', [('train', 0), ('test', 1)])
@pytest.mark.parametrize('labels, key, num_classes', [('fine', b'fine_labels', 100), ('coarse', b'coarse_labels', 20)])
def test_cifar100_has_two_kinds_of_labels(root100, split, number, labels, key, num_classes):
    dataset = CIFAR100(str(root100), split, labels, check_md5=False)
    assert dataset.labels.tolist() == batch100(number)[key] and dataset.num_classes == num_classes
    assert np.array_equal(dataset.images.flatten(1), batch100(number)[b'data'])
    assert len(set(dataset.metainfo['classes'])) == num_classes


def test_names_of_cifar100_are_sorted_as_its_labels_are(root100):
    classes = CIFAR100(str(root100), check_md5=False).metainfo['classes']
    assert list(classes) == sorted(classes) and classes[0] == 'apple' and classes[99] == 'worm'


def test_base_config_of_cifar100_fits(root100):
    config = Config.fromfile(CONFIGS / 'datasets' / 'cifar100_32x32.py')
    dataset = DATASETS.build({**config.train_dataloader.dataset, 'data_root': str(root100), 'check_md5': False})
    assert len(dataset) == 12 and len(class_names(config.class_names)) == 100


def test_cifar100_refuses_what_does_not_fit(root100):
    with pytest.raises(InputError, match='train is not the published file: its MD5 is .*, not 16019d7e'):
        CIFAR100(str(root100))
    with pytest.raises(InputError, match="labels has to be one of fine, coarse, got 'both'"):
        CIFAR100(str(root100), labels='both')
    path = root100 / 'cifar-100-python' / 'train'
    path.write_bytes(pickled({**batch100(0), b'coarse_labels': [20] * 6}))
    with pytest.raises(InputError, match='one from 0 to 19'):
        CIFAR100(str(root100), labels='coarse', check_md5=False)
    assert len(CIFAR100(str(root100), check_md5=False)) == 6
    path.unlink()
    with pytest.raises(InputError, match='version of CIFAR-100 .*folder cifar-100-python with train, test'):
        CIFAR100(str(root100))
