import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from pictures import files, write_folder

from mmcm.cli.pack import main
from mmcm.datasets import DigitsDataset, ImagePack


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / 'images')


def test_command_packs_and_verifies(folder, tmp_path, capsys):
    out = str(tmp_path / 'x.npz')
    main([str(folder), '--size', '4', '--out', out, '--jobs', '1'])
    assert 'Packed 20 images, 0 left out' in capsys.readouterr().out
    main(['--verify', out])
    assert 'x.npz is as it was packed: 20 images' in capsys.readouterr().out
    assert ImagePack(out)[0]['inputs'].shape == (3, 4, 4)
    main([out, '--out', str(tmp_path / 'y.npz'), '--options', 'labelled=False', '--jobs', '1'])
    assert 'arr_1.npy' not in zipfile.ZipFile(tmp_path / 'y.npz').namelist()


def test_command_takes_types_and_configs(tmp_path):
    main(['DigitsDataset', '--options', 'split=test', '--out', str(tmp_path / 'x.npz'), '--jobs', '1'])
    assert np.array_equal(ImagePack(tmp_path / 'x.npz').images, DigitsDataset('test').images)
    (tmp_path / 'c.py').write_text("train_dataloader = dict(dataset=dict(type='DigitsDataset', split='train'))")
    main([str(tmp_path / 'c.py'), '--out', str(tmp_path / 'y.npz'), '--jobs', '1'])
    assert np.array_equal(ImagePack(tmp_path / 'y.npz').images, DigitsDataset('train').images)


def test_command_lists_what_it_left_out(folder, tmp_path, capsys):
    (folder / 'b' / '003.png').write_bytes(b'no picture')
    main([str(folder), '--out', str(tmp_path / 'x.npz'), '--jobs', '1', '--corrupt', 'skip'])
    told = capsys.readouterr().out
    assert 'left out: ' in told and '003.png' in told and 'Packed 19 images, 1 left out' in told


@pytest.mark.parametrize('arguments, match', [
    (['--out', 'x.npz'], 'SOURCE and --out are needed'),
    (['images', '--verify', 'x.npz'], '--verify goes alone'),
    (['images', '--out', 'x.zip'], 'x.zip has to end in .npz'),
    (['images', '--out', 'old.npz'], 'old.npz is there already.*--force'),
    (['nothing', '--out', 'x.npz'], 'nothing'),
    (['DigitsDataset', '--size', '4', '--out', 'x.npz'], '--size is for images in files'),
    (['ImageFolder', '--size', '4', '--out', 'x.npz'], 'data_root'),
    (['images', '--size', '0', '--out', 'x.npz'], 'size has to be an integer of at least 1'),
    (['images', '--jobs', '0', '--out', 'x.npz'], 'jobs has to be an integer of at least 1'),
    (['images', '--options', 'colour=1', '--out', 'x.npz'], 'colour'),
])
def test_command_refuses_in_one_line(folder, tmp_path, monkeypatch, capsys, arguments, match):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'old.npz').write_bytes(b'')
    with pytest.raises(SystemExit) as error:
        main(arguments)
    told = capsys.readouterr().err
    assert error.value.code == 2 and told.count('\n') == 1
    assert re.search(match, told), told
    assert files(tmp_path) == ['old.npz']


def test_full_disk_leaves_nothing(folder, tmp_path):
    code = ('import resource, sys\nfrom mmcm.cli.pack import main\n'
            'resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n'
            "main([sys.argv[1], '--size', '64', '--out', sys.argv[2], '--jobs', '1'])")
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code, str(folder), str(tmp_path / 'x.npz')],
                          capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == '' and done.stderr.count('\n') == 1
    assert 'x.npz cannot be written: File too large' in done.stderr and files(tmp_path) == []
