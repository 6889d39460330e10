"""Whatever a file of weights asks for: it draws with parts of mmcm, within bounds, or it is refused in one line."""

import inspect
import json
import re
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmcm import registry
from mmcm.apis import ConsistencyModelInferencer
from mmcm.checkpoints import trusted_config
from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.checkpoints.formats.diffusers_folder import read_config as read_diffusers
from mmcm.checkpoints.trusted_config import UNET_COST, checked_config
from mmcm.cli import analyze, convert, demo, edit, export, publish, sample, score_edits, search, test, train
from mmcm.config import read_config
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from mmcm.web.model_pool import ModelPool
from mmcm.zoo import list_configs, list_models
from support.digits import BACKBONE, build, model_config, write_config
from support.hostile_checkpoints import FORMS, LEFT_OUT, REFUSED, Traps, config_with, write
from support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
# Runners of the same second in one process share MMEngine's name for them.
pytestmark = pytest.mark.filterwarnings('ignore:.*has been created')


@pytest.fixture
def traps(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    traps = Traps(tmp_path)
    yield traps
    for name in ('hostile_module', 'hostile_scope', 'hostile_scope.registry'):
        sys.modules.pop(name, None)


def one_line(error):
    text = str(error.value)
    assert '\n' not in text and len(text) < 900
    return text


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('place', REFUSED)
def test_place_that_is_built_takes_only_what_is_listed_for_it(traps, tmp_path, place, form):
    for name, trap in traps.configs().items():
        source = write(tmp_path, name, config_with(place, trap), form)
        with pytest.raises(InputError) as error:
            ConsistencyModelInferencer(source, device='cpu')
        assert not traps.sprung, f'{place} {name}'
        assert place.removesuffix('.unheard_of') in one_line(error) and str(source) in one_line(error)


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('place', LEFT_OUT)
def test_place_that_drawing_does_not_need_is_left_out(traps, tmp_path, place, form):
    for name, trap in traps.configs().items():
        draw = ConsistencyModelInferencer(write(tmp_path, name, config_with(place, trap), form), device='cpu')
        assert set(draw.config) == {'model'} and set(draw.config.model) <= {'type', 'denoiser', 'sampler'}
        assert not traps.sprung, f'{place} {name}'
    assert len(draw(1, 3).images) == 1 and not traps.sprung


@pytest.mark.parametrize(
    'place, name',
    [
        ('model.denoiser.backbone', 'TorchScriptFeatures'),
        ('model.denoiser.backbone', 'NetworkFeatures'),
        ('model.denoiser', 'InceptionV3'),
        ('model.denoiser', 'ADMUNet'),
        ('model', 'DigitsClassifier'),
        ('model.data_preprocessor', 'ImgDataPreprocessor'),
        ('model.sampler', 'LPIPS'),
        ('model.sampler', 'KarrasDenoiser'),
        ('model.requests.noise', 'SampleNoise'),
    ],
)
@pytest.mark.parametrize('scope', ['', 'mmcm.', 'mmengine.'])
def test_registered_type_in_the_wrong_place_is_refused(tmp_path, place, name, scope):
    source = write(tmp_path, 'wrong', config_with(place, dict(type=scope + name, path='x.pt')), '.safetensors')
    with pytest.raises(InputError, match=re.escape(f'{place}') + r'(\.type)? has to be'):
        ConsistencyModelInferencer(source, device='cpu')


def test_types_may_have_our_scope(tmp_path):
    config = json.loads(json.dumps(dict(model=model_config())).replace('"type": "', '"type": "mmcm.'))
    assert config['model']['denoiser']['backbone']['type'] == 'mmcm.ADMUNet'
    assert len(ConsistencyModelInferencer(write(tmp_path, 'x', config, '.pth'), device='cpu')(2).images) == 2


@pytest.mark.parametrize(
    'text',
    [
        'import os',
        'from os import path',
        'os.mkdir("TRACE")',
        'x = os.mkdir("TRACE")',
        'model = __import__("os")',
        'model = dict(type=print())',
        'with read_base():\n    from .x import *',
        '_base_ = "other.py"',
        'x = [i for i in y]',
        'x = 9**9**9',
        'x = "a" * 999999999',
        f'x = {"9" * 5000}',
        f'x = {"[" * 5000}',
        f'x = {"-" * 900_000}1',
        'x = lambda: 1',
        'x: int = 1',
        'x = y = 1',
        'x = dict(**{})',
        'x = dict(a=1, a=2)',
        'x = f"{1}"',
        'x = "a',
        'x = dict(',
        'x = torch.load',
        'x = 1 +1',
        'x = 1j',
        f'x = "{"a" * 1_000_000}"',
        '\0',
        '(',
        'x = b"a"',
    ],
)
@pytest.mark.parametrize('form', ['.safetensors', '.pth'])
def test_text_that_is_no_list_of_settings_is_refused(traps, tmp_path, text, form):
    text = text.replace('TRACE', str(traps.trace))
    for lines in (f'{Config(dict(model=model_config())).pretty_text}\n{text}\n', f'{text}\n'):
        source = write(tmp_path, f'text{len(lines)}', lines, form)
        with pytest.raises(InputError, match='the config in it') as error:
            embedded = Checkpoint(source).config
            assert embedded == {}, embedded
            raise InputError('the config in it has no model')
        assert one_line(error) and not traps.sprung


@pytest.mark.parametrize('config', [3, dict(model=1), [], b'model = dict()', torch.ones(1)])
def test_config_that_is_no_text_is_refused(tmp_path, config):
    torch.save(dict(meta=dict(cfg=config), state_dict=dict(a=torch.ones(1))), tmp_path / 'x.pth')
    with pytest.raises(InputError, match='has to be text'):
        print(Checkpoint(tmp_path / 'x.pth').config)


BACKBONE_PLACE, SAMPLER_PLACE = 'model.denoiser.backbone', 'model.sampler'


@pytest.mark.parametrize(
    'place, value',
    [
        (f'{SAMPLER_PLACE}.num_scales', 200_000_000),
        (f'{SAMPLER_PLACE}.num_scales', 40.0),
        (f'{SAMPLER_PLACE}.num_scales', True),
        (f'{SAMPLER_PLACE}.num_scales', '40'),
        (f'{SAMPLER_PLACE}.indices', [0] * 20_000),
        (f'{SAMPLER_PLACE}.sigma_max', float('inf')),
        (f'{SAMPLER_PLACE}.rho', 0),
        (f'{SAMPLER_PLACE}.sigma_min', -1.0),
        (f'{SAMPLER_PLACE}.sigma_max', float('nan')),
        (SAMPLER_PLACE, dict(type='HeunSampler', num_steps=10**7)),
        (SAMPLER_PLACE, dict(type='EulerSampler', num_steps=10**30)),
        (SAMPLER_PLACE, dict(type='MultistepSampler', sigmas=[[80.0]])),
        (f'{BACKBONE_PLACE}.num_res_blocks', 1_000_000),
        (f'{BACKBONE_PLACE}.base_channels', 32 * 10**8),
        (f'{BACKBONE_PLACE}.channel_mult', [1] * 1000),
        (f'{BACKBONE_PLACE}.channel_mult', [10**6]),
        (f'{BACKBONE_PLACE}.channel_mult', '11'),
        (f'{BACKBONE_PLACE}.channel_mult', []),
        (f'{BACKBONE_PLACE}.image_size', 10**6),
        (f'{BACKBONE_PLACE}.image_size', 0),
        (f'{BACKBONE_PLACE}.image_size', 1024),
        (f'{BACKBONE_PLACE}.patch_size', 0),
        (f'{BACKBONE_PLACE}.patch_size', 10**6),
        (f'{BACKBONE_PLACE}.image_size', (8, 2049)),
        (f'{BACKBONE_PLACE}.image_size', (16, 2048)),
        (f'{BACKBONE_PLACE}.image_size', (8, 8, 8)),
        (f'{BACKBONE_PLACE}.image_size', [8]),
        (f'{BACKBONE_PLACE}.num_classes', 10**9),
        (f'{BACKBONE_PLACE}.in_channels', 10**6),
        (f'{BACKBONE_PLACE}.out_channels', -1),
        (f'{BACKBONE_PLACE}.num_heads', 0),
        (f'{BACKBONE_PLACE}.dropout', 2),
        (f'{BACKBONE_PLACE}.scale_shift_norm', 'yes'),
        (f'{BACKBONE_PLACE}.attention_resolutions', list(range(2000))),
        ('model.denoiser.boundary', 1),
        ('model.denoiser.sigma_data', 0),
        ('model.requests', dict(num_samples=10**9)),
        ('model.guidance', dict(scale=10**9)),
        ('model.guidance', dict(scale=2.0, checkpoint='guidance.pt')),
        ('model.guidance', dict(scale=2.0, interval=(0.0, 1.0, 2.0))),
        ('model.data_preprocessor', dict(type='ImagePreprocessor', value_range=[0, 1, 2])),
        ('class_names', ['a', 3]),
        ('class_names', ['\x1b]0;title\x07']),
        ('class_names', ['a' * 2000]),
        ('class_names', [['a'] * 3]),
    ],
)
def test_numbers_have_bounds(tmp_path, place, value):
    source = write(tmp_path, 'large', config_with(place, value), '.safetensors')
    with pytest.raises(InputError, match='the config that comes with the weights is refused') as error:
        ConsistencyModelInferencer(source, device='cpu')
    assert (place.split('.')[-1] in one_line(error)) or 'attention' in one_line(error)


@pytest.mark.parametrize('changes', [dict(base_channels=4096), dict(channel_mult=(1, 64)), dict(num_res_blocks=32)])
def test_network_that_the_file_does_not_hold_is_refused_before_it_is_built(tmp_path, changes, monkeypatch):
    monkeypatch.setattr(MODELS, 'build', None)
    source = write(tmp_path, 'small', config_with(BACKBONE_PLACE, {**BACKBONE, **changes}), '.safetensors')
    with pytest.raises(InputError, match=r'would have more than [\d,]+ weights, and the file holds \d\d\d,\d\d\d\.'):
        ConsistencyModelInferencer(source, device='cpu')


def test_networks_of_billions_of_weights_are_within_the_bounds():
    """EDM2-XXL has 448 channels, four levels and three blocks; here with twice as many: about 4.6 thousand million."""
    backbone = dict(
        type='ADMUNet',
        image_size=64,
        base_channels=896,
        num_res_blocks=3,
        attention_resolutions=(16, 8),
        channel_mult=(1, 2, 3, 4),
        num_classes=1000,
        num_head_channels=64,
    )
    model = model_config(denoiser=dict(type='KarrasDenoiser', backbone=backbone))
    model = checked_config(dict(model=model), 'x', num_weights=5_000_000_000)['model']
    with torch.device('meta'):
        assert sum(p.numel() for p in MODELS.build(model).parameters()) > 3_000_000_000
    UNET_COST.check(
        'x',
        dict(
            backbone,
            image_size=1024,
            base_channels=256,
            attention_resolutions=(32, 16, 8),
            channel_mult=(1, 1, 2, 2, 4, 4),
        ),
    )


def test_every_config_and_released_model_passes():
    for path in list_configs():
        config = read_config(path)
        model = config.get('model', {})
        if model.get('type') == 'ConsistencyModel' and not model.get('guidance', {}).get('checkpoint'):  # refused
            assert checked_config(config.to_dict(), path)
    for entry in list_models():
        if (entry.weights or '').startswith('package:'):
            assert Checkpoint(entry.name).config['model']['type'] == 'ConsistencyModel'


@pytest.mark.parametrize(
    'file, key, value',
    [
        ('scheduler/scheduler_config.json', 'num_train_timesteps', 200_000_000),
        ('scheduler/scheduler_config.json', 'num_train_timesteps', 'many'),
        ('scheduler/scheduler_config.json', 'sigma_max', [80]),
        ('scheduler/scheduler_config.json', 'rho', 'x'),
        ('scheduler/scheduler_config.json', 'sigma_data', {}),
        ('unet/config.json', 'layers_per_block', 1_000_000),
        ('unet/config.json', 'layers_per_block', '2'),
        ('unet/config.json', 'layers_per_block', [1, 2]),
        ('unet/config.json', 'block_out_channels', [32 * 10**9]),
        ('unet/config.json', 'block_out_channels', 32),
        ('unet/config.json', 'block_out_channels', ['32']),
        ('unet/config.json', 'block_out_channels', [0]),
        ('unet/config.json', 'block_out_channels', [[32]]),
        ('unet/config.json', 'block_out_channels', [32] * 10_000),
        ('unet/config.json', 'block_out_channels', {'a': 1}),
        ('unet/config.json', 'sample_size', 10**9),
        ('unet/config.json', 'sample_size', '8'),
        ('unet/config.json', 'sample_size', [8, [8]]),
        ('unet/config.json', 'sample_size', 1024),
        ('unet/config.json', 'num_class_embeds', 10**10),
        ('unet/config.json', 'in_channels', 1.5),
        ('unet/config.json', 'attention_head_dim', 0),
        ('unet/config.json', 'attention_head_dim', 'x'),
        ('unet/config.json', 'down_block_types', [3]),
        ('unet/config.json', 'down_block_types', 3),
        ('unet/config.json', 'up_block_types', [['DownBlock2D']]),
        ('unet/config.json', 'upsample_type', ['conv']),
        ('unet/config.json', 'dropout', 'a'),
    ],
)
def test_settings_of_diffusers_have_bounds(tmp_path, file, key, value):
    folder = tmp_path / 'pipeline'
    convert.main([str(write(tmp_path, 'x', dict(model=model_config()), '.safetensors')), str(folder)])
    settings = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**settings, key: value}))
    with pytest.raises(InputError) as error:
        read_diffusers(folder)
    assert len(one_line(error)) < 500


