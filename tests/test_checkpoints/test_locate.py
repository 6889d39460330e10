import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mmcm.checkpoints import locate
from mmcm.checkpoints.locate import cached_place, resolve_checkpoint
from mmcm.utils.errors import InputError
from mmcm.zoo.catalog import ZooModel

URL = 'https://example.org/weights/cd_small.pt'
MODELS = [
    ZooModel(name='cd_small', config='configs/a.py', weights=URL, sha256='abc'),
    ZooModel(name='ct_packaged', config='configs/a.py', weights='package:weights/ct.safetensors'),
    ZooModel(name='recipe', config='configs/recipe.py'),
    ZooModel(name='mirrored', config='configs/a.py', weights='https://a.org/m.pt', mirrors=('https://b.org/m.pt',)),
]


@pytest.fixture(autouse=True)
def small_zoo(tmp_path, monkeypatch):
    monkeypatch.setattr(locate, 'list_models', lambda: MODELS)
    monkeypatch.setattr(locate, 'PACKAGE', tmp_path / 'mmcm')
    for variable in ('MMCM_HOME', 'MMCM_MIRRORS', 'MMCM_OFFLINE'):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def downloads(monkeypatch):
    """What is asked for, in place of downloading it."""
    asked = []

    def download(urls, path, *, sha256=None, progress=True):
        asked.append((tuple(urls), path, sha256))
        return path

    monkeypatch.setattr(locate, 'download', download)
    return asked


def work_dir(folder, named, *files):
    folder.mkdir()
    (folder / 'last_checkpoint').write_text(str(named))
    for file in files:
        (folder / file).touch()
    return folder


def test_existing_file_is_taken_as_it_is(tmp_path):
    (tmp_path / 'own.pt').touch()
    assert resolve_checkpoint('own.pt') == Path('own.pt')
    assert resolve_checkpoint(tmp_path / 'own.pt') == tmp_path / 'own.pt'


def test_zoo_name_is_downloaded_into_the_cache(tmp_path, downloads, monkeypatch):
    assert resolve_checkpoint('cd_small') == tmp_path / 'home/.cache/mmcm/checkpoints/cd_small.pt'
    monkeypatch.setenv('MMCM_HOME', str(tmp_path / 'shared'))
    assert resolve_checkpoint('cd_small') == tmp_path / 'shared/checkpoints/cd_small.pt'
    assert resolve_checkpoint('cd_small', cache_dir=tmp_path / 'given') == tmp_path / 'given/checkpoints/cd_small.pt'
    assert {asked[::2] for asked in downloads} == {((URL,), 'abc')}


def test_licence_without_commercial_use_is_said_before_the_download_alone(tmp_path, downloads, monkeypatch, capsys):
    terms = {'a': 'CC-BY-NC-SA-4.0', 'b': 'MIT', 'c': None}
    models = [ZooModel(name, 'x.py', f'https://a.org/{name}.pkl', license=license) for name, license in terms.items()]
    monkeypatch.setattr(locate, 'list_models', lambda: models)
    place = resolve_checkpoint('a')
    assert capsys.readouterr().err == 'note: a is licensed under CC-BY-NC-SA-4.0: no commercial use\n'
    for name in ('b', 'c'):
        resolve_checkpoint(name)
    place.parent.mkdir(parents=True)
    place.touch()
    resolve_checkpoint('a')
    assert len(downloads) == 4 and capsys.readouterr().err == ''


def test_address_of_a_zoo_file_means_the_same_file(downloads):
    assert resolve_checkpoint(URL) == resolve_checkpoint('cd_small')


def test_files_of_two_addresses_are_kept_apart(downloads):
    first, second = resolve_checkpoint('https://a.org/model.pt?x=1'), resolve_checkpoint('https://b.org/model.pt')
    assert first.name == second.name == 'model.pt'
    assert first != second
    assert first == resolve_checkpoint('https://a.org/model.pt?x=1')


def test_mirrors_of_the_user_come_first_and_those_of_the_zoo_last(downloads, monkeypatch):
    resolve_checkpoint('mirrored')
    monkeypatch.setenv('MMCM_MIRRORS', 'http://inside/files/, http://other')
    resolve_checkpoint('mirrored')
    zoo = ('https://a.org/m.pt', 'https://b.org/m.pt')
    assert [urls for urls, _, _ in downloads] == [zoo, ('http://inside/files/m.pt', 'http://other/m.pt', *zoo)]


