import base64
import hashlib
import importlib
import multiprocessing
import os
import signal
import socket
import zipfile
from contextlib import suppress
from io import BytesIO

import numpy
import pytest
from safetensors.numpy import save

from mmcm.checkpoints.download import download
from mmcm.utils.errors import InputError
from support.file_server import CONTENT, serving
from support.patience import PATIENCE, wait_until

SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


def fetch(server, path, **kwargs):
    return download(server.url, path, progress=False, **kwargs)


def test_file_arrives_with_its_digest_recorded_and_nothing_left_behind(server, tmp_path):
    path = tmp_path / 'new' / 'model.pt'
    assert fetch(server, path) == path
    assert path.read_bytes() == CONTENT
    assert (tmp_path / 'new' / 'model.pt.sha256').read_text() == f'{SHA256}  model.pt\n'
    assert {file.name for file in path.parent.iterdir()} == {'model.pt', 'model.pt.sha256'}


def test_file_that_is_there_is_not_asked_for_again(server, tmp_path):
    fetch(server, tmp_path / 'model.pt')
    fetch(server, tmp_path / 'model.pt', sha256=SHA256)
    assert len(server.asked) == 1


def test_dropped_connection_is_continued_where_it_broke(server, tmp_path):
    server.plan = ['cut']
    assert fetch(server, tmp_path / 'model.pt').read_bytes() == CONTENT
    assert [asked[1] for asked in server.asked] == [None, 'bytes=150000-']


def test_server_without_ranges_is_asked_for_all_of_it_again(server, tmp_path):
    server.plan, server.ranges = ['cut'], False
    assert fetch(server, tmp_path / 'model.pt').read_bytes() == CONTENT
    assert len(server.asked) == 2


def test_connection_that_never_holds_is_reported_with_the_place_for_the_file(server, tmp_path):
    server.behaviour, server.ranges = 'cut', False
    path = tmp_path / 'model.pt'
    with pytest.raises(InputError, match='truncated, 150000 of 300000 bytes') as caught:
        fetch(server, path)
    assert server.url in str(caught.value)
    assert str(caught.value).endswith(str(path))
    assert '\n' not in str(caught.value)
    assert len(server.asked) == 4  # the first attempt brought something new, three more did not
    assert not path.exists()


def test_attempts_are_counted_anew_while_bytes_arrive(server, tmp_path):
    server.plan = ['cut'] * 10
    assert fetch(server, tmp_path / 'model.pt').read_bytes() == CONTENT
    assert len(server.asked) == 11


def test_answer_that_starts_elsewhere_is_not_appended(server, tmp_path):
    server.plan = ['cut', 'wrong range']
    assert fetch(server, tmp_path / 'model.pt').read_bytes() == CONTENT
    assert [asked[1] for asked in server.asked] == [None, 'bytes=150000-', None]


def test_beginning_of_an_older_version_is_not_continued(server, tmp_path):
    server.behaviour, server.headers = 'cut', {'ETag': '"old"'}
    server.content, server.ranges = bytes(300_000), False
    with pytest.raises(InputError, match='truncated'):
        fetch(server, tmp_path / 'model.pt')
    server.behaviour, server.headers, server.content, server.ranges = 'serve', {'ETag': '"new"'}, CONTENT, True
    assert fetch(server, tmp_path / 'model.pt').read_bytes() == CONTENT


def test_part_that_was_complete_only_gets_its_name(server, tmp_path):
    (tmp_path / 'model.pt.part').write_bytes(CONTENT)
    assert fetch(server, tmp_path / 'model.pt').read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_part_that_is_longer_than_the_file_is_thrown_away(server, tmp_path):
    (tmp_path / 'model.pt.part').write_bytes(CONTENT + b'more')
    assert fetch(server, tmp_path / 'model.pt').read_bytes() == CONTENT


