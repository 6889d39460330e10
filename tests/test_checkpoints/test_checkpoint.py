"""A checkpoint is read once, whatever is asked of it and whichever command asks."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from PIL import Image
from safetensors.torch import load_file, save_file

from mmcm.checkpoints import checkpoint as checkpoint_module
from mmcm.checkpoints import read, resolve_checkpoint
from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.checkpoints.formats.diffusers_folder import write_folder
from mmcm.checkpoints.write import write_safetensors
from mmcm.cli.main import main
from mmcm.utils.errors import InputError
from mmcm.zoo import catalog, list_models
from support.digits import build, model_config, objective_config

TEXT = "model = dict(type='A')\n"


def test_text_is_found_where_commands_write_it(tmp_path):
    save_file(dict(a=torch.ones(1)), tmp_path / 'published.safetensors', dict(config=TEXT))
    torch.save(dict(meta=dict(cfg=TEXT), state_dict=dict(a=torch.ones(1))), tmp_path / 'iter_8.pth')
    assert (
        Checkpoint(tmp_path / 'published.safetensors').config_text
        == Checkpoint(tmp_path / 'iter_8.pth').config_text
        == TEXT
    )


def test_no_tensor_of_a_safetensors_file_is_read(tmp_path, monkeypatch):
    save_file(dict(a=torch.ones(2, 3), b=torch.ones(())), tmp_path / 'x.safetensors', dict(config=TEXT))
    monkeypatch.setattr('mmcm.checkpoints.checkpoint.read_checkpoint', lambda *_, **__: pytest.fail('read all of it'))
    checkpoint = Checkpoint(tmp_path / 'x.safetensors')
    assert (checkpoint.config_text, checkpoint.num_weights) == (TEXT, 7)


def test_truncated_safetensors_file_is_refused(tmp_path):
    save_file(dict(a=torch.ones(100)), tmp_path / 'x.safetensors', dict(config=TEXT))
    content = (tmp_path / 'x.safetensors').read_bytes()
    (tmp_path / 'x.safetensors').write_bytes(content[:-8])
    with pytest.raises(InputError, match='is no whole checkpoint'):
        print(Checkpoint(tmp_path / 'x.safetensors').config_text)


def test_weights_alone_have_none(tmp_path):
    save_file(dict(a=torch.ones(1)), tmp_path / 'x.safetensors')
    torch.save(dict(a=torch.ones(1)), tmp_path / 'x.pt')
    torch.save(dict(meta=None, a=torch.ones(1)), tmp_path / 'y.pt')
    assert [Checkpoint(tmp_path / name).config_text for name in ('x.safetensors', 'x.pt', 'y.pt')] == ['', '', '']


def test_weights_that_share_a_storage_count_once(tmp_path):
    whole = torch.zeros(100)
    for content, count in (
        (dict(a=whole, b=whole.view(10, 10), c=whole[:7], d=torch.zeros(3, dtype=torch.half)), 103),
        (dict(a=whole[:20], b=whole[20:50]), 50),
        (dict(a=torch.zeros(2).expand(500, 2)), 2),
        (dict(a=torch.zeros(0), b=torch.zeros(0), step=3), 0),
    ):
        torch.save(content, tmp_path / 'x.pth')
        assert Checkpoint(tmp_path / 'x.pth').num_weights == count
    save_file(dict(a=torch.ones(5), b=torch.ones(2, dtype=torch.half)), tmp_path / 'x.safetensors')
    assert Checkpoint(tmp_path / 'x.safetensors').num_weights == 7


def test_file_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / 'x.safetensors').write_bytes(b'half')
    with pytest.raises(InputError, match='x.safetensors is a text .*and no checkpoint'):
        print(Checkpoint(tmp_path / 'x.safetensors').config_text)


class Reads:
    """Counts, by file, what the lowest readers read."""

    def __init__(self, monkeypatch):
        self.tensors, self.headers, self.configs = Counter(), Counter(), Counter()
        safe_open, load, parse_config, from_file = (
            read.safe_open,
            torch.load,
            checkpoint_module.parse_config,
            Config.fromfile,
        )

        class Opened:
            def __init__(opened, path, framework):
                opened.file, opened.path = safe_open(path, framework=framework), str(path)

            def __enter__(opened):
                opened.entered = opened.file.__enter__()
                return opened

            def __exit__(opened, *error):
                return opened.file.__exit__(*error)

            def __getattr__(opened, name):
                if name == 'metadata':
                    self.headers[opened.path] += 1
                return getattr(opened.entered, name)

            def get_tensor(opened, key):
                self.tensors[f'{opened.path}:{key}'] += 1
                return opened.entered.get_tensor(key)

        monkeypatch.setattr(read, 'safe_open', Opened)
        monkeypatch.setattr(
            torch, 'load', lambda path, **options: self.count(self.tensors, path) or load(path, **options)
        )
        monkeypatch.setattr(
            checkpoint_module,
            'parse_config',
            lambda text, source: self.count(self.configs, source) or parse_config(text, source),
        )
        monkeypatch.setattr(
            Config,
            'fromfile',
            lambda path, *args, **options: self.count(self.configs, path) or from_file(path, *args, **options),
        )

    @staticmethod
    def count(counter, path):
        counter[str(getattr(path, 'name', path) if not isinstance(path, Path) else path)] += 1

    def check(self, *names):
        """Each tensor, each header and each config was read at most once, and the tensors of all `names` were."""
        for counter in (self.tensors, self.headers, self.configs):
            assert [name for name, count in counter.items() if count > 1] == []
        for name in names:
            assert any(str(name) in read for read in self.tensors), self.tensors


@pytest.fixture
def reads(monkeypatch):
    return Reads(monkeypatch)


@pytest.fixture(params=['run', 'iter_8.pth', 'old.pth', 'x.safetensors', 'pipeline'])
def model(request, tmp_path):
    """What a command takes as --model: a work directory, files with their config, a diffusers folder."""
    options = dict(objective=objective_config(), ema_decays=(0.999,))
    network = build(**options)
    path = tmp_path / request.param
    config = Config(dict(model=model_config(**options))).pretty_text
    content = dict(meta=dict(iter=8, cfg=config), state_dict=network.state_dict())
    if request.param == 'pipeline':
        write_folder(path, model_config(), network.denoiser.backbone.state_dict())
    elif request.param == 'x.safetensors':
        write_safetensors(path, network.denoiser.backbone.state_dict(), dict(config=config))
    elif request.param == 'run':
        path.mkdir()
        torch.save(content, path / 'iter_8.pth')
        (path / 'last_checkpoint').write_text(str(path / 'iter_8.pth'))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=request.param != 'old.pth')
    return path


@pytest.fixture
def digit(tmp_path):
    Image.new('L', (8, 8), 200).save(tmp_path / 'digit.png')
    return tmp_path / 'digit.png'


@pytest.mark.parametrize('command', ['sample', 'edit', 'publish', 'convert'])
def test_command_reads_a_checkpoint_once(tmp_path, model, digit, command, reads):
    out = tmp_path / 'out.safetensors'
    arguments = dict(
        sample=['--out', tmp_path / 'out.png', '--num-images', 2],
        edit=['super-resolve', '--img', digit, '--factor', 2, '--region', 'square', '--out', tmp_path / 'edited'],
        publish=['--out', out],
        convert=['--out', out],
    )[command]
    main([command, *map(str, arguments), '--model', str(model)])
    reads.check(model)


@pytest.mark.filterwarnings('ignore:.*has been created')  # runners of the same second share MMEngine's name for them
def test_averages_are_measured_from_one_reading(tmp_path, monkeypatch, reads):
    monkeypatch.chdir(tmp_path)
    weights = load_file(resolve_checkpoint('digits'))
    content = {f'{part}.backbone.{key}': value for part in ('denoiser', 'emas.0_999') for key, value in weights.items()}
    torch.save(dict(state_dict=content), tmp_path / 'iter_8.pth')
    main(
        [
            'test',
            'cd_1xb32_digits-8x8',
            '--model',
            'iter_8.pth',
            '--emas',
            '0.999,online',
            '-n',
            '10',
            '--work-dir',
            'w',
        ]
    )
    reads.check('iter_8.pth')


def test_web_demo_reads_a_model_once(model, reads):
    pytest.importorskip('gradio')
    from mmcm.web.model_pool import ModelPool

    pool = ModelPool([str(model)], 'cpu')
    pool.check()
    (name,) = pool.names
    pool.warm_up(name, 1)
    pool.get(name)(2)
    reads.check(model)


def test_model_of_the_zoo_is_read_once(tmp_path, reads, monkeypatch):
    files = Counter()
    read_yaml = catalog._read_yaml
    monkeypatch.setattr(catalog, '_read_yaml', lambda path: Reads.count(files, path) or read_yaml(path))
    catalog._read_models.cache_clear()
    main(['sample', '--model', 'digits', '--out', str(tmp_path / 'x.png'), '--num-images', '1'])
    main(['convert', '--model', 'digits', '--out', str(tmp_path / 'x.pt')])
    assert files and set(files.values()) == {1}
    assert all(one is other for one, other in zip(list_models(), list_models()))
    assert set(reads.configs.values()) <= {1}


def test_content_that_was_released_is_read_again(tmp_path):
    torch.save(dict(a=torch.ones(1)), tmp_path / 'x.pt')
    checkpoint = Checkpoint(tmp_path / 'x.pt')
    first = checkpoint.content
    assert checkpoint.content is first
    checkpoint.release()
    assert checkpoint.content is not first


def test_checkpoint_is_opened_as_itself(tmp_path):
    checkpoint = Checkpoint(tmp_path / 'not there yet')
    assert Checkpoint.open(checkpoint) is checkpoint
    with pytest.raises(InputError, match='no checkpoint'):
        checkpoint.locate()


@pytest.mark.filterwarnings('ignore::DeprecationWarning')
def test_former_functions_read_a_path(tmp_path):
    import mmcm.checkpoints as package

    write_safetensors(tmp_path / 'x.safetensors', dict(a=torch.ones(1)), dict(config=TEXT))
    assert package.config_text(tmp_path / 'x.safetensors') == TEXT
    write_safetensors(tmp_path / 'y.safetensors', dict(a=torch.ones(1)), {})
    assert package.embedded_config(tmp_path / 'y.safetensors') == {}