def test_file_of_any_other_address_is_taken_from_a_mirror_only_where_its_digest_is_known(downloads, monkeypatch):
    monkeypatch.setenv('MMCM_MIRRORS', 'http://inside')
    resolve_checkpoint('https://b.org/vgg.pth')
    resolve_checkpoint('https://b.org/vgg.pth', sha256='def')
    assert [urls for urls, _, _ in downloads] == [
        ('https://b.org/vgg.pth',),
        ('http://inside/vgg.pth', 'https://b.org/vgg.pth'),
    ]


def test_place_in_the_cache_is_where_the_file_is_downloaded_to(tmp_path, downloads):
    for model in MODELS[0], MODELS[3]:
        assert cached_place(model, tmp_path) == resolve_checkpoint(model.name, tmp_path)
    assert cached_place(MODELS[1]) == tmp_path / 'mmcm/weights/ct.safetensors'
    assert cached_place(MODELS[2]) is None


def test_address_without_a_file_name_is_refused(downloads):
    with pytest.raises(InputError, match='names no file'):
        resolve_checkpoint('https://a.org/models/')


def test_download_reaches_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    (tmp_path / 'own.pt').write_bytes(b'weights')
    handler = type('Quiet', (SimpleHTTPRequestHandler,), {'log_message': lambda *args: None})
    with ThreadingHTTPServer(('127.0.0.1', 0), partial(handler, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        url = f'http://127.0.0.1:{server.server_port}/own.pt'
        path = resolve_checkpoint(url, cache_dir=tmp_path / 'cache', progress=False)
        server.shutdown()
    assert path.read_bytes() == b'weights'
    assert resolve_checkpoint(url, cache_dir=tmp_path / 'cache') == path  # with no server any more


def test_packaged_file_is_found_by_reference_and_by_name(tmp_path):
    with pytest.raises(InputError, match='no file .* in the installed package'):
        resolve_checkpoint('ct_packaged')
    (tmp_path / 'mmcm/weights').mkdir(parents=True)
    (tmp_path / 'mmcm/weights/ct.safetensors').touch()
    assert resolve_checkpoint('ct_packaged') == resolve_checkpoint('package:weights/ct.safetensors')
    assert resolve_checkpoint('ct_packaged') == tmp_path / 'mmcm/weights/ct.safetensors'


def test_recipe_without_weights_says_so():
    with pytest.raises(InputError, match='without weights: train it with configs/recipe.py'):
        resolve_checkpoint('recipe')


def test_work_dir_means_its_last_checkpoint(tmp_path):
    elsewhere = tmp_path / 'elsewhere.pth'
    elsewhere.touch()
    assert resolve_checkpoint(work_dir(tmp_path / 'run', f'{elsewhere}\n')) == elsewhere


def test_work_dir_that_was_moved_means_its_own_checkpoint(tmp_path):
    moved = work_dir(tmp_path / 'moved', '/gone/run/iter_10.pth', 'iter_10.pth')
    assert resolve_checkpoint(moved) == moved / 'iter_10.pth'


def test_work_dir_that_was_copied_means_its_own_checkpoint(tmp_path):
    original = work_dir(tmp_path / 'run', tmp_path / 'run' / 'iter_10.pth', 'iter_10.pth')
    copied = work_dir(tmp_path / 'copy', original / 'iter_10.pth', 'iter_10.pth')
    assert resolve_checkpoint(copied) == copied / 'iter_10.pth'


def test_work_dir_without_the_checkpoint_it_names_is_reported(tmp_path):
    with pytest.raises(InputError, match="names '/gone/iter_10.pth'"):
        resolve_checkpoint(work_dir(tmp_path / 'run', '/gone/iter_10.pth'))


def test_folder_that_bears_the_name_of_a_model_does_not_hide_it(tmp_path, downloads):
    (tmp_path / 'cd_small').mkdir()
    assert resolve_checkpoint('cd_small').name == 'cd_small.pt'


def test_unknown_checkpoint_says_what_was_tried_in_one_line(tmp_path):
    with pytest.raises(InputError, match='no file or folder .* no model of the zoo, nearest: cd_small;') as caught:
        resolve_checkpoint('cd_smal')
    assert '\n' not in str(caught.value)
    with pytest.raises(InputError, match='a folder with neither a checkpoint of a run'):
        resolve_checkpoint(tmp_path)


def test_recipe_without_weights_is_no_checkpoint():
    with pytest.raises(
        InputError, match='ict_8xb512_imagenet1k-64x64 is a recipe.*mmcm train ict_8xb512_imagenet1k-64x64'
    ):
        resolve_checkpoint('ict_8xb512_imagenet1k-64x64')
