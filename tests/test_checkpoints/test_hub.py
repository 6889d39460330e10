import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mmcm.checkpoints.hub import hub_id
from mmcm.checkpoints.locate import resolve_checkpoint
from mmcm.utils.errors import InputError
from support.hub_server import COMMIT, HubServer
from support.patience import PATIENCE

pytest.importorskip('huggingface_hub')
SETTINGS = {
    'model_index.json': b'{"_class_name": "ConsistencyModelPipeline"}',
    'scheduler/scheduler_config.json': b'{}',
    'unet/config.json': b'{"_class_name": "UNet2DModel"}',
}
STEM = 'unet/diffusion_pytorch_model'
REPOSITORY = {
    **SETTINGS,
    'README.md': b'# A model',
    'cd.pt': b'the original file',
    f'{STEM}.bin': b'bin',
    f'{STEM}.fp16.bin': b'half bin',
    f'{STEM}.fp16.safetensors': b'half',
    f'{STEM}.safetensors': b'full',
}


@pytest.fixture
def hub():
    with HubServer() as hub:
        hub.repositories['openai/diffusers-cd'] = dict(REPOSITORY)
        thread = threading.Thread(target=hub.serve_forever, kwargs={'poll_interval': 0.01}, daemon=True)
        thread.start()
        yield hub
        hub.shutdown()
        thread.join()


