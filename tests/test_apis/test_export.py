import json
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from zipfile import ZipFile

import cv2
import pytest
import torch
from torch import nn

from mmcm.apis import ConsistencyModelInferencer
from mmcm.apis import export as export_module
from mmcm.apis.export import FORMATS, SamplingGraph, check_export, export
from mmcm.noise.generators import SampleNoise
from mmcm.registry import MODELS, SAMPLERS
from mmcm.utils.errors import InputError
from mmcm.utils.finite import NotFiniteError
from support.digits import BACKBONE, EDM2, build, model_config, randomise
from support.hostile_snapshots import SNAPSHOT

ROOT = Path(__file__).parents[2]
SAMPLERS_TO_EXPORT = [
    dict(type='MultistepSampler', indices=(0,)),
    dict(type='MultistepSampler', sigmas=(80.0, 1.5, 0.5), sigma_end=0.1),
    dict(type='HeunSampler', num_steps=2),
    dict(type='HeunSampler', num_steps=2, s_churn=10.0, s_tmin=0.1),
    dict(type='DPM2Sampler', num_steps=2),
    dict(type='EulerSampler', num_steps=2),
    dict(type='EulerAncestralSampler', num_steps=2),
    dict(type='ProgressiveDistillationSampler', num_steps=2),
]


def unconditional(denoiser='KarrasDenoiser', **changes):
    return build(denoiser=dict(type=denoiser, backbone=dict(BACKBONE, num_classes=None, **changes)))


def largest_difference(path, model, num_images, sampler=None):
    """Return by how much a file and `ConsistencyModel.sample` differ in a batch of the seeds from 0."""
    inputs = SamplingGraph(model, sampler).inputs(num_images)
    labels = inputs[1] if len(inputs) > 1 else None
    expected = model.sample(num_images, labels, SampleNoise(range(num_images)), sampler=sampler)
    images = FORMATS[path.suffix].run(path, inputs)
    assert images.shape == expected.shape and images.dtype == expected.dtype
    return (images - expected).abs().max().item()


@pytest.mark.parametrize('config', SAMPLERS_TO_EXPORT, ids=lambda config: '-'.join(map(str, config.values())))
def test_graph_is_the_model_with_its_noise_as_an_input(config):
    model, sampler = build(), SAMPLERS.build(config)
    graph = SamplingGraph(model, sampler)
    noise, labels = graph.inputs(3)
    expected = model.sample(3, labels, SampleNoise(range(3)), sampler=sampler)
    assert labels.tolist() == [0, 4, 9]
    assert noise.shape == (3, graph.num_draws, 1, 8, 8)
    assert torch.equal(graph(noise, labels), expected) and expected.std() > 0.1
    assert len(graph.sigmas) == sampler.nfe and graph.sigmas[0] == pytest.approx(80, rel=0.5)


@pytest.mark.parametrize('interval, num_guided', [(None, 3), ((0.5, 30.0), 1)])
def test_graph_is_guided_as_the_model_is(interval, num_guided):
    denoiser = dict(type='KarrasDenoiser', backbone=dict(BACKBONE, null_class=True))
    model = build(denoiser=denoiser, guidance=dict(scale=2.0, interval=interval))
    sampler = SAMPLERS.build(dict(type='HeunSampler', num_steps=2, sigma_max=30.0, sigma_min=0.5))
    graph = SamplingGraph(model, sampler)
    noise, labels = graph.inputs(3)
    expected = model.sample(3, labels, SampleNoise(range(3)), sampler=sampler)
    assert torch.equal(graph(noise, labels), expected)
    assert sum(each.acts for each in graph.guidances) == num_guided
    plain = build(denoiser=denoiser).sample(3, labels, SampleNoise(range(3)), sampler=sampler)
    assert not torch.equal(plain, expected)


@pytest.mark.parametrize('interval', [None, (0.5, 30.0)])
def test_graph_tells_a_network_its_guidance_as_the_model_does(interval):
    denoiser = dict(type='KarrasDenoiser', backbone=dict(BACKBONE, num_conditions=1), guided=True)
    model = build(denoiser=denoiser, guidance=dict(scale=2.0, interval=interval))
    sampler = SAMPLERS.build(dict(type='MultistepSampler', sigmas=(80.0, 1.0)))
    graph = SamplingGraph(model, sampler)
    noise, labels = graph.inputs(3)
    expected = model.sample(3, labels, SampleNoise(range(3)), sampler=sampler)
    assert torch.equal(graph(noise, labels), expected)
    plain = build(denoiser=denoiser).sample(3, labels, SampleNoise(range(3)), sampler=sampler)
    assert not torch.allclose(plain, expected, atol=1e-3)


