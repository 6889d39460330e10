"""Each argument of diffusers' ConsistencyModelPipeline has its counterpart here, with the same pictures."""

import inspect
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from mmcm.apis import ConsistencyModelInferencer
from mmcm.checkpoints.formats.diffusers_folder import write_folder
from support.parity import Fixture, adm_config, fill, manifest

PAGE = Path(__file__).parents[2] / 'docs' / 'migration.md'


@pytest.fixture(scope='module')
def pipeline_class():
    pytest.importorskip('diffusers')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # what diffusers says of its own dependencies
        from diffusers import ConsistencyModelPipeline
    return ConsistencyModelPipeline


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    backbone = adm_config(Fixture('unet_small_classcond').meta['kwargs'])
    model = dict(
        type='ConsistencyModel',
        denoiser=dict(type='KarrasDenoiser', backbone=backbone),
        sampler=dict(type='MultistepSampler', indices=(0,), num_scales=40),
    )
    folder = tmp_path_factory.mktemp('diffusers') / 'small'
    write_folder(folder, model, fill(manifest('small_classcond')[0]))
    return str(folder)


@pytest.fixture(scope='module')
def pipeline(pipeline_class, folder):
    pipeline = pipeline_class.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture(scope='module')
def draw(folder):
    return ConsistencyModelInferencer(folder, device='cpu')


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def agree(theirs, ours):
    return np.abs(theirs - ours).max() <= 1e-4


def test_every_argument_has_a_row_in_the_documentation(pipeline_class):
    text = PAGE.read_text(encoding='utf-8')
    table = text[text.index('<!-- diffusers begins -->') : text.index('<!-- diffusers ends -->')]
    rows = re.findall(r'^\| `(\w+)`', table, re.MULTILINE)
    assert rows == [name for name in inspect.signature(pipeline_class.__call__).parameters if name != 'self']


@pytest.mark.parametrize('labels', [3, [3, 1, 4], torch.tensor([3, 1, 4])], ids=['int', 'list', 'tensor'])
def test_batch_size_and_class_labels(pipeline, draw, labels):
    expanded = [labels] * 3 if isinstance(labels, int) else labels  # theirs takes a number for one image only
    theirs = pipeline(3, expanded, generator=seeded(), output_type='np').images
    assert agree(theirs, draw(3, labels, generator=seeded(), output_type='np').images)


@pytest.mark.parametrize('steps', [1, 2, 3, 7, 40])
def test_num_inference_steps(pipeline, draw, steps):
    theirs = pipeline(2, [5, 6], num_inference_steps=steps, generator=seeded(1), output_type='np').images
    ours = draw(2, [5, 6], num_steps=steps, generator=seeded(1), output_type='np')
    assert agree(theirs, ours.images) and ours.nfe == min(steps, 39)  # at the last level there is nothing to do


@pytest.mark.parametrize('timesteps', [[0], [22, 0], [38, 30, 5, 0], [39, 22, 0]], ids=str)
def test_timesteps(pipeline, draw, timesteps):
    theirs = pipeline(
        2, [5, 6], num_inference_steps=None, timesteps=timesteps, generator=seeded(1), output_type='np'
    ).images
    assert agree(theirs, draw(2, [5, 6], timesteps=timesteps, generator=seeded(1), output_type='np').images)


def test_list_of_generators(pipeline, draw):
    options = dict(timesteps=[22, 0], output_type='np')
    theirs = pipeline(3, [1, 2, 3], None, generator=[seeded(seed) for seed in (7, 8, 9)], **options).images
    assert agree(theirs, draw(3, [1, 2, 3], generator=[seeded(seed) for seed in (7, 8, 9)], **options).images)
    assert agree(theirs, draw(3, [1, 2, 3], seed=[7, 8, 9], **options).images)  # which are the same noises


def test_latents(pipeline, draw):
    latents = torch.randn(2, 3, 16, 16, generator=seeded(4))
    theirs = pipeline(2, [1, 2], latents=latents.clone(), output_type='np').images
    assert agree(theirs, draw(2, [1, 2], latents=latents, output_type='np').images)


def test_output_type(pipeline, draw):
    theirs, ours = (
        {kind: function(2, [1, 2], generator=seeded(), output_type=kind).images for kind in ('pil', 'np', 'pt')}
        for function in (pipeline, draw)
    )
    for their_image, our_image in zip(theirs['pil'], ours['pil']):
        assert our_image.mode == their_image.mode and our_image.size == their_image.size
        assert np.abs(np.asarray(their_image, int) - np.asarray(our_image, int)).max() <= 1
    assert theirs['np'].shape == ours['np'].shape and theirs['np'].dtype == ours['np'].dtype
    assert theirs['pt'].shape == ours['pt'].shape and agree(theirs['pt'].numpy(), ours['pt'].numpy())


def test_return_dict(pipeline, draw):
    options = dict(class_labels=[1], generator=seeded(), output_type='np', return_dict=False)
    (theirs,) = pipeline(**options)
    (ours,) = draw(labels=[1], generator=seeded(), output_type='np', return_dict=False)
    assert agree(theirs, ours)


@pytest.mark.parametrize('callback_steps', [1, 2])
def test_callback_and_callback_steps(pipeline, draw, callback_steps):
    theirs, ours = [], []
    options = dict(timesteps=[30, 20, 0], callback_steps=callback_steps)
    pipeline(1, [1], None, generator=seeded(), callback=lambda *heard: theirs.append(heard), **options)
    draw(1, [1], generator=seeded(), callback=lambda *heard: ours.append(heard), **options)
    assert [step for step, *_ in theirs] == [step for step, *_ in ours]
    for (_, timestep, _), (_, sigma, _, _) in zip(theirs, ours):  # 250 log sigma is diffusers' timestep
        assert float(timestep) == pytest.approx(250 * np.log(sigma), abs=1e-3)
