import mmengine.registry
import pytest
from mmengine.registry import DefaultScope

from mmcm import registry
from mmcm.utils.errors import InputError
from support.digits import BACKBONE


def test_parts_are_found_in_our_scope_whatever_the_default_scope_is():
    denoiser = dict(type='mmcm.KarrasDenoiser', backbone=BACKBONE)
    with DefaultScope.overwrite_default_scope('mmengine'):
        built = mmengine.registry.MODELS.build(denoiser)
    assert type(built.backbone).__name__ == 'ADMUNet'


def test_parts_of_mmengine_are_found_too():
    assert type(registry.HOOKS.build(dict(type='IterTimerHook'))).__module__.startswith('mmengine')
    assert registry.TRANSFORMS.get('LoadImageFromFile').__module__.startswith('mmcv')


@pytest.mark.parametrize('kind', ['MODELS', 'DATASETS', 'TRANSFORMS', 'METRICS', 'HOOKS', 'VISUALIZERS'])
def test_registries_are_children_of_those_of_mmengine(kind):
    ours = getattr(registry, kind)
    assert getattr(mmengine.registry, kind).children['mmcm'] is ours and ours.scope == 'mmcm'


def test_unknown_type_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="no sampler 'HeunSample'; did you mean HeunSampler"):
        registry.SAMPLERS.build(dict(type='HeunSample', num_steps=3))


def test_wrong_arguments_are_the_configs_fault():
    with pytest.raises(InputError, match='steps'):
        registry.SAMPLERS.build(dict(type='HeunSampler', steps=3))
    with pytest.raises(InputError, match='num_steps'):
        registry.SAMPLERS.build(dict(type='HeunSampler'))
