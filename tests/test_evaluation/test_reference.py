import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from mmcm.evaluation.gaussian import Gaussian
from mmcm.evaluation.reference import PUBLISHED, Reference, shared_reference, spread_indices
from mmcm.evaluation.statistics import write_statistics
from mmcm.registry import DATASETS, METRICS
from mmcm.utils.errors import InputError
from support.random_inception import plain_inception, random_images, random_inception
from support.synthetic_images import EXTRACTOR, FEATURES, REAL, SPATIAL, IntegerNetwork, MadeUpImages, drawn, measure

OTHER = dict(type='IntegerNetwork', seed=1)
IMAGES = MadeUpImages(60, seed=5)
IMAGES_77 = MadeUpImages(77, seed=1)  # those of REAL
PACKED = np.ascontiguousarray(IMAGES.images.permute(0, 2, 3, 1).numpy())


def seen(images, **kwargs):
    network = IntegerNetwork(**kwargs)
    network.init_weights()
    return network.extract(images)


def made_by(config, path, with_table=False, **changes):
    """Write statistics of the real images to `path`, as `mmcm statistics` does."""
    reference = Reference(REAL, config)
    if with_table:
        reference.want('table')
    write_statistics(path, reference.made()._replace(**changes))
    return str(path)


def agrees(gaussian, features):
    features = features.flatten(1).double().numpy()
    np.testing.assert_allclose(gaussian.mean, features.mean(0), rtol=1e-12)
    np.testing.assert_allclose(gaussian.covariance, np.cov(features, rowvar=False), rtol=1e-9, atol=1e-12)
    return gaussian.num_images == len(features)


def test_statistics_of_a_data_set_are_those_of_numpy():
    reference, expected = Reference(REAL, EXTRACTOR), seen(MadeUpImages(77, 1).images)
    assert agrees(reference.gaussian(), expected.features) and agrees(reference.gaussian('spatial'), expected.spatial)
    np.testing.assert_array_equal(reference.table(), expected.features.numpy())


@pytest.mark.filterwarnings('ignore:.*use of fork:DeprecationWarning')
def test_workers_read_the_same(cache):
    assert agrees(Reference(REAL, EXTRACTOR, num_workers=2).gaussian(), seen(MadeUpImages(77, 1).images).features)


def test_images_in_a_file_are_a_reference(tmp_path):
    np.savez(tmp_path / 'images.npz', PACKED)
    assert agrees(Reference(tmp_path / 'images.npz', EXTRACTOR).gaussian(), seen(IMAGES.images).features)


def test_some_images_are_spread_over_the_data_set():
    assert spread_indices(10, 4) == [0, 2, 5, 7]
    assert list(spread_indices(10, None)) == list(spread_indices(10, 12)) == list(range(10))
    reference, expected = Reference(REAL, EXTRACTOR, 20), MadeUpImages(77, 1).images[spread_indices(77, 20)]
    np.testing.assert_array_equal(reference.table(), seen(expected).features.numpy())
    assert len(Reference(REAL, EXTRACTOR, 77).table()) == 77


# What is kept


def counted(source=REAL, extractor=EXTRACTOR, *, table=False, num_images=None):
    """Return how often the extractor was called for a reference."""
    reference = Reference(source, extractor, num_images)
    reference.extractor.network.calls = 0
    reference.table() if table else reference.gaussian()
    return reference.extractor.network.calls


def test_what_was_computed_is_found_again(cache):
    assert counted() > 0
    assert counted() == 0
    assert counted(dict(REAL, seed=3)) > 0  # other images
    assert counted(extractor=OTHER) > 0
    assert counted(num_images=20) > 0
    assert counted(num_images=20) == counted(extractor=OTHER) == 0
    assert len(list(cache.iterdir())) == 4 and not list(cache.glob('.*'))


def test_features_are_kept_in_a_file_of_their_own_where_they_are_asked_for(cache):
    assert counted() > 0 and not list(cache.glob('*-features.npz'))
    assert counted(table=True) > 0
    assert counted(table=True) == counted() == 0
    assert len(list(cache.glob('*-features.npz'))) == 1 and len(list(cache.iterdir())) == 2


def test_what_was_kept_is_the_same():
    first = Reference(REAL, EXTRACTOR)
    for again in (Reference(REAL, EXTRACTOR), Reference(REAL, EXTRACTOR)):
        np.testing.assert_array_equal(again.gaussian().covariance, first.gaussian().covariance)
        np.testing.assert_array_equal(again.table(), first.table())