def test_graph_leaves_the_model_as_it_is_and_shares_its_weights():
    model = build(ema_decays=(0.9,)).train()
    graph = SamplingGraph(model)
    assert model.training and model.denoiser.training and next(model.denoiser.parameters()).requires_grad
    average = model.emas['0_9'].backbone.out[2].weight
    assert graph.denoiser.backbone.out[2].weight.data_ptr() == average.data_ptr()
    assert not graph(*graph.inputs(1)).requires_grad and not graph.denoiser.training


@pytest.fixture(scope='module')
def digits():
    return ConsistencyModelInferencer('digits', device='cpu').load()


@pytest.fixture(scope='module')
def exported(digits, tmp_path_factory):
    """Digits in a file: in one step or in two, for ONNX or torch. Each is written when the first test asks for it."""
    pytest.importorskip('onnxruntime')
    folder = tmp_path_factory.mktemp('files')
    two_steps = digits.choose_sampler(sigmas=(80.0, 1.5))

    @cache
    def write(name):
        sampler = two_steps if name.startswith('two') else None
        return folder / name, sampler, export(digits.model, folder / name, sampler, name='digits')[1]

    return write


@pytest.mark.parametrize('name', ['one.onnx', 'two.onnx', 'two.pt2'])
@pytest.mark.parametrize('num_images', [1, 3, 16])
def test_digits_from_a_file_are_those_of_the_model(digits, exported, name, num_images):
    path, sampler, measured = exported(name)
    limit = 1e-4 if path.suffix == '.onnx' else 1e-5
    assert largest_difference(path, digits.model, num_images, sampler) <= limit
    assert measured <= limit


def test_onnx_file_says_what_it_takes_and_is(exported):
    import onnxruntime

    session = onnxruntime.InferenceSession(exported('two.onnx')[0])
    inputs = {value.name: (value.type, value.shape) for value in session.get_inputs()}
    assert inputs == dict(noise=('tensor(float)', ['batch', 2, 1, 8, 8]), labels=('tensor(int64)', ['batch']))
    (output,) = session.get_outputs()
    assert (output.name, output.type, output.shape) == ('images', 'tensor(float)', ['batch', 1, 8, 8])
    about = session.get_modelmeta().custom_metadata_map
    assert (about['model'], about['sampler'], about['num_classes']) == ('digits', 'MultistepSampler', '10')
    assert json.loads(about['sigmas']) == [80.0, 1.5] and json.loads(about['image_range']) == [-1, 1]


def test_onnx_file_is_one_file_and_tells_nothing_of_this_machine(exported):
    path, _, _ = exported('one.onnx')
    assert {file.name for file in path.parent.iterdir()} <= {'one.onnx', 'two.onnx', 'two.pt2'}
    assert str(ROOT).encode() not in path.read_bytes()


def test_program_runs_in_a_process_without_mmcm(digits, exported, tmp_path):
    path, sampler, _ = exported('two.pt2')
    inputs = SamplingGraph(digits.model, sampler).inputs(5)
    torch.save(inputs, tmp_path / 'inputs.pt')
    code = (
        'import sys, torch; sys.modules["mmcm"] = None; about = {"about.json": ""}; '
        f'program = torch.export.load({str(path)!r}, extra_files=about).module(); '
        f'images = program(*torch.load({str(tmp_path / "inputs.pt")!r})); '
        f'torch.save(images, {str(tmp_path / "images.pt")!r}); print(about["about.json"])'
    )
    process = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout)['num_classes'] == '10'
    expected = digits.model.sample(5, inputs[1], SampleNoise(range(5)), sampler=sampler)
    assert (torch.load(tmp_path / 'images.pt') - expected).abs().max() <= 1e-5


def test_demo_draws_readable_digits_where_torch_cannot_be_imported(exported, tmp_path):
    demo, sheet = ROOT / 'demo' / 'onnx_inference_demo.py', tmp_path / 'sheet.png'
    code = (
        f'import runpy, sys; sys.modules.update(torch=None, mmcm=None); '
        f'sys.argv = ["demo", {str(exported("one.onnx")[0])!r}, {str(sheet)!r}]; runpy.run_path({str(demo)!r})'
    )
    process = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    pixels = cv2.imread(str(sheet), cv2.IMREAD_GRAYSCALE)
    assert pixels.shape == (600, 600)  # tiles of 8 pixels and a frame of one, magnified six times
    tiles = torch.from_numpy(pixels[3::6, 3::6].copy()).view(10, 10, 10, 10).transpose(1, 2).reshape(100, 1, 10, 10)
    classifier = MODELS.build(dict(type='DigitsClassifier', checkpoint='package:weights/digits_classifier.safetensors'))
    classifier.init_weights()
    read = classifier.eval().extract(tiles[..., 1:-1, 1:-1]).logits.argmax(1)
    assert (read == torch.arange(100) % 10).float().mean() >= 0.95


