import pytest
import torch

from mmcm.checkpoints import checkpoints_in, holds_run, last_checkpoint, resolve_checkpoint
from mmcm.utils.errors import InputError


def write(folder, *iterations, time='20260101_000000'):
    """Write small training checkpoints, of which MMEngine says when they were written."""
    for iteration in iterations:
        meta = dict(iter=iteration, epoch=0, time=time)
        torch.save(dict(meta=meta, state_dict=dict(weight=torch.ones(1))), folder / f'iter_{iteration}.pth')


def damage(path):
    path.write_bytes(path.read_bytes()[:200])


def test_recorded_checkpoint_counts_wherever_the_folder_is(tmp_path):
    write(tmp_path, 2, 4)
    (tmp_path / 'last_checkpoint').write_text('/where/it/was/trained/iter_2.pth')
    assert last_checkpoint(tmp_path, whole=True) == (tmp_path / 'iter_2.pth', None)


@pytest.mark.parametrize(
    'record',
    [
        None,
        b'',
        b' \n',
        b'iter_8.pth',
        b'http://127.0.0.1:9/x.pth',
        b'\xff\xfe',
        b'iter_2.pth\nx',
        b'.',
        b'..',
        b'/',
        b'x' * 5000,
    ],
)
def test_newest_checkpoint_is_found_without_a_record(tmp_path, record, capsys):
    write(tmp_path, 2, 10, 9)
    if record is not None:
        (tmp_path / 'last_checkpoint').write_bytes(record)
    found, note = last_checkpoint(tmp_path)
    assert found == tmp_path / 'iter_10.pth' and '\n' not in note
    assert f'{found} is the newest whole checkpoint' in note
    assert resolve_checkpoint(tmp_path) == found and 'note: ' in capsys.readouterr().err


def test_damaged_checkpoint_is_passed_over_where_a_run_goes_on(tmp_path):
    write(tmp_path, 2, 4, 6)
    (tmp_path / 'last_checkpoint').write_text('iter_6.pth')
    damage(tmp_path / 'iter_6.pth')
    assert last_checkpoint(tmp_path)[0].name == 'iter_6.pth'  # for whom the weights themselves matter
    found, note = last_checkpoint(tmp_path, whole=True)
    assert found.name == 'iter_4.pth' and 'iter_6.pth is no whole checkpoint' in note and '\n' not in note
    torch.save(dict(weight=torch.ones(1)), tmp_path / 'iter_6.pth')  # weights alone
    assert last_checkpoint(tmp_path, whole=True)[0].name == 'iter_4.pth'


def test_time_in_the_checkpoint_tells_the_newest(tmp_path):
    """An earlier run has left higher numbers; the times of the files are those of a copy."""
    write(tmp_path, 500, 1000, time='20250101_120000')
    write(tmp_path, 100, 200, time='20260101_120000')
    assert last_checkpoint(tmp_path)[0].name == 'iter_200.pth'


def test_folder_without_a_whole_checkpoint_is_refused(tmp_path):
    assert not holds_run(tmp_path) and not holds_run(tmp_path / 'nowhere')
    write(tmp_path, 2, 4)
    for path in tmp_path.iterdir():
        damage(path)
    assert holds_run(tmp_path)
    with pytest.raises(InputError, match='has no file last_checkpoint. No checkpoint .* is whole: iter_4.pth, iter_2'):
        last_checkpoint(tmp_path)


def test_names_of_checkpoints_are_those_of_mmengine(tmp_path):
    for name in ('iter_3.pth', 'epoch_12.pth', 'iter_x.pth', 'best_iter_4.pth', '.iter_5.pth', 'iter_6.pth.part'):
        (tmp_path / name).touch()
    assert [path.name for path in checkpoints_in(tmp_path)] == ['epoch_12.pth', 'iter_3.pth']