def test_missing_page_is_reported_at_once(server, tmp_path):
    server.behaviour = '404'
    with pytest.raises(InputError, match='HTTP 404'):
        fetch(server, tmp_path / 'model.pt')
    assert len(server.asked) == 1
    assert not (tmp_path / 'model.pt').exists()


def test_server_error_is_tried_again(server, tmp_path):
    server.plan = ['500', '503']
    assert fetch(server, tmp_path / 'model.pt').read_bytes() == CONTENT


def test_redirect_is_followed(server, tmp_path):
    moved = server.url.replace('model.pt', 'moved.pt')
    assert download(moved, tmp_path / 'model.pt', progress=False).read_bytes() == CONTENT
    assert [asked[0] for asked in server.asked] == ['/moved.pt', '/model.pt']


def archive():
    """A file as torch.save writes it: a zip archive."""
    file = BytesIO()
    with zipfile.ZipFile(file, 'w') as zipped:
        zipped.writestr('archive/data.pkl', CONTENT)
    return file.getvalue()


@pytest.mark.parametrize(
    'name, content', [('model.pt', archive()), ('model.safetensors', save({'weight': numpy.ones(1000)}))]
)
def test_file_that_is_longer_than_the_server_declares_is_not_taken_for_whole(server, tmp_path, name, content):
    server.content = content
    assert fetch(server, tmp_path / 'whole' / name).read_bytes() == content
    for length in (len(content) - 10, 20, 4):
        server.headers = {'Content-Length': str(length)}
        with pytest.raises(InputError, match=f'whole.* {length} bytes'):
            fetch(server, tmp_path / name)
    assert not (tmp_path / name).exists() and not (tmp_path / f'{name}.part').exists()


def test_file_that_is_longer_than_the_server_declares_has_another_digest(server, tmp_path):
    server.headers = {'Content-Length': '299990'}
    with pytest.raises(InputError, match=f'expected {SHA256}'):
        fetch(server, tmp_path / 'model.pt', sha256=SHA256)
    assert not (tmp_path / 'model.pt').exists()


def test_file_that_is_shorter_than_the_server_declares_is_refused(server, tmp_path):
    server.headers = {'Content-Length': '300010'}
    with pytest.raises(InputError, match='truncated, 300000 of 300010 bytes'):
        fetch(server, tmp_path / 'model.pt')
    assert not (tmp_path / 'model.pt').exists()


def test_web_page_is_no_checkpoint(server, tmp_path):
    server.headers = {'Content-Type': 'text/html; charset=utf-8'}
    with pytest.raises(InputError, match='web page'):
        fetch(server, tmp_path / 'model.pt')


@pytest.mark.parametrize(
    'content, message',
    [
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n', 'what arrived is a Git LFS pointer'),
        (b'\n<!DOCTYPE html><html></html>', 'what arrived is an HTML page'),
    ],
)
@pytest.mark.parametrize('name', ['model.pt', 'reference.npz'])
def test_pointer_or_page_that_is_not_declared_is_not_kept(server, tmp_path, content, message, name):
    server.content = content
    with pytest.raises(InputError, match=message):
        fetch(server, tmp_path / name)
    assert not (tmp_path / name).exists() and not (tmp_path / f'{name}.part').exists()


def test_no_server_is_reported_as_being_offline(server, tmp_path):
    url = server.url
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match='offline'):
        download(url, tmp_path / 'model.pt', progress=False)


def test_host_without_address_is_reported_as_being_offline(tmp_path, monkeypatch):
    def unknown(*args, **kwargs):  # as without a network; a real resolver may take its time to say so
        raise socket.gaierror(socket.EAI_NONAME, 'Name or service not known')

    monkeypatch.setattr(socket, 'getaddrinfo', unknown)
    with pytest.raises(InputError, match=r'no connection \(.*not known\), is this machine offline\?.* by hand at /'):
        download('http://files.invalid/model.pt', tmp_path / 'model.pt', progress=False)


