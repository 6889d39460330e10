import pytest

from mmcm.evaluation.training_references import with_references
from mmcm.utils.errors import InputError

DATA = dict(type='CIFAR10', data_root='x', flip=True)
TRAIN = dict(type='CIFAR10', data_root='x', flip=False)
HELD_OUT = dict(TRAIN, split='test')


def test_names_become_data_sets_at_any_depth():
    given = dict(
        type='ImageEvaluator',
        reference='held_out',
        metrics=[dict(type='SlicedWasserstein'), dict(type='FrechetDistance', reference='train')],
    )
    assert with_references(given, DATA) == dict(
        type='ImageEvaluator',
        reference=HELD_OUT,
        metrics=[dict(type='SlicedWasserstein'), dict(type='FrechetDistance', reference=TRAIN)],
    )
    assert given['reference'] == 'held_out'
    assert with_references([dict(type='SlicedWasserstein', reference='train')], DATA)[0]['reference'] == TRAIN


def test_other_references_stay_or_are_resolved_with_the_extractor_that_is_nearest():
    given = dict(extractor='a', metrics=[dict(reference='x.npz'), dict(reference='y', extractor='b')])
    assert with_references(given, None) == given
    found = with_references(given, None, lambda name, extractor: f'{name} {extractor}')
    assert [metric['reference'] for metric in found['metrics']] == ['x.npz a', 'y b']


@pytest.mark.parametrize('name, what', [('train', 'the training data'), ('held_out', 'what the training holds out')])
def test_config_without_training_data_is_refused(name, what):
    with pytest.raises(InputError, match=f'reference={name!r} in val_evaluator is {what}, and the config has no'):
        with_references(dict(reference=name), None, setting='val_evaluator')