class Own(torch.nn.Module):
    """A network of a user."""

    num_classes, in_channels, image_size = None, 1, 8

    def __init__(self, **settings):
        super().__init__()
        self.settings = settings
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, x, t, labels=None):
        return self.scale * x


OWN_MODULE = f"""import torch
from mmcm import registry
from mmcm.registry import MODELS

@MODELS.register_module('OwnNetwork', force=True)
{inspect.getsource(Own)}"""


@pytest.fixture
def own(tmp_path):
    """A run with a network of the user's, whose config imports a module that registers it."""
    (tmp_path / 'own_network.py').write_text(OWN_MODULE)
    model = model_config(denoiser=dict(type='KarrasDenoiser', backbone=dict(type='OwnNetwork')))
    config = dict(model=model, custom_imports=dict(imports=['own_network'], allow_failed_imports=False))
    path = tmp_path / 'own.py'
    path.write_text(Config(config).pretty_text)
    run = write(tmp_path, 'own_run', config, 'run')
    torch.save(
        dict(meta=dict(cfg=Config(config).pretty_text, iter=8), state_dict={'denoiser.backbone.scale': torch.ones(1)}),
        run / 'iter_8.pth',
    )
    yield path, run
    MODELS.module_dict.pop('OwnNetwork', None)
    sys.modules.pop('own_network', None)


