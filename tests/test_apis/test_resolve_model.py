import pytest
import torch

from mmcm.apis import ConsistencyModelInferencer
from mmcm.cli.convert import main as convert
from mmcm.noise.schedules import karras_sigmas
from mmcm.utils.errors import InputError
from mmcm.zoo import find
from support.digits import write_config


def test_sampler_can_be_changed_or_exchanged(tmp_path, checkpoint):
    config = write_config(tmp_path)
    changed = ConsistencyModelInferencer(config, checkpoint, 'cpu', sampler=dict(indices=(0,)))
    exchanged = ConsistencyModelInferencer(config, checkpoint, 'cpu', sampler=dict(type='HeunSampler', num_steps=3))
    assert changed.sampler.nfe == 1 and exchanged.sampler.nfe == 5


@pytest.mark.parametrize('checkpoint', ['ct_imagenet64', find('ct_imagenet64').weights], ids=['name', 'address'])
def test_zoo_checkpoint_brings_its_own_schedule(checkpoint):
    draw = ConsistencyModelInferencer('consistency_models_8xb256-imagenet1k-onestep-64x64', checkpoint, 'cpu')
    expected = karras_sigmas(201)
    assert draw.choose_sampler(timesteps=[106, 0]).sigmas == pytest.approx(expected[[0, 106]].tolist())
    assert draw.choose_sampler(num_steps=2).sigmas == pytest.approx(expected[[0, 100]].tolist())
    changed = ConsistencyModelInferencer('ct_imagenet64', device='cpu', sampler=dict(indices=(0, 106)))
    assert changed.sampler.sigmas == pytest.approx(expected[[0, 106]].tolist())


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(model=3), 'model has to be a name, a path or a config, got 3'),
        (dict(model=None), 'model has to be a name, a path or a config, got None'),
        (dict(model='digits', sampler='HeunSampler'), 'sampler has to be a config, such as dict'),
    ],
)
def test_model_and_sampler_of_another_kind_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        ConsistencyModelInferencer(**arguments)


def test_zoo_checkpoint_brings_its_own_levels():
    config = 'consistency_models_8xb256-imagenet1k-multistep-64x64'
    levels = ConsistencyModelInferencer(config, 'ct_imagenet64', 'cpu').sampler.sigmas
    assert levels == [80.0, pytest.approx(karras_sigmas(201)[106].item())]
    one_step = ConsistencyModelInferencer(config.replace('multistep', 'onestep'), 'ct_imagenet64', 'cpu')
    assert one_step.sampler.sigmas == [80.0]


def test_file_of_weights_brings_its_config(tmp_path, inferencer, checkpoint):
    convert([checkpoint, str(tmp_path / 'own.safetensors'), '--config', str(write_config(tmp_path))])
    alone = ConsistencyModelInferencer(tmp_path / 'own.safetensors', device='cpu')
    assert torch.equal(alone(4, 'balanced').pixels, inferencer(4, 'balanced').pixels)
    with pytest.raises(InputError, match='does not say what network they are of'):
        ConsistencyModelInferencer(checkpoint)


@pytest.mark.parametrize('name', ['own.SAFETENSORS', 'own.ckpt', 'own.bin', 'own'])
def test_file_of_weights_is_told_by_its_content(tmp_path, inferencer, checkpoint, name):
    convert([checkpoint, str(tmp_path / 'own.safetensors'), '--config', str(write_config(tmp_path))])
    (tmp_path / 'own.safetensors').rename(tmp_path / name)
    alone = ConsistencyModelInferencer(tmp_path / name, device='cpu')
    assert torch.equal(alone(2, 'balanced').pixels, inferencer(2, 'balanced').pixels)


@pytest.mark.parametrize('name', ['lfs.pt', 'lfs.ckpt', 'lfs'])
def test_pointer_in_place_of_a_model_is_called_one(tmp_path, name):
    (tmp_path / name).write_text('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1184921261\n')
    with pytest.raises(InputError, match='a Git LFS pointer in place of the file'):
        ConsistencyModelInferencer(tmp_path / name)


def test_state_of_an_optimiser_is_no_model(tmp_path):
    torch.save(dict(state={}, param_groups=[]), tmp_path / 'opt.pt')
    with pytest.raises(InputError, match='holds no state dict but the state of an optimiser'):
        ConsistencyModelInferencer(tmp_path / 'opt.pt')


def test_weights_of_a_consistency_model_are_not_drawn_as_those_of_a_diffusion_model():
    draw = ConsistencyModelInferencer('edm_1xb32_digits-8x8', 'digits', device='cpu')
    with pytest.raises(InputError, match='was trained with model.denoiser.boundary=True, and the config has False'):
        draw(labels=3)


def test_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(InputError, match='holds no model: neither one of diffusers'):
        ConsistencyModelInferencer(tmp_path)


def test_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match='nearest: cd_imagenet64_lpips'):
        ConsistencyModelInferencer('cd_imagenet_lpips')
