import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmcm.cli.main import COMMANDS
from mmcm.cli.zoo import main
from mmcm.zoo import list_models

PACKAGE = Path(__file__).parents[2] / 'mmcm'
NAME = 'cd_imagenet64_lpips'


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('MMCM_HOME', str(tmp_path))
    monkeypatch.delenv('MMCM_MIRRORS', raising=False)
    (tmp_path / 'checkpoints').mkdir()
    return tmp_path / 'checkpoints'


def run(capsys, *arguments):
    main(arguments, prog='mmcm zoo')
    return capsys.readouterr().out


def rows(text):
    """Return the cells of each row of the table by the name in front."""
    header, *lines = text.split('\n\n')[0].splitlines()
    begins = [header.index(name) for name in ('model', 'method', 'data', 'here', 'score')]
    cells = [[line[begin:end].strip() for begin, end in zip(begins, [*begins[1:], None])] for line in lines]
    return {name: tuple(rest) for name, *rest in cells}


def test_table_has_every_model_and_fits_a_terminal(cache, capsys):
    text = run(capsys)
    table = rows(text)
    assert list(table) == [model.name for model in list_models()]
    assert max(map(len, text.splitlines()[:-4])) <= 100
    assert table[NAME][:1] + table[NAME][2:] == ('CD lpips', '-', 'FID 6.2 (1), 4.7 (2)')
    assert table['cd_imagenet64_l2'][-1] == '-'
    assert table['digits'][1].split() == ['digits', '8', '10', '1.7', 'MIT']
    assert f'{cache}: 0 files, 0.0 MB' in text


def test_table_tells_what_is_here(cache, capsys):
    (cache / f'{NAME}.pt').write_bytes(bytes(12_345_678))
    (cache / 'ct_cat256.pt.part').write_bytes(bytes(1000))
    text = run(capsys)
    table = rows(text)
    assert table[NAME][1].split() == ['imagenet1k', '64', '1000', '12', 'MIT']
    assert [table[name][2] for name in (NAME, 'ct_cat256', 'digits', 'ct_imagenet64')] == ['yes', 'partly', 'yes', '-']
    assert f'{cache}: 1 files, 12 MB' in text


def test_cache_dir_is_looked_into(tmp_path, capsys):
    (tmp_path / 'own' / 'checkpoints').mkdir(parents=True)
    (tmp_path / 'own' / 'checkpoints' / f'{NAME}.pt').write_bytes(b'weights')
    assert rows(run(capsys))[NAME][2] == '-'
    assert rows(run(capsys, '--cache-dir', str(tmp_path / 'own')))[NAME][2] == 'yes'


def test_page_tells_all_about_one_model(cache, capsys, monkeypatch):
    monkeypatch.setenv('MMCM_MIRRORS', 'http://inside/files')
    text = run(capsys, NAME)
    for part in (
        'imagenet1k, 64 x 64 pixels, 1000 classes',
        'indices (0, 22) of 40 levels',
        'MODEL_CARD.md',
        '1 network evaluation: FID 6.2, Precision 0.68, Recall 0.63',
        f'not here: mmcm download {NAME} puts it at {cache / NAME}.pt',
    ):
        assert part in text
    assert text.index(f'http://inside/files/{NAME}.pt') < text.index('https://openaipublic')
    assert 'SHA-256' not in text  # none is published, and nothing was downloaded
    (cache / f'{NAME}.pt.part').write_bytes(bytes(2_000_000))
    assert f'{NAME}.pt.part, 2.0 MB so far' in run(capsys, NAME)
    (cache / f'{NAME}.pt').write_bytes(b'weights')
    (cache / f'{NAME}.pt.sha256').write_text(f'{"a" * 64}  {NAME}.pt\n')
    text = run(capsys, NAME)
    assert f'{"a" * 64} (as downloaded)' in text and f'{cache / NAME}.pt, 0.0 MB' in text


def test_json_is_for_programs(cache, capsys):
    (cache / 'ct_cat256.pt').write_bytes(b'weights')
    entries = {entry['name']: entry for entry in json.loads(run(capsys, '--json'))}
    assert list(entries) == [model.name for model in list_models()]
    for entry in entries.values():
        assert Path(entry['config']).is_file() and Path(entry['card']).is_file()
    states = {name: (entry['state'], entry['bytes']) for name, entry in entries.items()}
    assert states['ct_cat256'] == ('cached', 7)
    assert states['ct_imagenet64'] == ('absent', None)
    assert states['digits'] == ('packaged', (PACKAGE / 'weights' / 'cd_digits.safetensors').stat().st_size)
    assert entries['ct_cat256']['path'] == str(cache / 'ct_cat256.pt')
    assert json.loads(run(capsys, NAME, '--json')) == entries[NAME]


def test_unknown_model_is_told_with_the_nearest(capsys):
    with pytest.raises(SystemExit, match='2'):
        main(['cd_imagenet64'], prog='mmcm zoo')
    (error,) = capsys.readouterr().err.splitlines()
    assert error.startswith("error: no model 'cd_imagenet64' in the zoo, nearest: ")
    assert 'cd_imagenet64_l2, cd_imagenet64_lpips; mmcm zoo lists all' in error


def test_listing_loads_neither_torch_nor_what_else_takes_time(cache):
    code = (
        'import sys; from mmcm.cli.main import main; main(["zoo"]); '
        'print({"torch", "mmengine", "cv2", "numpy", "rich", "huggingface_hub"} & set(sys.modules))'
    )
    listed = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(PACKAGE.parent)},
    )
    assert listed.stdout.splitlines()[-1] == 'set()', listed.stderr


def test_page_of_a_recipe_has_its_published_scores_and_no_file(capsys):
    text = run(capsys, 'ect_1xb128_cifar10-32x32')
    for part in (
        '57.1 million parameters',
        '1 network evaluation: FID 3.86',
        'locuslab/ect',
        'none: train it with the config',
    ):
        assert part in text
    assert 'the model cd_cat256_l2' in run(capsys, 'cd-l2_8xb32_LSUN-cat-256x256')


def test_results_keep_the_former_name_of_nfe(capsys):
    results = json.loads(run(capsys, NAME, '--json'))['results']
    assert [(result['NFE'], result['Calls']) for result in results] == [(1, 1), (2, 2)]


def test_licence_and_what_it_excludes_are_shown(capsys):
    table = {line.split()[0]: line for line in run(capsys).splitlines() if line}
    assert ' NC-SA ' in table['edm_cifar10_vp'] and ' MIT ' in table['edm_cat256_ema']
    assert 'CC-BY-NC-SA-4.0, no commercial use' in run(capsys, 'edm_cifar10_vp')
    assert 'commercial' not in run(capsys, NAME)
    assert all(model.license for model in list_models())


def test_next_commands_are_three_of_mmcm(capsys):
    for name, last in (('edm_cifar10_vp', 'convert'), ('ect_1xb128_cifar10-32x32', 'test')):
        commands = [line.split()[1:] for line in run(capsys, name).splitlines() if line.split()[0] == 'next']
        assert len(commands) == 3 and commands[-1][:2] == ['mmcm', last]
        assert all(program == 'mmcm' and command in COMMANDS for program, command, *_ in commands)
