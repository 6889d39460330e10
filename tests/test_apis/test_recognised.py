"""Bare files of pMF and iMF are recognised by the shapes of their weights, and do what other models do."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from mmcm.apis import recognised
from mmcm.apis.convert import convert
from mmcm.apis.editing import edit_picture
from mmcm.apis.export import export
from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.apis.publish import publish
from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.config import read_config
from mmcm.models.consistency_model import inference_config
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from support.transformers import released_networks

RECIPE = 'pmf_1xb32_digits-8x8'
PREFIX = 'net.'  # of the authors' files
TABLE = torch.ones(16, 12, dtype=torch.complex64)  # of rotary angles


class Content:
    """A checkpoint of which only names and shapes are read."""

    diffusers = None

    def __init__(self, entries):
        self.content = {PREFIX + key: torch.empty(shape, device='meta') for key, shape in entries}


@pytest.mark.parametrize('size', ['B_16', 'L_16', 'H_16', 'B_32', 'L_32', 'H_32'])
def test_released_sizes_are_recognised(size, monkeypatch):
    # Tensors without memory have one storage.
    monkeypatch.setattr(recognised, 'count_weights', lambda values: sum(value.numel() for value in values))
    _, (plain, whole), _ = released_networks('pmf')[f'pmfDiT_{size}']
    width, patch = size.lower().split('_')
    expected = read_config(f'pmf-{width}_8xb128_imagenet1k-{16 * int(patch)}x{16 * int(patch)}').model
    for entries in (plain, [*whole, ('rope_freqs', (256, 32))]):
        found = recognised.recognised_config(Content(entries))
        assert found.model == expected


@pytest.mark.parametrize('size', ['B', 'M', 'L', 'XL'])
def test_released_sizes_of_latents_are_recognised(size, monkeypatch):
    monkeypatch.setattr(recognised, 'count_weights', lambda values: sum(value.numel() for value in values))
    _, (plain, whole), _ = released_networks('imf')[f'imfDiT_{size}_2']
    expected = read_config(f'imf-{size.lower()}_8xb128_imagenet1k-256x256').model
    for entries in (plain, whole):
        found = recognised.recognised_config(Content(entries))
        assert found.model == expected


def test_other_weights_are_not_recognised():
    for entries in ([('out.2.weight', (3, 3))], [('x_embedder.proj1.weight', (128, 3, 16, 16))]):
        assert recognised.recognised_config(Content(entries)) is None


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Return a file of weights, as pMF's authors write them, of the network for digits, and the model with them."""
    config = read_config(RECIPE)
    monkeypatch.setattr(recognised, 'list_models', lambda: [RECIPE])
    monkeypatch.setattr(recognised, 'released_config', read_config)
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    backbone = model.denoiser.backbone
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    weights = {PREFIX + key: value for key, value in backbone.state_dict().items()}
    torch.save({**weights, f'{PREFIX}rope_freqs': TABLE}, tmp_path / 'pmf.pth')
    sampling = MODELS.build(inference_config(config.model)).eval()
    kept = sampling.denoiser.backbone.state_dict().keys()
    sampling.denoiser.backbone.load_state_dict({key: backbone.state_dict()[key] for key in kept})
    assert not len(sampling.denoiser.backbone.v_heads)
    return tmp_path / 'pmf.pth', sampling


def test_bare_file_samples(small):
    path, model = small
    inferencer = ConsistencyModelInferencer(str(path), device='cpu')
    images = inferencer(3, labels=[0, 5, 9], output_type='pt').images
    expected = model.sample(3, [0, 5, 9])
    assert expected.std() > 0.1
    assert_close(images, (expected + 1) / 2, rtol=0, atol=1 / 255)
    assert inferencer.model.nfe(inferencer.sampler) == 1


def test_file_of_fewer_values_than_it_declares_is_no_model(small, tmp_path):
    weights = torch.load(small[0], weights_only=True)
    hollow = {key: torch.zeros(1).expand(value.shape) for key, value in weights.items() if 'rope' not in key}
    torch.save(hollow, tmp_path / 'hollow.pth')
    assert (tmp_path / 'hollow.pth').stat().st_size < 200_000
    with pytest.raises(InputError):
        ConsistencyModelInferencer(str(tmp_path / 'hollow.pth'), device='cpu')


def test_image_does_not_depend_on_its_batch_and_seeds_choose_it(small):
    inferencer = ConsistencyModelInferencer(str(small[0]), device='cpu')
    whole = inferencer(4, labels=[1, 2, 3, 4], seed=[7, 8, 9, 10], output_type='np').images
    part = inferencer(1, labels=[3], seed=[9], output_type='np').images
    assert abs(whole[2].astype(float) - part[0].astype(float)).max() <= 1


def test_edits_go_through_many_levels(small):
    inferencer = ConsistencyModelInferencer(str(small[0]), device='cpu')
    image = np.full((8, 8), 200, np.uint8)
    mask = np.zeros((8, 8), np.uint8)
    mask[:, 4:] = 255
    result = edit_picture(inferencer, 'inpaint', image, labels=3, num_candidates=2, mask=mask)
    kept = result.candidates[..., :4].int()
    assert result.nfe > 10 and len(kept) == 2 and (kept - 200).abs().max() <= 1


@pytest.mark.parametrize('suffix', ['.pt2', '.onnx'])
def test_exported_file_agrees(small, tmp_path, suffix):
    if suffix == '.onnx':
        pytest.importorskip('onnxruntime')
    _, model = small
    graph, difference = export(model, tmp_path / f'x{suffix}')
    assert graph.num_draws == 1 and difference < 1e-4


def test_converted_file_says_what_it_is_and_samples_alike(small, tmp_path):
    path, _ = small
    convert(path, tmp_path / 'x.safetensors', 'mmcm')
    assert not any(key.startswith('v_') or 'rope' in key for key in load_file(tmp_path / 'x.safetensors'))
    images = ConsistencyModelInferencer(str(tmp_path / 'x.safetensors'), device='cpu')(2, labels=[1, 2]).images
    expected = ConsistencyModelInferencer(str(path), device='cpu')(2, labels=[1, 2]).images
    assert all(a.tobytes() == b.tobytes() for a, b in zip(images, expected))


@pytest.mark.parametrize(
    'kind, out, match', [('diffusers', 'folder', 'PMFTransformer'), ('openai', 'x.pt', 'one time')]
)
def test_conversion_to_other_networks_is_refused(small, tmp_path, kind, out, match):
    with pytest.raises(InputError, match=match):
        convert(small[0], tmp_path / out, kind)
    assert not (tmp_path / out).exists()


def test_training_checkpoint_is_published_without_its_velocity_head(small, tmp_path):
    path, _ = small
    config = read_config(RECIPE)
    weights = Checkpoint.open(path).content
    state = {
        f'{part}.backbone.{key.removeprefix(PREFIX)}': value
        for part in ('denoiser', 'emas.0_999')
        for key, value in weights.items()
        if 'rope' not in key
    }
    torch.save(dict(meta=dict(cfg=config.pretty_text, iter=8), state_dict=state), tmp_path / 'iter_8.pth')
    publish(tmp_path / 'iter_8.pth', tmp_path / 'x.safetensors')
    assert not any(key.startswith('v_') for key in load_file(tmp_path / 'x.safetensors'))
    published = ConsistencyModelInferencer(str(tmp_path / 'x.safetensors'), device='cpu')(2, labels=[1, 2]).images
    expected = ConsistencyModelInferencer(str(path), device='cpu')(2, labels=[1, 2]).images
    assert all(a.tobytes() == b.tobytes() for a, b in zip(published, expected))
