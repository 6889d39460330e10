import pytest

from mmcm.apis import ConsistencyModelInferencer
from mmcm.cli.reproduce import DIFFERENT, main
from mmcm.utils.provenance import read_png, with_record


def test_picture_is_made_again_and_compared(tmp_path, capsys):
    path, again = tmp_path / 'x.png', tmp_path / 'again.png'
    ConsistencyModelInferencer('digits')(labels=[3, 1]).save(path)
    main([str(path), '--out', str(again)])
    shown = capsys.readouterr()
    assert shown.out == f'{path}: the same file, byte for byte\n' and shown.err == 'Model of x.png: digits\n'
    assert again.read_bytes() == path.read_bytes()


def test_other_pixels_are_exit_code_1(tmp_path, capsys):
    path = tmp_path / 'x.png'
    ConsistencyModelInferencer('digits')(labels=[3, 1]).save(path)
    record = read_png(path)
    ConsistencyModelInferencer('digits')(labels=[3, 1], seed=1).save(path)
    content = path.read_bytes()
    size = 12 + int.from_bytes(content[33:37], 'big')
    path.write_bytes(with_record(content[:33] + content[33 + size :], record))
    with pytest.raises(SystemExit) as raised:
        main([str(path)])
    assert raised.value.code == DIFFERENT and 'pixels differ, by up to' in capsys.readouterr().out


def test_picture_without_a_record_is_one_line(tmp_path, capsys):
    (tmp_path / 'x.png').write_bytes(b'')
    with pytest.raises(SystemExit) as raised:
        main([str(tmp_path / 'x.png')])
    assert raised.value.code == 2 and 'it is no PNG' in capsys.readouterr().err
