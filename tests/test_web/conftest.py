import signal
from types import SimpleNamespace

import pytest
import torch
from digits import BACKBONE, build, model_config, write_config
from web_server import WebServer

NAMES = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine']


@pytest.fixture
def start_server():
    """How to start a server that is for one test."""
    servers = []

    def start(*args):
        servers.append(WebServer(*args))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.end(signal.SIGTERM)


@pytest.fixture(scope='session')
def models(tmp_path_factory):
    """Names of models for the shelf: the shipped one, and tiny ones: with names of classes, without any, with Heun's
    method, and a slow one of three classes.
    """
    folder = tmp_path_factory.mktemp('models')

    def write(name, seed=0, model=None, **top_level):
        model = model or {}
        weights = build(seed, **model).denoiser.backbone.state_dict()
        torch.save(weights, folder / f'{name}.pt')
        path = write_config(folder, f'{name}.py', model_config(**model), checkpoint=str(folder / f'{name}.pt'),
                            **top_level)
        return str(path)

    unconditional = dict(BACKBONE, num_classes=None, in_channels=3, out_channels=3)
    return SimpleNamespace(
        digits='digits', named=write('named', 1, class_names=NAMES),
        colour=write('colour', 2, dict(denoiser=dict(type='KarrasDenoiser', backbone=unconditional))),
        diffusion=write('diffusion', 3, dict(
            denoiser=dict(type='KarrasDenoiser', backbone=dict(BACKBONE), boundary=False),
            sampler=dict(type='HeunSampler', num_steps=5))),
        slow=write('slow', 4, dict(
            denoiser=dict(type='KarrasDenoiser', backbone=dict(BACKBONE, image_size=32, num_classes=3), boundary=False),
            sampler=dict(type='HeunSampler', num_steps=9)), class_names=['cat', 'dog', 'hen']))


@pytest.fixture(scope='session')
def web(models, tmp_path_factory):
    """A server of all `models`, with room for 30 pictures in a request, where three may wait."""
    server = WebServer(tmp_path_factory.mktemp('web'), '--max-images', 30, '--max-upload-mb', 2, '--queue', 3,
                       '--model', *vars(models).values())
    yield server
    assert server.end(signal.SIGTERM) == 0, server.output
    assert list(server.tmp.iterdir()) == []


@pytest.fixture(scope='session')
def client(web, tmp_path_factory):
    """A client of that server."""
    gradio_client = pytest.importorskip('gradio_client')
    return gradio_client.Client(web.url, verbose=False, analytics_enabled=False,
                                download_files=str(tmp_path_factory.mktemp('downloads')))
