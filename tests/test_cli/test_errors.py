import pytest
from torch.utils.data import DataLoader, Dataset

from mmcm.cli.errors import command
from mmcm.utils.errors import InputError


class Damaged(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        try:
            raise OSError('the decoder gave up')
        except OSError as error:
            raise InputError('a.jpg is damaged: remove it, or get it again.') from error


@pytest.mark.parametrize('workers', [0, 1])
def test_error_is_one_line_in_whatever_process_it_was_raised(workers, capsys):
    with pytest.raises(SystemExit, match='2'):
        command(lambda: list(DataLoader(Damaged(), num_workers=workers)))()
    assert capsys.readouterr().err == 'error: a.jpg is damaged: remove it, or get it again.\n'
