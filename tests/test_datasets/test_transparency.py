import pickle

import pytest
from torch.utils.data import DataLoader

from mmcm.datasets import ImageFolder, stack_samples
from mmcm.datasets.transparency import Transparency
from mmcm.utils.errors import InputError
from support.image_folders import write_folder, write_transparent_folder

PIPELINE = [dict(type='LoadImage'), dict(type='PackImage')]


@pytest.fixture
def folder(tmp_path):
    return write_transparent_folder(tmp_path / 'images')


def corner(dataset, index=0):
    return dataset[index]['inputs'][:, 0, 0].tolist()


def test_hidden_colours_are_covered_by_white(folder):
    dataset = ImageFolder(str(folder), PIPELINE)
    assert all(corner(dataset, index) == [255, 255, 255] for index in range(6))
    assert dataset[0]['inputs'][:, 4, 4].tolist() == [255, 0, 0]
    assert dataset.transparency.described() == 'composited 6 of 6 images with transparency on white'


def test_background_is_an_argument_of_the_data_set(folder):
    assert corner(ImageFolder(str(folder), PIPELINE, background='#102030')) == [16, 32, 48]
    hidden = ImageFolder(str(folder), PIPELINE, background='none')
    assert corner(hidden) not in ([255, 255, 255], [0, 0, 0])
    assert 'left out the alpha channel of 1 of 1' in hidden.transparency.described()
    with pytest.raises(InputError, match='background has to be'):
        ImageFolder(str(folder), PIPELINE, background='transparent-ish')


def test_fingerprint_depends_on_the_background(folder):
    backgrounds = ('white', 'black', 'none')
    assert len({ImageFolder(str(folder), PIPELINE, background=each).fingerprint for each in backgrounds}) == 3
    assert (
        ImageFolder(str(folder), PIPELINE).fingerprint
        == ImageFolder(str(folder), PIPELINE, background='white').fingerprint
    )


@pytest.mark.parametrize('context', ['fork', 'spawn'])
def test_what_worker_processes_read_is_counted(folder, context):
    dataset = ImageFolder(str(folder), PIPELINE, flip=True)
    for _ in DataLoader(dataset, 4, num_workers=2, collate_fn=stack_samples, multiprocessing_context=context):
        pass
    assert dataset.transparency.described() == 'composited 6 of 6 images with transparency on white'


def test_data_set_can_be_pickled(folder):
    dataset = pickle.loads(pickle.dumps(ImageFolder(str(folder), PIPELINE, background='black')))
    assert corner(dataset) == [0, 0, 0] and '1 of 1' in dataset.transparency.described()


def test_nothing_is_said_of_opaque_images(tmp_path):
    dataset = ImageFolder(str(write_folder(tmp_path)), PIPELINE)
    assert corner(dataset) and dataset.transparency.described() is None


def test_states_of_other_processes_are_merged():
    ours, theirs = Transparency('white', 5), Transparency('white', 5)
    for transparency, position, hidden in ((ours, 0, True), (ours, 1, False), (theirs, 0, True), (theirs, 4, True)):
        transparency.read(lambda sample, hidden=hidden: sample.update(transparent=hidden), {}, position)
    ours.merge(theirs.states)
    assert ours.described() == 'composited 2 of 3 images with transparency on white'