def test_download_goes_through_a_proxy(server, tmp_path, monkeypatch):
    monkeypatch.setenv('http_proxy', server.url.rsplit('/', 1)[0])
    path = download('http://files.invalid/model.pt', tmp_path / 'model.pt', progress=False)
    assert path.read_bytes() == CONTENT
    assert server.asked == [('http://files.invalid/model.pt', None)]


def test_proxy_that_is_dead_is_named_without_its_password(tmp_path, monkeypatch):
    monkeypatch.setenv('http_proxy', 'http://user:secret@127.0.0.1:9')
    with pytest.raises(InputError, match='no connection through the proxy 127.0.0.1:9 ') as caught:
        download('http://files.invalid/model.pt', tmp_path / 'model.pt', progress=False)
    assert 'secret' not in str(caught.value)


def test_offline_switch_asks_nobody_and_takes_what_is_there(server, tmp_path, monkeypatch):
    path = tmp_path / 'new' / 'model.pt'
    monkeypatch.setenv('MMCM_OFFLINE', '1')
    with pytest.raises(InputError, match=f'MMCM_OFFLINE is set; the file can be put by hand at {path}'):
        fetch(server, path)
    assert server.asked == [] and not path.parent.exists()
    monkeypatch.setenv('MMCM_OFFLINE', '0')
    fetch(server, path)
    monkeypatch.setenv('MMCM_OFFLINE', '1')
    assert fetch(server, path) == path


@pytest.mark.parametrize('address', ['model.pt', 'http://127.0.0.1:9/two words.pt', 'http://127.0.0.1:port/model.pt'])
def test_address_that_is_none_is_reported(tmp_path, address):
    with pytest.raises(InputError, match='no usable address'):
        download(address, tmp_path / 'model.pt', progress=False)


def content_md5(digest):
    return {'Content-MD5': base64.b64encode(bytes.fromhex(digest)).decode()}


def s3(digest, **more):
    return {'ETag': f'"{digest}"', 'x-amz-request-id': '1', **more}


@pytest.mark.parametrize('declare', [content_md5, s3])
def test_declared_md5_is_checked(server, tmp_path, declare):
    server.headers = declare(MD5)
    assert fetch(server, tmp_path / 'right.pt').is_file()
    server.headers = declare('0' * 32)
    with pytest.raises(InputError, match=f'its MD5 is {MD5}, the server declares {"0" * 32}'):
        fetch(server, tmp_path / 'wrong.pt')
    assert not list(tmp_path.glob('wrong.pt*.pt')) and not (tmp_path / 'wrong.pt.part').exists()


def test_declared_md5_still_counts_after_the_connection_dropped(server, tmp_path):
    server.plan, server.headers = ['cut'], content_md5('0' * 32)
    with pytest.raises(InputError, match='its MD5 is'):
        fetch(server, tmp_path / 'model.pt')


@pytest.mark.parametrize(
    'headers', [{'ETag': f'"{"0" * 32}"'}, s3('0' * 32, **{'x-amz-server-side-encryption': 'aws:kms'})]
)
def test_etag_that_need_not_be_the_md5_of_the_file_is_no_objection(server, tmp_path, headers):
    server.headers = headers
    assert fetch(server, tmp_path / 'model.pt').read_bytes() == CONTENT


def test_wrong_sha256_leaves_no_file(server, tmp_path):
    with pytest.raises(InputError, match=f'its SHA-256 is {SHA256}, expected {"0" * 64}'):
        fetch(server, tmp_path / 'model.pt', sha256='0' * 64)
    assert list(tmp_path.glob('model.pt')) == list(tmp_path.glob('model.pt.part')) == []


def test_file_that_changed_since_its_first_download_is_noticed(server, tmp_path):
    path = fetch(server, tmp_path / 'model.pt')
    path.unlink()
    server.content = CONTENT[::-1]
    with pytest.raises(InputError, match='changed since'):
        fetch(server, path)
    (tmp_path / 'model.pt.sha256').unlink()
    assert fetch(server, path).read_bytes() == CONTENT[::-1]