@pytest.mark.parametrize(
    'damage',
    [
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: np.savez(path, mu=np.ones(FEATURES), sigma=np.eye(FEATURES), extractor='f' * 64, dataset='0' * 64),
    ],
    ids=['cut', 'of others'],
)
def test_a_file_that_is_not_what_it_should_be_is_made_anew(cache, damage):
    assert counted() > 0
    damage(next(cache.iterdir()))
    assert counted() > 0
    assert counted() == 0


def test_a_cache_that_cannot_be_written_to_loses_nothing(tmp_path, monkeypatch):
    (tmp_path / 'file').write_text('no folder')
    monkeypatch.setenv('MMCM_HOME', str(tmp_path / 'file'))
    assert agrees(Reference(REAL, EXTRACTOR).gaussian(), seen(MadeUpImages(77, 1).images).features)


def test_images_that_do_not_say_which_they_are_are_not_kept(cache, monkeypatch):

    @DATASETS.register_module(force=True)
    class NamelessImages(MadeUpImages):
        def __init__(self):
            super().__init__()
            del self.fingerprint

    assert counted(dict(type='NamelessImages')) > 0 and counted(dict(type='NamelessImages')) > 0
    assert not cache.exists()


def test_several_may_compute_the_same_at_once(cache):
    references = [Reference(REAL, EXTRACTOR) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        tables = list(pool.map(lambda reference: reference.table(), references))
    assert all(np.array_equal(table, tables[0]) for table in tables)
    assert len(list(cache.iterdir())) == 2
    assert counted(table=True) == 0


# Files of statistics


def test_a_file_of_ours_is_as_good_as_the_images(tmp_path):
    source = made_by(EXTRACTOR, tmp_path / 'ref.npz', with_table=True)
    metrics = [
        dict(type=name, extractor=EXTRACTOR, **options)
        for name, options in (
            ('FrechetDistance', {}),
            ('FrechetDistance', dict(which='spatial')),
            ('PrecisionRecall', {}),
            ('KernelDistance', dict(num_real=30)),
        )
    ]
    found, expected = (
        measure([{**metric, 'reference': reference} for metric in metrics], drawn(40)) for reference in (source, REAL)
    )
    assert found == expected


def refused(source, match, metric='FrechetDistance', extractor=EXTRACTOR, **options):
    """Assert that a metric refuses a reference at the first batch, when little has been drawn."""
    metric = METRICS.build(dict(type=metric, extractor=extractor, reference=source, **options))
    with pytest.raises(InputError, match=match):
        metric.process(None, [sample.to_dict() for sample in drawn(4)])


def test_statistics_of_another_extractor_are_refused(tmp_path):
    refused(
        made_by(OTHER, tmp_path / 'ref.npz'),
        'of IntegerNetwork, .* by an extractor of that kind with other '
        'weights.*mmcm statistics IMAGES --extractor IntegerNetwork',
    )
    refused(
        made_by(EXTRACTOR, tmp_path / 'other.npz', kind='Other', extractor='0' * 64),
        'of Other, .* seen by IntegerNetwork',
    )


def test_statistics_of_other_dimensions_are_refused(tmp_path):
    source = made_by(EXTRACTOR, tmp_path / 'ref.npz', features=Gaussian(np.ones(5), np.eye(5), 9))
    refused(source, f'statistics of 5 dimensions, and IntegerNetwork makes {FEATURES} features')
    source = made_by(EXTRACTOR, tmp_path / 'spatial.npz', spatial=Gaussian(np.ones(5), np.eye(5), 9))
    refused(source, f'5 dimensions, .* {SPATIAL} spatial features', which='spatial')
    source = made_by(EXTRACTOR, tmp_path / 'table.npz', table=np.ones((9, 5), np.float32))
    refused(source, '5 dimensions', metric='PrecisionRecall')


@pytest.mark.parametrize('metric', ['KernelDistance', 'PrecisionRecall'])
def test_metrics_of_single_images_need_more_than_gaussians(tmp_path, metric):
    refused(made_by(EXTRACTOR, tmp_path / 'ref.npz'), 'has no images.*--features', metric=metric)


def test_spatial_features_have_to_be_there(tmp_path):
    refused(made_by(EXTRACTOR, tmp_path / 'ref.npz', spatial=None), 'has no spatial features', which='spatial')


def test_a_file_without_images_or_statistics_is_refused(tmp_path):
    np.savez(tmp_path / 'ref.npz', images=PACKED)
    refused(str(tmp_path / 'ref.npz'), r'holds images: neither images \(arr_0\) nor statistics')


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / 'ref.npz').write_bytes(b'no npz')
    refused(str(tmp_path / 'ref.npz'), 'is no npz file')


