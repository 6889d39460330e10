"""What metrics have in common: any number of processes measures the same, and images that cannot be are told."""

import gc
import json
import os
import pickle
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch
from mmengine.evaluator import Evaluator

from mmcm.evaluation.features.shared import shared_extractor
from mmcm.registry import METRICS
from mmcm.utils.errors import InputError
from support.patience import PATIENCE
from support.synthetic_images import EXTRACTOR, METRICS_OF_ALL_KINDS, REAL, IntegerNetwork, drawn, measure

TESTS = Path(__file__).parents[2]
EXACT = {'kernel/distance', 'manifold/precision', 'manifold/recall', 'label/accuracy', 'sliced_wasserstein/distance'}
METRIC_NAMES = [metric['type'] + metric.get('which', '') for metric in METRICS_OF_ALL_KINDS]


# Who of two processes draws which images; None: as DefaultSampler deals them out, so that image 0 is drawn twice.
TASKS = {
    'odd': (101, None),
    'unequal shares': (90, [list(range(60)), list(range(60, 90))]),
    'nothing for one': (90, [list(range(90)), []]),
    'padding in another order': (90, [[5, 3, 1, 0], [*range(89, 5, -1), 2, 4, 5]]),
    'both draw all': (20, [list(range(20)), list(range(20))]),
}