def test_file_put_there_by_hand_is_checked_where_its_digest_is_known(tmp_path):
    path = tmp_path / 'model.pt'
    path.write_bytes(CONTENT)
    assert download('http://127.0.0.1:9/model.pt', path, sha256=SHA256) == path
    (tmp_path / 'model.pt.sha256').unlink()
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match='expected'):
        download('http://127.0.0.1:9/model.pt', path, sha256=SHA256)


def test_folder_that_cannot_be_made_is_reported(server, tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(InputError, match='cannot write'):
        fetch(server, tmp_path / 'file' / 'model.pt')


def test_file_gets_its_name_in_one_step(server, tmp_path, monkeypatch):
    def refuse(*paths):
        raise OSError('no renaming today')

    with monkeypatch.context() as patch:
        patch.setattr(os, 'replace', refuse)
        with pytest.raises(InputError, match='no renaming today'):
            fetch(server, tmp_path / 'model.pt')
    assert not (tmp_path / 'model.pt').exists()
    assert fetch(server, tmp_path / 'model.pt').read_bytes() == CONTENT


def test_progress_goes_to_a_terminal_on_stderr_and_into_no_log(server, tmp_path, capsys, monkeypatch):
    download(server.url, tmp_path / 'quiet.pt')
    assert capsys.readouterr() == ('', '')
    monkeypatch.setenv('FORCE_COLOR', '1')  # rich then takes any stream for a terminal
    download(server.url, tmp_path / 'model.pt')
    captured = capsys.readouterr()
    assert captured.out == ''
    assert 'model.pt' in captured.err


def spawn(url, path):
    process = multiprocessing.get_context('spawn').Process(
        target=download, args=(url, path), kwargs={'progress': False}, daemon=True
    )
    process.start()
    return process


def test_two_processes_share_one_download(server, tmp_path):
    server.pause = 0.02
    processes = [spawn(server.url, tmp_path / 'model.pt') for _ in range(2)]
    for process in processes:
        process.join(PATIENCE)
    assert [process.exitcode for process in processes] == [0, 0]
    assert (tmp_path / 'model.pt').read_bytes() == CONTENT
    assert len(server.asked) == 1
    assert {file.name for file in tmp_path.iterdir()} == {'model.pt', 'model.pt.sha256'}


@pytest.mark.skipif(os.name != 'posix', reason='kills a process')
def test_killed_download_leaves_no_file_and_is_continued(server, tmp_path):
    server.behaviour = 'wait'  # in the middle of the file
    path, part = tmp_path / 'model.pt', tmp_path / 'model.pt.part'
    process = spawn(server.url, path)
    wait_until(lambda: part.exists() and part.stat().st_size, 'the arrival of the first bytes')
    os.kill(process.pid, signal.SIGKILL)
    process.join(PATIENCE)
    server.go_on.set()
    assert not path.exists()
    arrived = part.stat().st_size
    assert 0 < arrived < len(CONTENT)
    server.behaviour = 'serve'
    assert fetch(server, path).read_bytes() == CONTENT
    assert server.asked[-1][1] == f'bytes={arrived}-'


@pytest.fixture
def mirror():
    with serving() as mirror:
        yield mirror


def fetch_from(server, mirror, path, **kwargs):
    """Download from `server`, or else from `mirror`."""
    return download([server.url, mirror.url], path, progress=False, **kwargs)


def test_first_address_that_works_is_the_last_that_is_asked(server, mirror, tmp_path):
    assert fetch_from(server, mirror, tmp_path / 'model.pt').read_bytes() == CONTENT
    assert (len(server.asked), len(mirror.asked)) == (1, 0)


def gone(server):
    server.behaviour = '404'


def failing(server):
    server.behaviour = '500'


def dead(server):
    server.shutdown()
    server.server_close()


def wrong(server):
    server.content = CONTENT[::-1]


def cut(server):
    server.behaviour, server.ranges = 'cut', False


def web_page(server):
    server.headers = {'Content-Type': 'text/html'}


@pytest.mark.parametrize('break_it', [gone, failing, dead, wrong, cut, web_page])
def test_address_that_fails_leads_to_the_next(server, mirror, tmp_path, break_it):
    break_it(server)
    path = fetch_from(server, mirror, tmp_path / 'model.pt', sha256=SHA256)
    assert path.read_bytes() == CONTENT
    assert {file.name for file in tmp_path.iterdir()} == {'model.pt', 'model.pt.sha256'}


def test_all_addresses_are_named_with_their_reasons_and_the_place_for_the_file(server, mirror, tmp_path):
    gone(server)
    wrong(mirror)
    path = tmp_path / 'model.pt'
    with pytest.raises(InputError, match='cannot download model.pt from any of its 2 addresses: ') as caught:
        fetch_from(server, mirror, path, sha256=SHA256)
    message = str(caught.value)
    assert f'{server.url}: HTTP 404' in message and f'{mirror.url}: its SHA-256 is' in message
    assert message.endswith(f'by hand at {path}') and '\n' not in message


def test_where_another_address_follows_one_more_attempt_is_made(server, mirror, tmp_path):
    failing(server)
    fetch_from(server, mirror, tmp_path / 'model.pt')
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    'headers, sha256, asked',
    [({}, None, None), ({'ETag': '"one"'}, None, 'bytes=150000-'), ({}, SHA256, 'bytes=150000-')],
)
def test_beginning_of_another_address_is_continued_only_where_that_is_safe(
    server, mirror, tmp_path, headers, sha256, asked
):
    server.plan, server.behaviour = ['cut'], '404'
    server.headers = mirror.headers = headers
    assert fetch_from(server, mirror, tmp_path / 'model.pt', sha256=sha256).read_bytes() == CONTENT
    assert mirror.asked[-1][1] == asked


