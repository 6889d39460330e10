import os
import signal
from types import SimpleNamespace

import pytest
import torch

from support.digits import BACKBONE, build, model_config, write_config
from support.web_server import ROOT, WebServer

NAMES = ['zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine']

OWN_NETWORK = """
import time

from mmcm.backbones import ADMUNet
from mmcm.registry import MODELS


@MODELS.register_module()
class OwnUNet(ADMUNet):

    def forward(self, *args, **options):
        {call}
        return super().forward(*args, **options)
"""


@pytest.fixture
def start_server():
    """How to start a server that is for one test."""
    servers = []

    def start(*args, **options):
        servers.append(WebServer(*args, **options))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.end(signal.SIGTERM)


@pytest.fixture(scope='session')
def models(tmp_path_factory):
    """Names of models for the pool: the shipped one, and tiny ones: with names of classes, without any, with Heun's
    method, a slow one of three classes, one with a null class, and one of images that are no squares.
    """
    folder = tmp_path_factory.mktemp('models')

    def write(name, seed=0, model=None, **top_level):
        model = model or {}
        weights = build(seed, **model).denoiser.backbone.state_dict()
        torch.save(weights, folder / f'{name}.pt')
        path = write_config(
            folder, f'{name}.py', model_config(**model), checkpoint=str(folder / f'{name}.pt'), **top_level
        )
        return str(path)

    unconditional = dict(BACKBONE, num_classes=None, in_channels=3, out_channels=3)
    return SimpleNamespace(
        digits='digits',
        named=write('named', 1, class_names=NAMES),
        colour=write('colour', 2, dict(denoiser=dict(type='KarrasDenoiser', backbone=unconditional))),
        diffusion=write(
            'diffusion',
            3,
            dict(
                denoiser=dict(type='KarrasDenoiser', backbone=dict(BACKBONE), boundary=False),
                sampler=dict(type='HeunSampler', num_steps=5),
            ),
        ),
        slow=write(
            'slow',
            4,
            dict(
                denoiser=dict(
                    type='KarrasDenoiser', backbone=dict(BACKBONE, image_size=32, num_classes=3), boundary=False
                ),
                sampler=dict(type='HeunSampler', num_steps=9),
            ),
            class_names=['cat', 'dog', 'hen'],
        ),
        flow_map=write(
            'flow_map',
            7,
            dict(
                denoiser=dict(type='FlowMapDenoiser', backbone=dict(BACKBONE, num_conditions=1)),
                sampler=dict(type='FlowMapSampler', num_steps=1),
            ),
        ),
        guidable=write(
            'guidable', 8, dict(denoiser=dict(type='KarrasDenoiser', backbone=dict(BACKBONE, null_class=True)))
        ),
        wide=write(
            'wide', 6, dict(denoiser=dict(type='KarrasDenoiser', backbone=dict(unconditional, image_size=(8, 12))))
        ),
    )


@pytest.fixture(scope='session')
def own_network(tmp_path_factory):
    """How to write a config with a network of one's own: a name and what it does in each call; returns the config, its
    weights, and the variables by which a process finds the network.
    """

    def write(name, call, **backbone):
        folder = tmp_path_factory.mktemp(name)
        (folder / f'{name}.py').write_text(OWN_NETWORK.format(call=call))
        backbone = dict(BACKBONE, **backbone)
        denoiser = dict(type='KarrasDenoiser', backbone=backbone, boundary=False)
        model = dict(denoiser=denoiser, sampler=dict(type='HeunSampler', num_steps=9))
        torch.save(build(5, **model).denoiser.backbone.state_dict(), folder / 'weights.pt')
        model['denoiser'] = dict(denoiser, backbone=dict(backbone, type='OwnUNet'))
        config = write_config(folder, 'own.py', model_config(**model), custom_imports=dict(imports=[name]))
        return config, folder / 'weights.pt', dict(PYTHONPATH=os.pathsep.join([str(ROOT), str(folder)]))

    return write


@pytest.fixture(scope='session')
def counted(own_network, tmp_path_factory):
    """A slow diffusion model of three classes, `own` on the page, and a file with one byte per network call."""
    calls = tmp_path_factory.mktemp('calls') / 'calls'
    call = f"with open({str(calls)!r}, 'ab') as calls:\n            calls.write(b'.')\n        time.sleep(1)"
    config, weights, variables = own_network('counting', call, image_size=32, num_classes=3)
    config.write_text(f"{config.read_text()}\ncheckpoint = {str(weights)!r}\nclass_names = ['cat', 'dog', 'hen']\n")
    return SimpleNamespace(config=config, calls=calls, variables=variables)


@pytest.fixture(scope='session')
def web(models, counted, tmp_path_factory):
    """A server of all `models` and the `counted` one, with room for 30 pictures in a request, where three may wait."""
    server = WebServer(
        tmp_path_factory.mktemp('web'),
        '--max-images',
        30,
        '--max-upload-mb',
        2,
        '--queue',
        3,
        '--model',
        *vars(models).values(),
        counted.config,
        **counted.variables,
    )
    yield server
    assert server.end(signal.SIGTERM) == 0, server.output
    assert list(server.tmp.iterdir()) == []


@pytest.fixture(scope='session')
def client(web, tmp_path_factory):
    """A client of that server."""
    gradio_client = pytest.importorskip('gradio_client')
    return gradio_client.Client(
        web.url, verbose=False, analytics_enabled=False, download_files=str(tmp_path_factory.mktemp('downloads'))
    )
