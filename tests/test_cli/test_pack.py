import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

from mmcm.cli.pack import main
from mmcm.datasets import DigitsDataset, ImagePack
from support.image_folders import files, write_folder, write_transparent_folder


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / 'images')


def test_command_packs_and_verifies(folder, tmp_path, capsys):
    out = str(tmp_path / 'x.npz')
    main([str(folder), '--size', '4', '--out', out, '--workers', '1'])
    assert 'Packed 20 images, 0 left out' in capsys.readouterr().out
    main(['--verify', out])
    assert 'x.npz is as it was packed: 20 images' in capsys.readouterr().out
    assert ImagePack(out)[0]['inputs'].shape == (3, 4, 4)
    main([out, '--out', str(tmp_path / 'y.npz'), '--options', 'labelled=False', '--workers', '1'])
    assert 'arr_1.npy' not in zipfile.ZipFile(tmp_path / 'y.npz').namelist()


def test_channels_are_chosen(folder, tmp_path):
    size = ['--size', '4,6', '--workers', '1']
    main([str(folder), *size, '--out', str(tmp_path / 'colours.npz')])
    main([str(folder), *size, '--channels', '1', '--out', str(tmp_path / 'grey.npz')])
    colours, grey = (ImagePack(tmp_path / f'{name}.npz').images for name in ('colours', 'grey'))
    assert colours.shape == (20, 3, 4, 6) and grey.shape == (20, 1, 4, 6)
    brightness = (colours.float() * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    assert (grey - brightness).abs().max() <= 0.51  # ITU-R BT.601, rounded
    main([str(tmp_path / 'grey.npz'), '--channels', '3', '--out', str(tmp_path / 'back.npz'), '--workers', '1'])
    assert torch.equal(ImagePack(tmp_path / 'back.npz').images, grey.expand(-1, 3, -1, -1))


def test_command_takes_types_and_configs(tmp_path):
    main(['DigitsDataset', '--options', 'split=test', '--out', str(tmp_path / 'x.npz'), '--workers', '1'])
    assert np.array_equal(ImagePack(tmp_path / 'x.npz').images, DigitsDataset('test').images)
    (tmp_path / 'c.py').write_text("train_dataloader = dict(dataset=dict(type='DigitsDataset', split='train'))")
    main([str(tmp_path / 'c.py'), '--out', str(tmp_path / 'y.npz'), '--workers', '1'])
    assert np.array_equal(ImagePack(tmp_path / 'y.npz').images, DigitsDataset('train').images)


def test_folder_may_be_called_by_a_number(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('2012', '2012.10'):
        write_folder(tmp_path / name, count=len(name))
        main(['ImageFolder', '--options', f'data_root={name}', '--out', 'x.npz', '--workers', '1', '--force'])
        assert len(ImagePack('x.npz')) == len(name)


def test_model_of_the_zoo_means_its_training_data(tmp_path):
    main(['digits', '--out', str(tmp_path / 'x.npz'), '--workers', '1'])
    assert np.array_equal(ImagePack(tmp_path / 'x.npz').images, DigitsDataset().images)


def test_command_lists_what_it_left_out(folder, tmp_path, capsys):
    (folder / 'b' / '003.png').write_bytes(b'no picture')
    main([str(folder), '--out', str(tmp_path / 'x.npz'), '--workers', '1', '--corrupt', 'skip'])
    told = capsys.readouterr().out
    assert 'left out: ' in told and '003.png' in told and 'Packed 19 images, 1 left out' in told


def test_command_names_classes_without_images(folder, tmp_path, capsys):
    (folder / 'aa').mkdir()
    main([str(folder), '--out', str(tmp_path / 'x.npz'), '--workers', '1'])
    assert '1 of 3 classes has no image: aa (1)' in capsys.readouterr().out
    assert set(ImagePack(tmp_path / 'x.npz').labels) == {0, 2}
    for path in (folder / 'b').iterdir():
        path.write_bytes(b'no picture')
    main([str(folder), '--out', str(tmp_path / 'y.npz'), '--workers', '1', '--corrupt', 'skip'])
    assert '2 of 3 classes have no image: aa (1), b (2)' in capsys.readouterr().out
    assert ImagePack(tmp_path / 'y.npz').num_classes == 3


@pytest.mark.parametrize(
    'arguments, match',
    [
        (['--out', 'x.npz'], 'SOURCE and --out are needed'),
        (['images', '--verify', 'x.npz'], '--verify goes alone'),
        (['images', '--out', 'x.zip'], 'x.zip has to end in .npz'),
        (['images', '--out', 'old.npz'], 'old.npz exists: give --force'),
        (['nothing', '--out', 'x.npz'], 'nothing'),
        (['DigitsDataset', '--size', '4', '--out', 'x.npz'], '--size is for images in files'),
        (['ImageFolder', '--size', '4', '--out', 'x.npz'], 'data_root'),
        (['images', '--size', '64x', '--out', 'x.npz'], 'N, for squares, or HEIGHT,WIDTH, in pixels, got .64x.'),
        (['images', '--size', '8,0', '--out', 'x.npz'], 'the width of size has to be an integer from 1 to 8192, got 0'),
        (['PhotoPatches', '--channels', '1', '--out', 'x.npz'], 'PhotoPatches has no pipeline'),
        (['images', '--size', '0', '--out', 'x.npz'], 'size has to be an integer from 1 to 8192, got 0'),
        (['images', '--size', '100000', '--out', 'x.npz'], 'size has to be an integer from 1 to 8192, got 100000'),
        (
            ['SamplingRequests', '--options', 'num_samples=5', '--out', 'x.npz'],
            'SamplingRequests is no data set of images',
        ),
        (['CIFAR10', '--out', 'x.npz'], 'CIFAR10 needs more arguments: add --options data_root=VALUE'),
        (
            ['CIFAR10', '--options', 'data_root=5', '--out', 'x.npz'],
            '5/cifar-10-batches-py/data_batch_1 cannot be read',
        ),
        (['images', '--options', 'pipeline=3', '--out', 'x.npz'], 'pipeline has to be a list of transforms.*got 3'),
        (
            ['cifar10', '--out', 'x.npz'],
            'cifar10 is no data set .*a folder or a zip.*npz.*lmdb.*config.*zoo.*type.*'
            '--options data_root.*nearest: CIFAR10',
        ),
        (['photo.png', '--out', 'x.npz'], 'photo.png is no data set .*name a folder.*type'),
        (['make.py', '--out', 'x.npz'], 'make.py cannot be read as a config: .*A config only has settings in it'),
        (['images', '--workers', '0', '--out', 'x.npz'], 'workers has to be an integer of at least 1'),
        (['images', '--options', 'colour=1', '--out', 'x.npz'], 'colour'),
    ],
)
def test_command_refuses_in_one_line(folder, tmp_path, monkeypatch, capsys, arguments, match):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'old.npz').write_bytes(b'')
    (tmp_path / 'photo.png').write_bytes(b'')
    (tmp_path / 'make.py').write_text("import os\nos.path.join('a', 'b').x.y = 3\n")
    with pytest.raises(SystemExit) as error:
        main(arguments)
    told = capsys.readouterr().err
    assert error.value.code == 2 and told.count('\n') == 1
    assert re.search(match, told), told
    assert files(tmp_path) == ['make.py', 'old.npz', 'photo.png']


def test_full_disk_leaves_nothing(folder, tmp_path):
    code = (
        'import resource, sys\nfrom mmcm.cli.pack import main\n'
        'resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n'
        "main([sys.argv[1], '--size', '64', '--out', sys.argv[2], '--workers', '1'])"
    )
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code, str(folder), str(tmp_path / 'x.npz')],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stdout == '' and done.stderr.count('\n') == 1
    assert 'x.npz cannot be written: File too large' in done.stderr and files(tmp_path) == []


@pytest.mark.parametrize('options, colour', [([], [255, 255, 255]), (['--background', '#102030'], [16, 32, 48])])
def test_transparent_images_are_composited_and_counted(tmp_path, capsys, options, colour):
    folder, out = write_transparent_folder(tmp_path / 'images'), tmp_path / 'x.npz'
    main([str(folder), '--out', str(out), '--workers', '2', *options])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f'composited 6 of 6 images with transparency on {options[1] if options else "white"}'
    pack = ImagePack(out)
    assert len(lines) == 2 and (pack.images[:, :, 0, 0] == torch.tensor(colour)).all()
    assert pack.notes['source'].get('background', 'white') == (options[1] if options else 'white')


def test_background_of_what_is_not_transparent_is_refused(tmp_path, capsys):
    for options, message in (
        (['DigitsDataset', '--background', 'red'], 'DigitsDataset has none'),
        ([str(write_folder(tmp_path / 'i')), '--background', 'rde'], "a colour.*got 'rde'"),
    ):
        with pytest.raises(SystemExit):
            main([*options, '--out', str(tmp_path / 'x.npz'), '--workers', '1'])
        assert re.search(message, capsys.readouterr().err)