def test_beginning_of_another_file_is_thrown_away_when_the_digest_tells(server, mirror, tmp_path):
    wrong(server)
    server.plan, server.behaviour = ['cut'], '404'
    assert fetch_from(server, mirror, tmp_path / 'model.pt', sha256=SHA256).read_bytes() == CONTENT
    assert [asked[1] for asked in mirror.asked] == ['bytes=150000-', None]


def test_complete_beginning_of_another_length_is_no_file_of_this_address(server, mirror, tmp_path):
    server.content = CONTENT + CONTENT[::-1]
    server.plan, server.behaviour = ['cut'], '404'  # as many bytes arrive as the mirror's file has
    mirror.content = CONTENT[::-1]
    assert fetch_from(server, mirror, tmp_path / 'model.pt').read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize('length', ['9' * 5000, '\xb2', '-1', 'x'])
def test_length_that_is_no_number_is_none(server, tmp_path, length):
    server.headers = {'Content-Length': length}
    with suppress(InputError):
        download(server.url, tmp_path / 'model.pt', progress=False)


def test_file_that_does_not_fit_the_disk_is_not_begun(server, tmp_path):
    server.headers = {'Content-Length': str(10**17)}
    with pytest.raises(InputError, match=f'the server declares {10**17} bytes, and [0-9]+ are free on the disk'):
        download(server.url, tmp_path / 'model.pt', progress=False)
    assert not (tmp_path / 'model.pt.part').exists()


def test_endless_file_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.import_module('mmcm.checkpoints.download'), 'MAX_BYTES', len(server.content) - 1)
    with pytest.raises(InputError, match='more than [0-9]+ bytes arrived'):
        download(server.url, tmp_path / 'model.pt', progress=False)
    assert not (tmp_path / 'model.pt.part').exists()


@pytest.mark.parametrize('facts', ['[1]', '[' * 10**5, 'null', '"x"'])
def test_damaged_facts_are_none(server, tmp_path, facts):
    (tmp_path / 'model.pt.part').write_bytes(b'abc')
    (tmp_path / 'model.pt.part.json').write_text(facts)
    assert download(server.url, tmp_path / 'model.pt', progress=False).is_file()
