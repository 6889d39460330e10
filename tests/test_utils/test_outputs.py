import os
from pathlib import Path

import pytest

from mmcm.utils.errors import InputError
from mmcm.utils.outputs import check_name, claimed, next_free


def refusal(*args, **options):
    with pytest.raises(InputError) as error, claimed(*args, **options):
        pytest.fail('the work has begun')
    return str(error.value)


def test_what_is_there_is_replaced_only_by_force(tmp_path):
    out = tmp_path / 'x.png'
    out.touch()
    assert refusal({'--out': out}) == f'{out} exists: give --force to replace it, or another --out.'
    with claimed({'--out': out}, force=True):
        pass
    link = tmp_path / 'link.png'
    link.symlink_to(tmp_path / 'nothing')  # to rename a file over it would lose it
    assert 'link.png exists' in refusal({'--out': link})


def test_folder_has_to_be_empty_or_without_the_files_that_are_written(tmp_path):
    out = tmp_path / 'out'
    out.mkdir()
    with claimed({'--out': out}, folders=True):
        assert out.is_dir()
    out.mkdir(exist_ok=True)
    (out / '1.png').touch()
    assert 'is a folder that is not empty: give --force' in refusal({'--out': out}, folders=True)
    assert 'is a folder: name a file in it' in refusal({'--out': out}, force=True)
    assert '1.png exists' in refusal({'--out': out}, folders=True, inside=['0.png', '1.png'])
    with claimed({'--out': out}, folders=True, inside=['0.png']), claimed({'--json': out / 'x.json'}):
        pass


def test_output_that_is_an_input_or_another_output_is_refused(tmp_path):
    (tmp_path / 'in').mkdir()
    picture = tmp_path / 'in' / 'x.png'
    picture.touch()
    (tmp_path / 'link').symlink_to(tmp_path / 'in')
    same = tmp_path / 'link' / 'x.png'
    assert 'the file of --img, which it would replace' in refusal({'--out': same}, True, {'--img': picture})
    assert 'the file of SCORES' in refusal({'--out': same}, True, {'SCORES': ['none', str(picture)]})
    assert 'the folder that the file of --img lies in' in refusal(
        {'--out': tmp_path / 'link'}, True, {'--img': picture}, folders=True
    )
    new = tmp_path / 'y.png'
    assert 'the file of --out' in refusal({'--out': new, '--json': new})
    with claimed({'--out': new, '--json': None}, inputs={'--model': 'digits', '--img': None}):
        pass


@pytest.mark.parametrize('name, told', [
    ('a\nb.png', r"control character '\\n'"), ('a\0b.png', r"control character '\\x00'"),
    ('\x9b1mx.png', r"control character '\\x9b'"), (f'{"y" * 230}.npz', 'has 234 bytes, and there is room for 219'),
    (f'{"字" * 80}.npz', 'has 244 bytes'), (f'{"y" * 256}/x.npz', 'has 256 bytes'),
    ('/'.join(['y' * 200] * 20 + ['x.npz']), 'the path .* bytes, and there is room for'),
    ('/proc/nothing/x.png', 'cannot be made a folder'), ('/dev/null', 'is no plain file'),
])  # yapf: disable
def test_names_and_places_that_cannot_be_are_told_before_anything_is_made(tmp_path, name, told):
    with pytest.raises(InputError, match=told), claimed({'--out': tmp_path / 'new' / name}):
        pytest.fail('the work has begun')
    assert list(tmp_path.iterdir()) == []


def test_names_of_bytes_that_are_no_characters_are_names(tmp_path):
    check_name(tmp_path / os.fsdecode(b'\xe9.png'))
    check_name(tmp_path / f'{"字" * 70}.npz')


def test_folders_that_were_made_for_nothing_go(tmp_path):
    with pytest.raises(KeyError), claimed({'--out': tmp_path / 'a' / 'b' / 'x.png'}):
        assert (tmp_path / 'a' / 'b').is_dir()
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with claimed({'--out': tmp_path / 'a' / 'b' / 'x.png'}):
        (tmp_path / 'a' / 'b' / 'x.png').touch()
    assert [path.name for path in tmp_path.rglob('*')] == ['a', 'b', 'x.png']


def test_next_free_names_are_of_one_number(tmp_path):
    names = [tmp_path / 'x.py', tmp_path / 'x.json']
    assert next_free(names) == names
    names[1].touch()
    (tmp_path / 'x_2.py').touch()
    assert next_free(names) == [tmp_path / 'x_3.py', tmp_path / 'x_3.json']


def test_relative_names_are_those_of_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with claimed({'--out': Path('x.png')}):
        assert [path.name for path in tmp_path.iterdir()] == ['.x.png.lock']
    assert list(tmp_path.iterdir()) == []