def test_example_of_the_documentation_runs_where_torch_cannot_be_imported(exported, tmp_path):
    example = (ROOT / 'docs' / 'export.md').read_text(encoding='utf-8').split('```python\n')[1].split('```')[0]
    (tmp_path / 'digits.onnx').symlink_to(exported('one.onnx')[0])
    code = f'import sys; sys.modules.update(torch=None, mmcm=None)\n{example}'
    process = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert cv2.imread(str(tmp_path / 'three.png')).shape == (256, 256, 3)


def imagenet_like():
    """A small network with all that those of ImageNet-64 have."""
    backbone = dict(
        type='ADMUNet',
        image_size=64,
        base_channels=32,
        num_res_blocks=1,
        attention_resolutions=(32, 16, 8),
        channel_mult=(1, 2, 3, 4),
        num_classes=1000,
        num_head_channels=32,
        scale_shift_norm=True,
        resblock_updown=True,
    )
    return build(denoiser=dict(type='KarrasDenoiser', backbone=backbone))


def test_program_does_not_tell_under_what_name_it_was_written(exported):
    path, _, _ = exported('two.pt2')
    with ZipFile(path) as archive:
        assert {name.split('/')[0] for name in archive.namelist()} == {'archive'}


@pytest.mark.slow
@pytest.mark.parametrize('suffix', ['onnx', 'pt2'])
def test_network_of_imagenet_is_exported(tmp_path, suffix):
    pytest.importorskip('onnxruntime')
    model = imagenet_like()
    sampler = SAMPLERS.build(dict(type='MultistepSampler', indices=(0, 22), num_scales=40))
    export(model, tmp_path / f'net.{suffix}', sampler)
    for num_images in (1, 3):
        assert largest_difference(tmp_path / f'net.{suffix}', model, num_images, sampler) <= 1e-4


@pytest.mark.parametrize('denoiser', ['KarrasDenoiser', 'TrigFlowDenoiser'])
def test_unconditional_model_takes_noise_alone(tmp_path, denoiser):
    onnxruntime = pytest.importorskip('onnxruntime')
    model, path = unconditional(denoiser), tmp_path / 'plain.onnx'
    export(model, path)
    session = onnxruntime.InferenceSession(path)
    assert [value.name for value in session.get_inputs()] == ['noise']
    assert 'num_classes' not in session.get_modelmeta().custom_metadata_map
    assert largest_difference(path, model, 4) <= 1e-4


@pytest.mark.parametrize('config', SAMPLERS_TO_EXPORT[1:], ids=lambda config: '-'.join(map(str, config.values())))
def test_every_sampler_is_exported(tmp_path, config):
    model, sampler = unconditional(), SAMPLERS.build(config)
    export(model, tmp_path / 'net.pt2', sampler)
    assert largest_difference(tmp_path / 'net.pt2', model, 4, sampler) <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize('suffix', FORMATS)
def test_network_of_a_snapshot_of_edm_is_exported(tmp_path, suffix):
    if suffix == '.onnx':
        pytest.importorskip('onnxruntime')
    model = ConsistencyModelInferencer(SNAPSHOT, device='cpu').load().model
    sampler = SAMPLERS.build(dict(type='EulerSampler', num_steps=1))
    export(model, tmp_path / f'net{suffix}', sampler)
    assert largest_difference(tmp_path / f'net{suffix}', model, 3, sampler) <= 1e-4


def test_network_that_saves_memory_in_training_is_exported(tmp_path):
    model = unconditional(use_checkpoint=True)
    export(model, tmp_path / 'net.pt2')
    assert largest_difference(tmp_path / 'net.pt2', model, 4) <= 1e-5


@pytest.mark.slow
def test_sampler_with_noise_on_the_way_is_exported_as_onnx(tmp_path):
    pytest.importorskip('onnxruntime')
    model = unconditional()
    sampler = SAMPLERS.build(dict(type='HeunSampler', num_steps=3, s_churn=10.0))
    export(model, tmp_path / 'net.onnx', sampler)
    assert largest_difference(tmp_path / 'net.onnx', model, 4, sampler) <= 1e-4