@pytest.mark.parametrize('source', ['nowhere.npz', '/nowhere/ref.npz'])
def test_a_file_that_is_missing_is_told_before_anything_is_drawn(source):
    with pytest.raises(InputError, match=f'there is no file {source}'):
        METRICS.build(dict(type='FrechetDistance', extractor=EXTRACTOR, reference=source))


@pytest.mark.parametrize('name', ['folder', 'images.zip'])
def test_images_that_are_no_npz_are_told_how_to_become_one(tmp_path, name):
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'images.zip').write_bytes(b'')
    with pytest.raises(InputError, match=f'mmcm statistics {tmp_path / name} --out FILE.npz'):
        Reference(tmp_path / name, EXTRACTOR)


def test_a_number_is_the_name_of_a_file():
    with pytest.raises(InputError, match='there is no file 5'):
        Reference(5, EXTRACTOR)


def test_too_few_real_images_are_known_before_they_are_looked_at(tmp_path):
    images = Reference(dict(type='MadeUpImages', number=5), EXTRACTOR)
    images.check_number('table', 5, 'It')
    with pytest.raises(InputError, match='It needs at least 6 real images, and the data set MadeUpImages has 5'):
        images.check_number('table', 6, 'It')
    few = Gaussian(np.ones(FEATURES), np.eye(FEATURES), 3)
    table = np.ones((9, FEATURES), np.float32)
    made = Reference(made_by(EXTRACTOR, tmp_path / 'ref.npz', features=few, spatial=None, table=table), EXTRACTOR)
    made.check_number('table', 9, 'It')
    with pytest.raises(InputError, match='ref.npz has 3'):
        made.check_number('features', 4, 'It')


def test_real_images_that_do_not_fit_the_extractor_are_named(tmp_path):
    np.savez(tmp_path / 'rgb.npz', np.zeros((3, 8, 8, 3), np.uint8))
    extractor = dict(type='DigitsClassifier', checkpoint='package:weights/digits_classifier.safetensors')
    with pytest.raises(InputError, match='rgb.npz: DigitsClassifier takes digits'):
        Reference(str(tmp_path / 'rgb.npz'), extractor).gaussian()


@pytest.mark.parametrize('number', [0, 1])
def test_a_data_set_of_no_images_is_refused(number):
    refused(dict(type='MadeUpImages', number=number), f'MadeUpImages has {number} images: at least 2')


def test_images_of_several_sizes_are_told():

    @DATASETS.register_module(force=True)
    class MixedImages(MadeUpImages):
        def __getitem__(self, index):
            return dict(inputs=torch.zeros(3, 8 + index % 2, 8, dtype=torch.uint8))

    with pytest.raises(InputError, match=r'several sizes, \(3, 8, 8\) and \(3, 9, 8\)'):
        Reference(dict(type='MixedImages'), EXTRACTOR).gaussian()


def test_a_file_at_an_address_is_downloaded(tmp_path, server):
    server.content = Path(made_by(EXTRACTOR, tmp_path / 'ref.npz')).read_bytes()
    reference = Reference(server.url.replace('model.pt', 'ref.npz'), EXTRACTOR)
    np.testing.assert_array_equal(reference.gaussian().mean, Reference(REAL, EXTRACTOR).gaussian().mean)


# The reference batches of Dhariwal & Nichol, which do not tell their extractor


@pytest.fixture(scope='module')
def inception(tmp_path_factory):
    path = tmp_path_factory.mktemp('inception') / 'weights.pth'
    torch.save(random_inception(), path)
    return dict(type='InceptionV3', checkpoint=str(path))


ADM = dict(mu=np.ones(2048), sigma=np.eye(2048), mu_s=np.zeros(2023), sigma_s=2 * np.eye(2023))


def test_statistics_of_others_are_those_of_inception(tmp_path, inception):
    np.savez(tmp_path / 'ref.npz', **ADM, arr_0=PACKED)
    reference = Reference(tmp_path / 'ref.npz', inception)
    reference.check('features', 2048)
    assert reference.gaussian().mean.sum() == 2048
    assert reference.gaussian('spatial').covariance.trace() == 2 * 2023


def test_statistics_of_others_are_left_out_by_other_extractors_which_look_at_the_images(tmp_path):
    np.savez(tmp_path / 'ref.npz', **ADM, arr_0=PACKED)
    assert agrees(Reference(tmp_path / 'ref.npz', EXTRACTOR).gaussian(), seen(IMAGES.images).features)


