import asyncio

import pytest

from mmcm.web.answers import Refused
from mmcm.web.file_paths import FilePaths, HidingPaths


def answered(paths, kind, *chunks, **headers):
    """Return the messages of an answer in these chunks."""
    sent = []

    async def send(message):
        sent.append(message)

    async def answer():
        hiding = HidingPaths(send, paths)
        length = [(b'content-length', str(sum(map(len, chunks))).encode())]
        await hiding({'type': 'http.response.start', 'status': 200, 'headers': [(b'content-type', kind), *length]})
        for index, chunk in enumerate(chunks):
            await hiding({'type': 'http.response.body', 'body': chunk, 'more_body': index < len(chunks) - 1})

    asyncio.run(answer())
    return sent


def test_paths_are_names_in_answers_and_back_in_requests(tmp_path):
    paths = FilePaths(tmp_path)
    assert paths.hidden(f'["{tmp_path}/ab/a.png", "{tmp_path}"]'.encode()) == b'["files/ab/a.png", "files"]'
    assert paths.real('files/ab/a.png') == f'{tmp_path}/ab/a.png'
    file = dict(path='files/ab/a.png', url='http://there/', orig_name='a.png')
    restored = paths.restored([dict(background=file, layers=[file]), 'files/ab/a.png', 3])
    expected = dict(path=f'{tmp_path}/ab/a.png', meta=dict(_type='gradio.FileData'))
    assert restored == [dict(background=expected, layers=[expected]), 'files/ab/a.png', 3]


@pytest.mark.parametrize(
    'name',
    [
        '/etc/passwd',
        'files/../../etc/passwd',
        'files//a',
        'files/',
        'files',
        '',
        'files/./a',
        'files/a/..',
        'files/a\0',
        'http://there/',
    ],
)
def test_other_names_are_refused(tmp_path, name):
    with pytest.raises(Refused):
        FilePaths(tmp_path).real(name)


@pytest.mark.parametrize('name', ['it is "mine"', 'ünser'])
def test_folder_is_hidden_however_it_is_spelled(tmp_path, name):
    import json
    from urllib.parse import quote

    folder = tmp_path / name
    folder.mkdir()
    (tmp_path / 'link').symlink_to(folder)
    for paths in (FilePaths(folder), FilePaths(tmp_path / 'link')):
        for text in (str(folder), json.dumps(str(folder))[1:-1], quote(str(folder))):
            assert paths.hidden(f'{text}/a'.encode()) == b'files/a'


@pytest.mark.parametrize('kind', [b'application/json', b'text/html; charset=utf-8'])
def test_path_is_hidden_though_it_comes_in_pieces_and_the_length_follows(tmp_path, kind):
    text = f'["{tmp_path}/a"]'.encode()
    start, body = answered(FilePaths(tmp_path), kind, text[:5], text[5:])
    assert body['body'] == b'["files/a"]'
    assert dict(start['headers'])[b'content-length'] == b'11'


def test_events_of_a_stream_go_on_as_soon_as_they_are_whole(tmp_path):
    text = f'data: {tmp_path}/a\n\n'.encode()
    _, *sent = answered(FilePaths(tmp_path), b'text/event-stream', text + text[:9], text[9:], b'')
    assert [message['body'] for message in sent] == [b'data: files/a\n\n', b'data: files/a\n\n', b'']


def test_pictures_go_through_as_they_are(tmp_path):
    content = f'{tmp_path}/'.encode()
    _, body = answered(FilePaths(tmp_path), b'image/png', content)
    assert body['body'] == content