def test_file_that_disagrees_with_torch_does_not_appear(tmp_path, monkeypatch):
    run = FORMATS['.pt2'].run
    wrong = replace(FORMATS['.pt2'], run=lambda path, inputs: run(path, inputs) + 2e-5)
    monkeypatch.setitem(FORMATS, '.pt2', wrong)
    (tmp_path / 'net.pt2').write_bytes(b'what was there before')
    with pytest.raises(InputError, match=r'net.pt2 is not written: its images differ by 2.0e-05 .* more than 1e-05'):
        export(build(), tmp_path / 'net.pt2')
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b'what was there before']


def test_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def write(program, path, about):
        path.write_bytes(b'half')
        raise OSError(28, 'No space left on device')

    monkeypatch.setitem(FORMATS, '.pt2', replace(FORMATS['.pt2'], write=write))
    with pytest.raises(InputError, match='net.pt2 cannot be written: No space left on device'):
        export(build(), tmp_path / 'net.pt2')
    assert not list(tmp_path.iterdir())


def test_model_without_a_sampler_needs_one():
    with pytest.raises(InputError, match='the model has no sampler'):
        SamplingGraph(build(sampler=None))


def test_old_torch_is_told_to_be_upgraded(tmp_path, monkeypatch):
    monkeypatch.setattr(export_module.torch, '__version__', type(torch.__version__)('2.3.1'))
    with pytest.raises(InputError, match='needs torch .* this is 2.3.1'):
        check_export(build(), tmp_path / 'net.pt2')


def test_more_than_two_gibibytes_do_not_fit_a_file_of_onnx(tmp_path):
    pytest.importorskip('onnxruntime')
    with torch.device('meta'):
        model = MODELS.build(model_config())
        model.denoiser.more = nn.Linear(2**15, 2**14)
    check_export(model, tmp_path / 'net.pt2')
    with pytest.raises(InputError, match=r'at most 2 GiB, and the weights are 2.00 GiB: write .pt2'):
        check_export(model, tmp_path / 'net.onnx')


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_model_that_draws_what_is_not_finite_is_not_exported(tmp_path, value):
    model = build()
    with torch.no_grad():
        model.denoiser.backbone.out[2].bias.fill_(value)
    with pytest.raises(NotFiniteError, match='weights are not: backbone.out.2.bias'):
        export(model, tmp_path / 'model.pt2')
    assert list(tmp_path.iterdir()) == []


def test_drawing_graph_is_the_former_name_of_the_graph():
    from mmcm.apis import export as module

    with pytest.warns(DeprecationWarning, match='SamplingGraph now'):
        assert module.DrawingGraph is SamplingGraph


@pytest.mark.parametrize(
    'config',
    [
        dict(type='FlowMapSampler', num_steps=2),
        dict(type='FlowMapSampler', times=(1.0, 0.5), stochastic=True),
        dict(type='HeunSampler', num_steps=2),
        dict(type='MultistepSampler', sigmas=(80.0, 1.0)),
    ],
    ids=lambda config: config['type'],
)
def test_flow_map_is_exported(tmp_path, config):
    model, sampler = unconditional('FlowMapDenoiser', num_conditions=1), SAMPLERS.build(config)
    export(model, tmp_path / 'net.pt2', sampler)
    assert largest_difference(tmp_path / 'net.pt2', model, 4, sampler) <= 1e-5


@pytest.mark.parametrize('suffix', ['pt2', pytest.param('onnx', marks=pytest.mark.slow)])
def test_network_of_edm2_is_exported(tmp_path, suffix):
    if suffix == 'onnx':
        pytest.importorskip('onnxruntime')
    # Heun's correction divides rounding by sigma_min.
    model = build(denoiser=EDM2, sampler=dict(type='HeunSampler', num_steps=2, sigma_min=1.0))
    export(model, tmp_path / f'net.{suffix}')
    # ONNX Runtime adds in another order, and weights are normalised in the graph: a twentieth of a level of a pixel.
    assert largest_difference(tmp_path / f'net.{suffix}', model, 4) <= (4e-4 if suffix == 'onnx' else 1e-5)


def test_network_of_two_stages_is_exported(tmp_path):
    model, sampler = (
        unconditional('TruncatedDenoiser'),
        SAMPLERS.build(dict(type='MultistepSampler', sigmas=(80.0, 0.8))),
    )
    randomise(model.denoiser.backbone.lower, seed=1)
    export(model, tmp_path / 'net.pt2', sampler)
    assert largest_difference(tmp_path / 'net.pt2', model, 4, sampler) <= 1e-5
