import json

import pytest
import torch

from mmcm.apis import ConsistencyModelInferencer
from mmcm.apis.editing import edit_picture
from mmcm.apis.provenance import MAX_LISTED, SCHEMA, checked_record, sampler_settings, sampling_record
from mmcm.apis.sampling.interpolation import interpolate
from mmcm.registry import SAMPLERS
from mmcm.utils.errors import InputError


@pytest.fixture(scope='module')
def digits():
    return ConsistencyModelInferencer('digits')


@pytest.fixture
def record(digits):
    request = digits.request(labels=[3, 1], seed=[7, 2**63], num_steps=2)
    return json.loads(json.dumps(sampling_record(digits, request, writer='sheet', columns=None)))


@pytest.mark.parametrize(
    'config',
    [
        dict(type='MultistepSampler', indices=(0, 5), num_scales=18, sigma_end=0.1),
        dict(type='MultistepSampler', sigmas=(80.0, 1.5), sigma_min=0.0),
        dict(type='HeunSampler', num_steps=7, s_churn=40.0, s_tmax=50.0, sigma_max=70.0),
        dict(type='HeunSampler', sigmas=(80.0, 9.0, 1.0)),
        dict(type='EulerSampler', num_steps=3, rho=5.0),
        dict(type='DPM2Sampler', num_steps=3),
        dict(type='EulerAncestralSampler', num_steps=3),
        dict(type='FlowMapSampler', num_steps=4),
        dict(type='FlowMapSampler', times=(1.0, 0.3), stochastic=True),
        dict(type='ProgressiveDistillationSampler', num_steps=3),
    ],
    ids=lambda config: config['type'],
)
def test_settings_of_a_sampler_build_the_same_one(config):
    sampler = SAMPLERS.build(config)
    settings = json.loads(json.dumps(sampler_settings(sampler), allow_nan=False))
    assert vars(SAMPLERS.build(settings)) == vars(sampler)


def test_every_sampler_is_tried_above():
    (mark,) = test_settings_of_a_sampler_build_the_same_one.pytestmark
    assert {config['type'] for config in mark.args[1]} == set(SAMPLERS.module_dict)


def test_own_record_passes_the_check_and_names_what_made_the_images(record, digits):
    assert checked_record(record) == {name: record.get(name) for name in SCHEMA if name in record}
    assert record['weights'] == digits.weights_digest and record['labels'] == [3, 1] and record['seed'] == [7, 2**63]
    assert record['versions']['torch'] == torch.__version__ and record['dtype'] == 'float32'
    assert record['config']['denoiser']['backbone']['type'] == 'ADMUNet'


def test_long_lists_are_left_out(digits):
    number = MAX_LISTED + 1
    record = sampling_record(digits, digits.request(labels=[0] * number, seed=list(range(number))))
    assert record['labels']['number'] == record['seed']['number'] == number
    with pytest.raises(InputError, match='seed'):
        checked_record({**record, 'writer': 'sheet'})


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('model', 3),
        ('model', 'a\nb'),
        ('model', 'x' * 2000),
        ('weights', 'abc'),
        ('num_images', 0),
        ('num_images', 10**9),
        ('num_images', True),
        ('num_images', 2.0),
        ('seed', None),
        ('seed', 2**64),
        ('seed', []),
        ('labels', 'all'),
        ('labels', [-1]),
        ('labels', {'number': 3}),
        ('sampler', {'type': 'os.system'}),
        ('sampler', {'type': 'torch.nn.Linear', 'in_features': 3}),
        ('sampler', {'type': 'HeunSampler', 'num_steps': 10**9}),
        ('sampler', {'type': 'HeunSampler', 'unknown': 1}),
        ('sampler', {'type': 'MultistepSampler', 'sigmas': 'x'}),
        ('sampler', {'type': 'MultistepSampler', 'sigmas': [float('nan')]}),
        ('sampler', {'type': 'MultistepSampler', 'indices': [0, 1], 'num_scales': 10**9}),
        ('sampler', []),
        ('clip', 1),
        ('guidance', {'checkpoint': 'x'}),
        ('guidance', {'scale': 2.0, 'interval': [1.0]}),
        ('batch_size', 10**9),
        ('dtype', 'float64'),
        ('device', None),
        ('versions', {'torch': {}}),
        ('writer', 'os'),
        ('columns', 0),
        ('index', -1),
        ('format', 2),
        ('kind', 'edit'),
        ('kind', []),
    ],
)
def test_records_with_other_values_are_refused(record, name, value):
    with pytest.raises(InputError, match='record'):
        checked_record({**record, name: value})


@pytest.mark.parametrize('found', [None, [], 'text', 3, {}])
def test_what_is_no_record_is_refused(found):
    with pytest.raises(InputError, match='no JSON object|format'):
        checked_record(found)


def test_images_that_do_not_follow_from_seeds_say_so(digits):
    given = digits(2, generator=torch.Generator().manual_seed(3)).provenance()
    mixed = interpolate(digits, num_images=2).provenance()
    assert (given['kind'], given['seed'], mixed['kind']) == ('given-noise', None, 'given-noise')
    with pytest.raises(InputError, match='sampled from seeds'):
        checked_record({**given, 'writer': 'sheet'})


def test_edits_record_task_and_picture(digits):
    pixels = torch.zeros(8, 8, 3, dtype=torch.uint8).numpy()
    record = edit_picture(digits, 'denoise', pixels, labels=3, seed=5, sigma=0.5).provenance
    assert (record['kind'], record['task']['type'], record['task']['sigma']) == ('edit', 'Denoise', 0.5)
    assert record['seed'] == 5 and len(record['image']) == 64