def test_statistics_of_others_without_images_are_refused_by_other_extractors(tmp_path):
    np.savez(tmp_path / 'ref.npz', **ADM)
    refused(str(tmp_path / 'ref.npz'), 'of InceptionV3, .* seen by IntegerNetwork')


def test_inception_takes_images_of_any_size(tmp_path, inception):
    np.savez(tmp_path / 'ref.npz', **ADM, arr_0=random_images(3, 20).permute(0, 2, 3, 1).numpy())
    reference = Reference(tmp_path / 'ref.npz', inception)
    assert reference.table().shape == (3, 2048)  # of the images, since the file has none
    assert reference.gaussian().mean.sum() == 2048  # still that of the file
    assert shared_reference(tmp_path / 'ref.npz', inception) is shared_reference(tmp_path / 'ref.npz', inception)


def test_weights_that_are_not_those_of_the_published_file_are_warned_of_once(tmp_path, logged):
    torch.save(plain_inception(), tmp_path / 'weights.pth')
    config = dict(type='InceptionV3', checkpoint=str(tmp_path / 'weights.pth'))
    np.savez(tmp_path / 'ref.npz', **ADM)
    references = [Reference(tmp_path / 'ref.npz', config) for _ in range(2)]
    for reference in references:
        assert reference.gaussian().mean.sum() == 2048 and reference.extractor.network.doubt
    assert len(logged) == 1 and 'weights.pth are those of 2015-12-05' in logged[0]


def test_published_weights_are_not_warned_of(tmp_path, monkeypatch, logged):
    torch.save(plain_inception(), tmp_path / 'renamed.pth')
    sha256 = hashlib.sha256((tmp_path / 'renamed.pth').read_bytes()).hexdigest()
    monkeypatch.setattr('mmcm.evaluation.features.inception_v3.PUBLISHED_SHA256', sha256)
    np.savez(tmp_path / 'ref.npz', **ADM)
    config = dict(type='InceptionV3', checkpoint=str(tmp_path / 'renamed.pth'))
    reference = Reference(tmp_path / 'ref.npz', config)
    assert reference.gaussian().mean.sum() == 2048 and reference.extractor.network.doubt is None and not logged


# What others have published, by its name


def test_published_statistics_have_names(tmp_path, server, monkeypatch):
    source = made_by(EXTRACTOR, tmp_path / 'ref.npz')
    server.content = Path(source).read_bytes()
    address = server.url.replace('model.pt', 'ref.npz')
    monkeypatch.setitem(PUBLISHED, 'imagenet64', address)
    reference = Reference('imagenet64', EXTRACTOR)
    assert reference.given == address and reference.source.dataset is None
    np.testing.assert_array_equal(reference.gaussian().mean, Reference(source, EXTRACTOR).gaussian().mean)


def test_published_statistics_are_those_of_the_evaluator():
    assert set(PUBLISHED) == {'imagenet64', 'imagenet256', 'imagenet512', 'lsun_bedroom256', 'lsun_cat256'}
    assert all(address.startswith('https://') and address.endswith('.npz') for address in PUBLISHED.values())


def test_names_that_nobody_has_published_are_told_those_that_are():
    with pytest.raises(InputError, match=f'no file imagenet128: .* {", ".join(PUBLISHED)}'):
        Reference('imagenet128', EXTRACTOR)


# What a reference is, in the file of scores


def test_the_same_reference_has_the_same_fingerprint_wherever_it_comes_from(tmp_path):
    assert Reference(made_by(EXTRACTOR, tmp_path / 'ref.npz'), EXTRACTOR).fingerprint == IMAGES_77.fingerprint
    assert Reference(REAL, EXTRACTOR).fingerprint == IMAGES_77.fingerprint
    assert Reference(REAL, EXTRACTOR, 20).fingerprint != IMAGES_77.fingerprint


def test_statistics_of_others_have_a_fingerprint_of_their_own(tmp_path, inception):
    entries = dict(
        images=dict(arr_0=PACKED), both=dict(ADM, arr_0=PACKED), other=dict(ADM, mu=np.zeros(2048)), alone=ADM
    )
    for name, arrays in entries.items():
        np.savez(tmp_path / f'{name}.npz', **arrays)
    found = {name: Reference(tmp_path / f'{name}.npz', inception).fingerprint for name in entries}
    assert len(set(found.values())) == 4
    np.savez(tmp_path / 'copy.npz', **ADM)
    assert Reference(tmp_path / 'copy.npz', inception).fingerprint == found['alone']
    # An extractor that does not take the statistics compares with the images alone.
    alone = Reference(tmp_path / 'both.npz', EXTRACTOR)
    assert alone.fingerprint == alone.source.dataset.fingerprint