@pytest.fixture(scope='module')
def together(tmp_path_factory):
    """What each of two processes has measured in each task."""
    folder = tmp_path_factory.mktemp('together')
    environment = {
        **os.environ, 'PYTHONPATH': f'{TESTS}{os.pathsep}{TESTS.parent}', 'OMP_NUM_THREADS': '1',
        'MMCM_HOME': str(folder)}  # yapf: disable
    tasks = json.dumps([(*task, REAL) for task in TASKS.values()] + [(50, None, dict(REAL, number=79, corrupt=78))])
    processes = [
        subprocess.Popen(
            [sys.executable, TESTS / 'support' / 'synthetic_images.py', str(rank), '2', folder / 'meeting', tasks],
            stdout=subprocess.PIPE, text=True, env=environment) for rank in range(2)
    ]  # yapf: disable
    outputs = [process.communicate(timeout=PATIENCE)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    return [dict(zip([*TASKS, 'corrupt'], json.loads(output.splitlines()[-1]))) for output in outputs]


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == (value if key in EXACT else pytest.approx(value, rel=1e-10)), key


@pytest.mark.parametrize('task', [task for task in TASKS if task != 'both draw all'])
def test_two_processes_measure_what_one_does(together, task):
    alone = measure(METRICS_OF_ALL_KINDS, drawn(TASKS[task][0]))
    assert len(alone) == 8
    for found in together:
        assert_same(found[task], alone)


def test_processes_that_all_draw_everything_are_told_so(together):
    for found in together:
        assert '19 images were drawn by several processes' in found['both draw all']


def test_real_image_that_one_process_cannot_read_is_told_by_all(together):
    assert [found['corrupt'] for found in together] == ['image 78 is corrupt'] * 2


def test_an_image_counts_once_in_whatever_order():
    alone = measure(METRICS_OF_ALL_KINDS, drawn(90))
    order = torch.randperm(90, generator=torch.Generator().manual_seed(0)).tolist()
    assert_same(measure(METRICS_OF_ALL_KINDS, drawn(90), 7, [*order[:50], *order[:20], *order[50:], order[0]]), alone)


def test_images_without_a_number_count_as_they_come():
    alone = measure(METRICS_OF_ALL_KINDS, drawn(90))
    assert_same(measure(METRICS_OF_ALL_KINDS, drawn(90, named=False)), alone)
    accuracy = dict(type='LabelAccuracy', extractor=EXTRACTOR)
    twice = measure([accuracy], drawn(90, named=False), order=[*range(90), *[0] * 90])
    assert twice['label/accuracy'] != alone['label/accuracy']


@pytest.mark.parametrize(
    'metric, least',
    [
        (dict(type='FrechetDistance'), 2),
        (dict(type='PrecisionRecall', num_neighbours=5), 6),
        (dict(type='KernelDistance'), 2),
    ],
)
def test_too_few_images_are_told_before_they_are_measured(metric, least):
    metric = METRICS.build(dict(metric, extractor=EXTRACTOR, reference=dict(type='MadeUpImages', number=least)))
    metric.check_ahead(least)
    with pytest.raises(InputError, match=f'at least {least} images to measure, got {least - 1}'):
        metric.check_ahead(least - 1)
    few = METRICS.build(
        dict(
            type='PrecisionRecall',
            num_neighbours=least,
            extractor=EXTRACTOR,
            reference=dict(type='MadeUpImages', number=least),
        )
    )
    with pytest.raises(InputError, match=f'at least {least + 1} real images, and .*MadeUpImages has {least}'):
        few.check_ahead(100)


def test_each_evaluation_begins_anew():
    metric = METRICS.build(METRICS_OF_ALL_KINDS[0])
    first = measure([metric], drawn(50))
    measure([metric], drawn(90))
    assert measure([metric], drawn(50)) == first


def test_one_network_sees_each_batch_once():
    extractor = dict(type='IntegerNetwork', seed=3)  # that nobody has built yet
    before = IntegerNetwork.built
    metrics = [
        METRICS.build({**metric, 'extractor': extractor}) for metric in METRICS_OF_ALL_KINDS if 'extractor' in metric
    ]
    measure(metrics, drawn(48))
    assert IntegerNetwork.built == before + 1
    # 3 batches; the real images for the Gaussians and the table at one go
    assert shared_extractor(extractor).network.calls == 3 + 1


@pytest.mark.parametrize('number', [64, 640])
def test_drawn_images_are_forgotten_with_the_next_batch(number):
    evaluator = Evaluator([METRICS.build(metric) for metric in METRICS_OF_ALL_KINDS])
    images = []
    for start in range(0, number, 16):
        batch = drawn(16)
        for index, sample in enumerate(batch):
            sample.sample_idx = start + index
            sample.fake_img = sample.fake_img.clone()
            images.append(weakref.ref(sample.fake_img))
        evaluator.process(batch)
        del batch, sample
    gc.collect()
    assert sum(image() is not None for image in images) <= 16
    assert len(evaluator.evaluate(number)) == 8


@pytest.mark.parametrize(
    'metric',
    [*METRICS_OF_ALL_KINDS[:2], dict(type='InceptionScore', extractor=EXTRACTOR), METRICS_OF_ALL_KINDS[5]],
    ids=lambda metric: metric['type'] + metric.get('which', ''),
)
def test_statistics_do_not_grow_with_the_number_of_images(metric):
    sizes = []
    for number in (64, 640):
        metric_of = METRICS.build(metric)
        for _ in range(0, number, 16):
            metric_of.process(None, [sample.to_dict() for sample in drawn(16, named=False)])
        sizes.append(len(pickle.dumps(metric_of.state)))
    assert sizes[1] - sizes[0] < 100


def test_titles_are_those_of_the_field_where_inception_looks():
    assert METRICS.build(METRICS_OF_ALL_KINDS[0]).titles == {}
    inception = dict(type='InceptionV3')
    titles = {}
    for metric in METRICS_OF_ALL_KINDS:
        titles |= METRICS.build({**metric, **({'extractor': inception} if 'extractor' in metric else {})}).titles
    assert titles == {
        'frechet/distance': 'FID',
        'frechet/spatial_distance': 'sFID',
        'inception/score': 'IS',
        'kernel/distance': 'KID',
        'manifold/precision': 'Precision',
        'manifold/recall': 'Recall',
    }


@pytest.mark.parametrize('metric', METRICS_OF_ALL_KINDS, ids=METRIC_NAMES)
def test_nothing_drawn_is_no_result(metric):
    with pytest.raises(InputError, match='got no images'):
        METRICS.build(metric).evaluate(0)


@pytest.mark.parametrize(
    'metric, field', [('FrechetDistance', 'spatial'), ('InceptionScore', 'logits'), ('LabelAccuracy', 'logits')]
)
def test_what_the_extractor_does_not_make_is_told_at_the_first_batch(metric, field):
    options = dict(reference=REAL, which='spatial') if metric == 'FrechetDistance' else {}
    metric = METRICS.build(dict(type=metric, extractor=dict(type='IntegerNetwork', without=[field]), **options))
    with pytest.raises(InputError, match=f'needs {field}, which IntegerNetwork does not make'):
        metric.process(None, [sample.to_dict() for sample in drawn(4)])


def test_features_that_are_no_numbers_are_told_at_the_first_batch():
    metric = METRICS.build(dict(type='InceptionScore', extractor=dict(type='IntegerNetwork', seed=4)))
    metric.extractor.network.head[0, 0] = float('nan')
    with pytest.raises(InputError, match='logits .* not finite'):
        metric.process(None, [sample.to_dict() for sample in drawn(4)])


@pytest.mark.parametrize(
    'change, match',
    [
        (lambda samples: samples[0].pop('fake_img'), 'no fake_img'),
        (
            lambda samples: samples[1].update(fake_img=torch.zeros(3, 9, 9, dtype=torch.uint8)),
            r'\(3, 8, 8\).*\(3, 9, 9\)',
        ),
        (lambda samples: [sample.update(fake_img=sample['fake_img'].float()) for sample in samples], 'float32'),
        (lambda samples: samples.clear(), 'without any image'),
    ],
)
def test_images_that_cannot_be_measured_are_told(change, match):
    samples = [sample.to_dict() for sample in drawn(4)]
    change(samples)
    with pytest.raises(InputError, match=match):
        METRICS.build(dict(type='InceptionScore', extractor=EXTRACTOR)).process(None, samples)


@pytest.mark.parametrize(
    'extractor, match', [(None, 'config of a feature extractor'), (dict(seed=1), 'config of a feature extractor')]
)
def test_an_extractor_is_a_config(extractor, match):
    with pytest.raises(InputError, match=match):
        METRICS.build(dict(type='FrechetDistance', extractor=extractor, reference=REAL))