def mmcm_download(hub, folder, *arguments, **environment):
    """Run `mmcm download` in a process of its own: the hub's address is read when huggingface_hub is imported."""
    environment = {
        **os.environ,
        'HF_ENDPOINT': hub.url,
        'HF_HOME': str(folder / 'hf'),
        'HOME': str(folder),
        'no_proxy': '127.0.0.1',
        'PYTHONPATH': os.pathsep.join(sys.path),
        **environment,
    }
    return subprocess.run(
        [sys.executable, '-m', 'mmcm', 'download', *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def fetched(process):
    """Return the folder that was printed, and what it holds."""
    assert process.returncode == 0, process.stderr
    folder = Path(process.stdout.strip())
    return folder, {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob('*') if path.is_file()
    }


def test_what_drawing_needs_is_fetched_and_nothing_else(hub, tmp_path):
    folder, files = fetched(mmcm_download(hub, tmp_path, 'openai/diffusers-cd'))
    assert files == {**SETTINGS, f'{STEM}.safetensors': b'full'}
    assert folder.name == COMMIT
    assert folder.is_relative_to(tmp_path / 'hf' / 'hub' / 'models--openai--diffusers-cd')  # the hub's own cache


@pytest.mark.parametrize(
    'present, taken',
    [
        (['.bin', '.fp16.safetensors'], ['.bin']),
        (['.fp16.safetensors', '.fp16.bin'], ['.fp16.safetensors']),
        (['.fp16.bin'], ['.fp16.bin']),
        (
            ['-00001-of-00002.safetensors', '-00002-of-00002.safetensors', '.safetensors.index.json', '.bin'],
            ['-00001-of-00002.safetensors', '-00002-of-00002.safetensors', '.safetensors.index.json'],
        ),
        (
            ['.fp16-00001-of-00001.safetensors', '.safetensors.index.fp16.json', '.fp16.bin'],
            ['.fp16-00001-of-00001.safetensors', '.safetensors.index.fp16.json'],
        ),
        (
            ['-00001-of-00001.fp16.safetensors', '.safetensors.fp16.index.json', '.fp16.bin'],
            ['-00001-of-00001.fp16.safetensors', '.safetensors.fp16.index.json'],
        ),
        (['-00001-of-00001.fp16.bin', '.bin.fp16.index.json', '.bin'], ['.bin']),
    ],
)
def test_full_precision_goes_before_half_and_safetensors_before_bin(hub, tmp_path, present, taken):
    hub.repositories['openai/diffusers-cd'] = {**SETTINGS, **{STEM + suffix: b'weights' for suffix in present}}
    _, files = fetched(mmcm_download(hub, tmp_path, 'openai/diffusers-cd'))
    assert set(files) == {*SETTINGS, *(STEM + suffix for suffix in taken)}


def test_network_alone_is_fetched_too(hub, tmp_path):
    hub.repositories['me/unet'] = {'config.json': b'{}', 'diffusion_pytorch_model.safetensors': b'weights'}
    assert set(fetched(mmcm_download(hub, tmp_path, 'hf://me/unet'))[1]) == set(hub.repositories['me/unet'])


def test_cache_dir_and_revision_are_kept_to(hub, tmp_path):
    arguments = 'hf://openai/diffusers-cd@v1', '--cache-dir', str(tmp_path / 'own')
    folder, _ = fetched(mmcm_download(hub, tmp_path, *arguments))
    assert folder.is_relative_to(tmp_path / 'own' / 'hub')
    assert '/api/models/openai/diffusers-cd/revision/v1' in hub.asked
    assert not (tmp_path / 'hf' / 'hub').exists()


@pytest.mark.parametrize('variable', ['HF_HUB_OFFLINE', 'MMCM_OFFLINE'])
def test_without_network_what_was_fetched_is_found(hub, tmp_path, variable):
    first = fetched(mmcm_download(hub, tmp_path, 'openai/diffusers-cd'))
    hub.asked.clear()
    assert fetched(mmcm_download(hub, tmp_path, 'openai/diffusers-cd', **{variable: '1'})) == first
    refused = mmcm_download(hub, tmp_path, 'openai/another', **{variable: '1'})
    assert refused.returncode == 2
    assert 'is not in the cache, and MMCM_OFFLINE or HF_HUB_OFFLINE is set' in refused.stderr
    assert hub.asked == []


@pytest.mark.parametrize(
    'identity, reason',
    [
        ('openai/none', 'there is no such repository'),
        ('hf://openai/diffusers-cd@v9', 'there is no such revision'),
        ('hf://one', 'takes org/name or org/name@revision'),
        ('openai/empty', r'the hub has no unet/diffusion_pytorch_model.safetensors \(or .bin\)'),
    ],
)
def test_what_the_hub_does_not_have_is_told_in_one_line(hub, tmp_path, identity, reason):
    hub.repositories['openai/empty'] = dict(SETTINGS)
    refused = mmcm_download(hub, tmp_path, identity)
    assert refused.returncode == 2 and refused.stdout == ''
    assert re.fullmatch(f'error: .*{reason}.*\n', refused.stderr)


def test_hub_that_cannot_be_reached_is_told_with_the_place_of_the_cache(hub, tmp_path):
    hub.shutdown()
    hub.server_close()
    refused = mmcm_download(hub, tmp_path, 'openai/diffusers-cd')
    assert refused.returncode == 2
    assert 'no connection' in refused.stderr and 'offline?' in refused.stderr
    assert str(tmp_path / 'hf' / 'hub') in refused.stderr


def test_missing_extra_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    for identity in ('openai/diffusers-cd', 'hf://openai/diffusers-cd'):
        with pytest.raises(InputError, match='is missing: pip install huggingface_hub$'):
            resolve_checkpoint(identity)


def test_paths_are_no_ids_of_the_hub(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'runs').mkdir()
    for path in ('runs/cd', 'work_dirs/cd', 'models/cd.pt', 'configs/cd.py', './cd', '/models/cd', 'a/b/c', 'cd'):
        assert hub_id(path) is None, path
    assert hub_id('openai/diffusers-cd_imagenet64_l2') == 'openai/diffusers-cd_imagenet64_l2'
    assert hub_id('hf://openai/cd@v1') == 'openai/cd@v1'


def test_folder_of_diffusers_is_returned_as_it_is(tmp_path):
    for name, content in REPOSITORY.items():
        (tmp_path / 'pipeline' / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / 'pipeline' / name).write_bytes(content)
    assert resolve_checkpoint(tmp_path / 'pipeline') == tmp_path / 'pipeline'
    assert resolve_checkpoint(tmp_path / 'pipeline' / 'unet') == tmp_path / 'pipeline' / 'unet'
    with pytest.raises(InputError, match='digest of one file'):
        resolve_checkpoint(tmp_path / 'pipeline', sha256='0' * 64)
