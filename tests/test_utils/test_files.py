from pathlib import Path

import pytest

from mmcm.utils.errors import InputError
from mmcm.utils.files import appearing, check_room, in_bytes, remove_leftovers, write_bytes


def test_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / 'folder'
    folder.mkdir()
    (folder / 'old').touch()
    with appearing(folder) as part:
        part.mkdir()
        (part / 'new').touch()
        assert [path.name for path in folder.iterdir()] == ['old']
    assert [path.name for path in folder.iterdir()] == ['new']
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize('error', [KeyError, KeyboardInterrupt])
def test_what_fails_leaves_all_as_it_was(tmp_path, error):
    (tmp_path / 'x').write_text('old')
    with pytest.raises(error), appearing(tmp_path / 'x') as part:
        part.write_text('half')
        raise error
    assert (tmp_path / 'x').read_text() == 'old'
    assert [path.name for path in tmp_path.iterdir()] == ['x']


def test_file_that_cannot_be_written_is_told_with_advice(tmp_path):
    with pytest.raises(InputError, match='x cannot be written: No such file or directory. Choose another place'):
        write_bytes(tmp_path / 'missing' / 'x', b'new')
    with pytest.raises(InputError, match='Make room'), appearing(tmp_path / 'missing' / 'x', 'Make room.') as part:
        part.touch()


def test_folder_that_cannot_be_replaced_stays(tmp_path, monkeypatch):
    folder = tmp_path / 'folder'
    folder.mkdir()
    (folder / 'old').touch()
    replace = Path.replace

    def fail(self, target):
        if self.suffix == '.part':
            raise OSError(5, 'Input/output error')
        return replace(self, target)

    monkeypatch.setattr(Path, 'replace', fail)
    with pytest.raises(InputError, match='Input/output error'), appearing(folder) as part:
        part.mkdir()
    assert [path.name for path in tmp_path.iterdir()] == ['folder'] and (folder / 'old').exists()


def test_folder_that_a_killed_process_had_put_aside_is_put_back(tmp_path):
    (tmp_path / '.folder.0123456789ab.old').mkdir()
    (tmp_path / '.folder.0123456789ab.old' / 'file').touch()
    remove_leftovers(tmp_path / 'folder')
    assert (tmp_path / 'folder' / 'file').exists() and len(list(tmp_path.iterdir())) == 1


def test_leftovers_of_killed_processes_are_removed(tmp_path):
    for name in ('.x.0123456789ab.part', '.x.ffffffffffff.part', '.x.npz.0123456789ab.part'):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path / 'x')
    assert [path.name for path in tmp_path.iterdir()] == ['.x.npz.0123456789ab.part']


def test_disk_without_room_is_refused_with_both_numbers(tmp_path):
    check_room(tmp_path, 1)
    with pytest.raises(InputError, match=r'of free space, and 1e\+06 TB are needed. Make room'):
        check_room(tmp_path, 10**18)


def test_bytes_are_in_units_that_fit_them():
    found = [in_bytes(number) for number in (0, 25600, 12345678, 6 * 10**15)]
    assert found == ['0 bytes', '25.6 kB', '12.35 MB', '6000 TB']
