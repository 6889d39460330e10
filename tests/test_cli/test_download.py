import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mmcm.cli.download import main
from mmcm.zoo import list_models
from support.file_server import CONTENT
from support.patience import PATIENCE

PACKAGE = Path(__file__).parents[2] / 'mmcm'


@pytest.fixture
def cache(server, tmp_path, monkeypatch):
    """A cache, and `server` as mirror; the real addresses are behind a proxy that does not exist."""
    monkeypatch.setenv('MMCM_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('MMCM_MIRRORS', server.url.rsplit('/', 1)[0])
    monkeypatch.setenv('https_proxy', 'http://127.0.0.1:9')
    return tmp_path / 'cache' / 'checkpoints'


def run(capsys, *arguments):
    """Return the exit code, the lines of stdout and those of stderr."""
    try:
        main(arguments, prog='mmcm download')
        code = 0
    except SystemExit as leaving:
        code = leaving.code
    captured = capsys.readouterr()
    return code, captured.out.splitlines(), captured.err.splitlines()


def test_paths_of_several_are_printed_in_their_order(server, cache, capsys):
    code, out, _ = run(capsys, 'ct_cat256', 'digits', 'cd_cat256_l2', 'ct_cat256')
    assert code == 0
    assert out == [
        str(cache / 'ct_cat256.pt'),
        str(PACKAGE / 'weights' / 'cd_digits.safetensors'),
        str(cache / 'cd_cat256_l2.pt'),
    ]
    assert (cache / 'ct_cat256.pt').read_bytes() == CONTENT
    assert [asked[0] for asked in server.asked] == ['/ct_cat256.pt', '/cd_cat256_l2.pt']


def test_all_means_every_model_of_the_zoo_with_weights(server, cache, capsys):
    code, out, _ = run(capsys, 'all')
    assert code == 0
    assert len(out) == len(set(out)) == sum(model.weights is not None for model in list_models()) >= 13
    assert all(Path(path).is_file() for path in out)


def test_rest_is_fetched_when_one_fails(server, cache, capsys):
    server.plan = ['404']
    code, out, err = run(capsys, 'cd_cat256_l2', 'nothing', 'ct_cat256')
    assert code == 2
    assert out == [str(cache / 'ct_cat256.pt')]
    failed, unknown = err
    assert failed.startswith('error: cannot download cd_cat256_l2.pt from any of its 2 addresses: ')
    assert 'HTTP 404' in failed and 'through the proxy 127.0.0.1:9' in failed
    assert failed.endswith(f'can be put by hand at {cache / "cd_cat256_l2.pt"}')
    assert unknown.startswith("error: no checkpoint 'nothing'")


def test_file_put_by_hand_at_the_place_that_the_error_names_is_taken(server, cache, capsys):
    server.behaviour = '404'
    _, _, (error,) = run(capsys, 'cd_cat256_l2')
    place = Path(error.rpartition(' ')[2])
    place.write_bytes(CONTENT)
    assert run(capsys, 'cd_cat256_l2') == (0, [str(place)], [])


def test_cache_dir_goes_before_the_environment(server, cache, tmp_path, capsys):
    code, out, _ = run(capsys, 'ct_cat256', server.url, '--cache-dir', str(tmp_path / 'own'))
    assert code == 0
    assert [Path(path).is_relative_to(tmp_path / 'own' / 'checkpoints') for path in out] == [True, True]
    assert not cache.exists()


def test_digest_is_checked(server, cache, capsys):
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert run(capsys, server.url, '--sha256', digest.upper())[0] == 0
    code, out, (error,) = run(capsys, 'ct_cat256', '--sha256', '0' * 64)
    assert (code, out) == (2, [])
    assert f'{digest}, expected {"0" * 64}' in error


@pytest.mark.parametrize(
    'arguments, reason',
    [
        ((), 'required: SOURCE'),
        (('all', '--sha256', '0' * 64), 'digest of one file, and'),
        (('ct_cat256', '--sha256', 'abc'), "64 hexadecimal digits, got 'abc'"),
    ],
)
def test_arguments_that_do_not_fit_are_told_in_one_line(server, cache, capsys, arguments, reason):
    code, out, (error,) = run(capsys, *arguments)
    assert (code, out) == (2, [])
    assert error.startswith('error: ') and reason in error
    assert server.asked == []


def test_two_commands_at_once_fetch_the_file_once_and_load_no_torch(server, cache):
    server.pause = 0.02
    code = (
        'import sys; from mmcm.cli.main import main; main(["download", "ct_cat256"]); '
        'print({"torch", "mmengine", "cv2"} & set(sys.modules))'
    )
    both = [
        subprocess.Popen(
            [sys.executable, '-c', code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, 'PYTHONPATH': str(PACKAGE.parent)},
        )
        for _ in range(2)
    ]
    for process in both:
        out, err = process.communicate(timeout=PATIENCE)
        assert out.splitlines() == [str(cache / 'ct_cat256.pt'), 'set()'], err
    assert len(server.asked) == 1
    assert {file.name for file in cache.iterdir()} == {'ct_cat256.pt', 'ct_cat256.pt.sha256'}