def test_run_of_an_own_network_draws_with_its_config(own, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(tmp_path)
    config, run = own
    with pytest.raises(SystemExit):
        sample.main(['--model', str(run), '--out', str(tmp_path / 'x.png')])
    assert "asks to import 'own_network' (custom_imports)" in (error := capsys.readouterr().err)
    assert '--model own.py --checkpoint FILE' in error and 'own_network' not in sys.modules
    sample.main(['--model', str(config), '--checkpoint', str(run), '--out', str(tmp_path / 'x.png')])
    assert 'OwnNetwork' in MODELS.module_dict
    # What the user has imported and registered is his choice, and then the run needs no config.
    assert len(ConsistencyModelInferencer(run, device='cpu')(2).images) == 2
    publish.main([str(run), str(tmp_path / 'own.safetensors')])
    assert len(ConsistencyModelInferencer(tmp_path / 'own.safetensors', device='cpu')(2).images) == 2


def test_own_types_are_looked_up_by_name_all_the_way_down(own, tmp_path, traps):
    MODELS.register_module(name='OwnNetwork', module=Own, force=True)
    for number, trap in enumerate(traps.configs().values()):
        for settings in (dict(part=trap), dict(parts=[dict(of=(trap,))])):
            backbone = dict(type='OwnNetwork', **settings)
            model = model_config(denoiser=dict(type='KarrasDenoiser', backbone=backbone))
            source = write(tmp_path, f'x{number}', dict(model=model), '.safetensors')
            with pytest.raises(InputError, match=r'backbone\.parts?.*type has to be'):
                ConsistencyModelInferencer(source, device='cpu')
    backbone = dict(type='OwnNetwork', init_cfg=trap, settings=dict(a=[1, 'b']), part=dict(type='OwnNetwork'))
    model = model_config(denoiser=dict(type='KarrasDenoiser', backbone=backbone))
    draw = ConsistencyModelInferencer(write(tmp_path, 'x', dict(model=model), '.safetensors'), device='cpu')
    assert draw.model.denoiser.backbone.settings == dict(settings=dict(a=[1, 'b']), part=dict(type='OwnNetwork'))
    assert not traps.sprung


RUNNING = [
    '--cfg-options',
    'test_dataloader.dataset.num_samples=20',
    'test_dataloader.batch_size=20',
    'train_cfg.max_iters=1',
    'train_dataloader.batch_size=8',
    'default_hooks.sample_grid.rows=1',
    'default_hooks.sample_grid.columns=1',
    'default_hooks.sample_grid.interval=100',
    'default_hooks.trajectory.interval=100',
    'model.denoiser.backbone.base_channels=32',
    'model.denoiser.backbone.channel_mult=(1,)',
    'model.denoiser.backbone.num_res_blocks=1',
    'model.denoiser.backbone.attention_resolutions=()',
    'model.ema_decays=(0.5,)',
]


def commands(source, folder, name):
    """Return each command that takes a model or a checkpoint, as a call."""
    out = folder / f'out{name}'
    picture = folder / 'three.png'
    if folder.is_dir():
        Image.new('L', (8, 8), 99).save(picture)
        (folder / 'large').mkdir(exist_ok=True)
        Image.new('L', (16, 16), 99).save(folder / 'large' / 'one.png')
    work = ['--work-dir', str(folder / f'work{name}')]
    source = str(source)
    draw = ['--model', source, '--device', 'cpu']
    return dict(
        sample=lambda: sample.main([*draw, '--out', f'{out}.png']),
        bulk=lambda: sample.main([*draw, '--num-images', '3', '--out', f'{out}.npz']),
        edit=lambda: edit.main(
            ['denoise', '--img', str(picture), '--sigma', '0.3', '--labels', '3', *draw, '--out', f'{out}.png']
        ),
        export=lambda: export.main(['--model', source, '--out', f'{out}.pt2']),
        convert=lambda: convert.main([source, f'{out}.safetensors']),
        to_openai=lambda: convert.main([source, f'{out}.pt']),
        publish=lambda: publish.main([source, f'{out}.safetensors']),
        demo=lambda: demo.main(
            [
                '--model-name',
                'consistency_models',
                '--model-config',
                source,
                '--result-out-dir',
                f'{out}.png',
                '--device',
                'cpu',
            ]
        ),
        seeds=lambda: analyze.main(
            ['seeds', '--row', source, '--seeds', '0', '--labels', '3', '--out', f'{out}.png', '--device', 'cpu']
        ),
        neighbours=lambda: analyze.main(
            ['neighbours', source, 'ct_1xb32_digits-8x8', '--draw', '2', '--out', f'{out}.png']
        ),
        score_edits=lambda: score_edits.main(
            [
                *draw,
                '--data',
                str(folder / 'large'),
                '--edits',
                'inpaint',
                '--num-candidates',
                '1',
                '--out',
                f'{out}.json',
            ]
        ),
        web=lambda: ModelPool([source], 'cpu').check(),
        test=lambda: test.main(['ct_1xb32_digits-8x8', source, *work, *RUNNING]),
        search=lambda: search.main(
            ['ct_1xb32_digits-8x8', source, '--num-scales', '4', '--steps', '2', *work, *RUNNING]
        ),
        teacher=lambda: train.main(['cd_1xb32_digits-8x8', *work, *RUNNING, f'model.teacher.checkpoint={source}']),
        init_from=lambda: train.main(['ct_1xb32_digits-8x8', *work, *RUNNING, f'model.init_from={source}']),
        load_from=lambda: train.main(['ct_1xb32_digits-8x8', *work, *RUNNING, f'load_from={source}']),
    )


# They read the weights of a checkpoint and nothing else, and a run takes seconds.
READ_NO_CONFIG = ('test', 'search', 'teacher', 'init_from', 'load_from')
NAMES = tuple(commands('x', Path('nowhere'), 'x'))


@pytest.mark.parametrize(
    'command',
    [
        pytest.param(name, marks=pytest.mark.slow) if name in ('export', 'teacher', 'init_from') else name
        for name in NAMES
    ],
)
def test_no_command_runs_anything(traps, tmp_path, command, capsys):
    number = count()
    size = 16 if command == 'score_edits' else 8  # of which SSIM is not defined
    kind = dict(size=size, boundary=command != 'teacher')  # which is a diffusion model
    harmless = write(tmp_path, 'harmless', config_with('log_level', 'INFO', **kind), FORMS[0])
    commands(harmless, tmp_path, next(number))[command]()  # so that an error below is about the config
    for form in FORMS[:1] if command in READ_NO_CONFIG else FORMS:
        for place in ('model.sampler', 'model.data_preprocessor', 'model.denoiser.backbone'):
            source = write(tmp_path, f'x{next(number)}', config_with(place, traps.configs()['call'], **kind), form)
            try:
                commands(source, tmp_path, next(number))[command]()
            except (SystemExit, InputError) as error:
                refused = str(error) if isinstance(error, InputError) else capsys.readouterr().err
                assert f'{place}.type has to be' in refused
            assert not traps.sprung, place
            if command in READ_NO_CONFIG:
                break


@pytest.mark.parametrize(
    'command',
    [
        ('sample', '--out', 'x.png'),
        pytest.param(('export', '--out', 'x.pt2'), marks=pytest.mark.slow),
        pytest.param(('web', '--port', '0'), marks=pytest.mark.slow),
    ],
    ids=lambda command: command[0],
)
def test_process_ends_with_one_line(traps, tmp_path, command):
    trap = traps.configs()['process']
    source = write(tmp_path, 'x', config_with('model.sampler', trap), '.safetensors')
    name, *options = command
    if name == 'web':
        pytest.importorskip('gradio')
    done = subprocess.run(
        [sys.executable, '-m', 'mmcm', name, '--model', str(source), *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 2 and not traps.sprung, done.stderr
    assert done.stderr.startswith('error: ') and done.stderr.count('\n') == 1, done.stderr


def test_address_is_no_way_round(traps, tmp_path, server):
    source = write(tmp_path, 'x', config_with('model.sampler', traps.configs()['call']), '.safetensors')
    server.content = source.read_bytes()
    with pytest.raises(InputError, match=r'model\.sampler\.type has to be'):
        ConsistencyModelInferencer(f'http://127.0.0.1:{server.server_port}/x.safetensors', device='cpu')
    assert not traps.sprung


def test_page_of_bounds_is_that_of_the_code():
    page = (ROOT / 'docs' / 'security.md').read_text(encoding='utf-8')
    rows = dict(re.findall(r'^\| `(\w+)` \| ([^|]+?) \|', page, re.MULTILINE))
    for types in (trusted_config.BACKBONES, trusted_config.SAMPLERS):
        for rules in types.values():
            for key, rule in rules.items():
                if (isinstance(rule, trusted_config.Number) and rule.whole) or key in rows:
                    assert rows[key] == str(rule), key
    for key, rule in trusted_config.REQUESTS.rules.items():
        assert key not in rows or rows[key] == str(rule)


def test_weights_with_an_own_config_are_read_whatever_their_own_says(traps, tmp_path):
    config = write_config(tmp_path)
    torch.save(
        dict(
            meta=dict(cfg='import os\nos.mkdir("x")'),
            state_dict={
                f'denoiser.backbone.{key}': value for key, value in build().denoiser.backbone.state_dict().items()
            },
        ),
        tmp_path / 'x.pth',
    )
    assert len(ConsistencyModelInferencer(config, tmp_path / 'x.pth', 'cpu')(1).images) == 1


@pytest.mark.parametrize(
    'registry, types',
    [
        (registry.MODELS, trusted_config.BACKBONES),
        (registry.MODELS, trusted_config.DENOISERS),
        (registry.SAMPLERS, trusted_config.SAMPLERS),
        (registry.MODELS, trusted_config.PREPROCESSORS),
        (registry.MODELS, trusted_config.LATENT_AUTOENCODERS),
    ],
)
def test_rules_know_every_setting_of_their_types(registry, types):
    for name, rules in types.items():
        assert set(rules) == set(inspect.signature(registry.get(name)).parameters) - set(trusted_config.LEFT_OUT), name


def test_mark_of_mmengine_in_parts_of_a_base_is_dropped():
    model = model_config()
    model['denoiser']['_scope_'] = model['denoiser']['backbone']['_scope_'] = 'mmcm'
    assert '_scope_' not in str(checked_config(dict(model=model), 'x'))
    model['denoiser']['_scope_'] = 'mmdet'
    with pytest.raises(InputError, match='_scope_'):
        checked_config(dict(model=model), 'x')


def test_scope_of_another_package_is_refused_in_a_class_of_the_user(monkeypatch):
    own = type('OwnNetwork', (torch.nn.Module,), dict(__module__='own'))
    monkeypatch.setitem(MODELS.module_dict, 'OwnNetwork', own)
    model = model_config()
    model['denoiser']['backbone'] = dict(type='OwnNetwork', _scope_='hostile_scope')
    with pytest.raises(InputError, match=r"_scope_ has to be mmcm, got 'hostile_scope'"):
        checked_config(dict(model=model), 'x')
    model['denoiser']['backbone'] = dict(type='OwnNetwork', part=[dict(_scope_='hostile_scope')])
    with pytest.raises(InputError, match=r'_scope_ has to be mmcm'):
        checked_config(dict(model=model), 'x')


def test_maps_that_all_blocks_keep_are_bounded_together():
    backbone = dict(image_size=512, base_channels=1024, channel_mult=(1, 1, 1), attention_resolutions=())
    UNET_COST.check('model', dict(backbone, num_res_blocks=4))
    with pytest.raises(InputError, match='model would keep 3,170,893,824 numbers of one image'):
        UNET_COST.check('model', dict(backbone, num_res_blocks=8))


def test_classes_count_among_the_weights_that_a_file_has_to_hold():
    backbone = dict(base_channels=32, channel_mult=(1,), num_res_blocks=1)
    plain, many = (UNET_COST.least_weights(dict(backbone, num_classes=number)) for number in (None, 10**5))
    assert many - plain == 32 * 10**5


@pytest.mark.parametrize('pretrained', ['/etc', 'https://localhost/vae', 'hf://org/vae', 3, ['sd-vae-ft-mse']])
def test_file_of_weights_names_no_autoencoder_of_its_own(pretrained):
    autoencoder = dict(type='LatentAutoencoder', pretrained=pretrained, mean=(0.0,), std=(1.0,))
    with pytest.raises(InputError, match=r'autoencoder.pretrained has to be .* may name no other file'):
        trusted_config.MODEL.check('model', dict(type='ConsistencyModel', autoencoder=autoencoder))
