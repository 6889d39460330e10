import json
import math

import numpy as np
import pytest
import torch

from mmcm.apis.evaluation import edit_scores
from mmcm.apis.evaluation.edit_scores import score_edit
from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.datasets import PhotoPatches
from mmcm.evaluation.edit_baselines import Edit, standard_edits, unchanged
from mmcm.evaluation.similarity import psnr, ssim
from mmcm.operators import Inpainting, SuperResolution
from mmcm.samplers import MultistepSampler
from mmcm.utils.errors import InputError
from mmcm.visualization.grids import caption
from support.digits import write_colour_model

TWO = MultistepSampler(indices=(0, 20), num_scales=40)
DATA = PhotoPatches('test', size=16)
PICTURES = edit_scores.read_pictures(DATA, edit_scores.spread_out(DATA, 5))
EDITS = standard_edits(16, torch.tensor([0.1, 0.0, -0.1]))


@pytest.fixture
def inferencer(tmp_path):
    config, weights = write_colour_model(tmp_path)
    return ConsistencyModelInferencer(config, weights, 'cpu')


@pytest.mark.parametrize('name', EDITS)
def test_scores_are_those_of_what_the_model_draws(inferencer, name):
    edit = EDITS[name]
    scores = score_edit(inferencer, PICTURES, edit, num_candidates=3, sampler=TWO)
    errors = (scores.candidates.double() - PICTURES[:, None]).square().flatten(2).mean(2)
    pooled = scores.summary()['candidate']['pooled_psnr']
    assert pooled['mean'] == pytest.approx(10 * math.log10(255**2 / errors.mean()))
    assert pooled['standard_error'] == pytest.approx(
        10 / math.log(10) * (errors.mean(1).std() / math.sqrt(5) / errors.mean()).item()
    )
    drawn = inferencer.model.edit(PICTURES.float() / 127.5 - 1, edit.operator, num_candidates=3, sampler=TWO)
    drawn = inferencer.model.data_preprocessor.destruct(drawn)
    assert torch.equal(scores.candidates, drawn) and scores.nfe == 2
    with pytest.warns(DeprecationWarning, match='num_calls is nfe now'):
        assert scores.num_calls == scores.nfe
    each = torch.stack([psnr(drawn[:, k], PICTURES) for k in range(3)], 1)
    structure = torch.stack([ssim(drawn[:, k], PICTURES) for k in range(3)], 1)
    assert torch.allclose(scores.results['candidate'].psnr, each.mean(1))
    assert torch.allclose(scores.results['candidate'].ssim, structure.mean(1))
    assert torch.allclose(scores.results['best candidate'].psnr, each.max(1).values)
    assert torch.allclose(scores.results['best candidate'].ssim, structure[range(5), each.argmax(1)])
    assert torch.equal(scores.mean, drawn.float().mean(1).round().byte())
    assert torch.allclose(scores.results['mean of candidates'].psnr, psnr(scores.mean, PICTURES))
    for way, pictures in scores.filled.items():
        assert torch.allclose(scores.results[way].ssim, ssim(pictures, PICTURES))
    assert list(scores.results) == [*edit.baselines, 'candidate', 'mean of candidates', 'best candidate']


def test_scores_do_not_depend_on_the_batches(inferencer, monkeypatch):
    together = score_edit(inferencer, PICTURES, EDITS['inpaint'], num_candidates=3, sampler=TWO)
    monkeypatch.setattr(type(inferencer), 'batch_size', 4)  # which cuts the candidates of a picture
    apart = score_edit(inferencer, PICTURES, EDITS['inpaint'], num_candidates=3, sampler=TWO)
    assert (together.candidates.int() - apart.candidates.int()).abs().max() <= 1
    for way, result in together.results.items():
        assert torch.allclose(result.psnr, apart.results[way].psnr, atol=0.02)


def test_seed_makes_the_candidates(inferencer):
    first, other = (
        score_edit(inferencer, PICTURES, EDITS['colorize'], num_candidates=1, seed=seed, sampler=TWO) for seed in (0, 1)
    )
    assert not torch.equal(first.candidates, other.candidates)
    assert torch.equal(first.filled['mean colour'], other.filled['mean colour'])


def test_where_all_is_known_there_is_no_error(inferencer):
    edit = Edit(Inpainting(torch.zeros(1, 1, 16, 16)), {'as it is': unchanged})
    scores = score_edit(inferencer, PICTURES, edit, num_candidates=2, sampler=TWO)
    assert torch.equal(scores.candidates[:, 1], PICTURES)
    for values in scores.summary().values():
        assert values['psnr'] == pytest.approx(dict(mean=10 * math.log10(12 * 255**2), standard_error=0))
        assert values['pooled_psnr'] == pytest.approx(values['psnr'])
        assert values['ssim'] == pytest.approx(dict(mean=1, standard_error=0))


def test_labels_are_those_of_the_pictures(inferencer, monkeypatch):
    monkeypatch.setattr(type(inferencer.model), 'num_classes', 10)
    seen = []

    def edit(model, images, operator, labels, *args, **options):
        seen.extend(labels)
        return images[:, None]

    monkeypatch.setattr(type(inferencer.model), 'edit', edit)
    score_edit(inferencer, PICTURES, EDITS['inpaint'], labels=np.array([3, 1, 4, 1, 5]), num_candidates=2, sampler=TWO)
    assert seen == [3, 3, 1, 1, 4, 4, 1, 1, 5, 5]


def test_mean_has_the_error_of_independent_pictures():
    found = edit_scores.mean_and_error(torch.tensor([1.0, 2.0, 6.0]))
    assert found == pytest.approx(dict(mean=3, standard_error=math.sqrt(7 / 3)))


def test_pooled_psnr_is_that_of_the_mean_squared_error():
    pooled = edit_scores.pooled_psnr(torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64))
    assert pooled['mean'] == pytest.approx(10 * math.log10(255**2 / 3))
    rise = 10 * math.log10((3 + 1e-4) / (3 - 1e-4)) / 2e-4  # dB per unit of error
    assert pooled['standard_error'] == pytest.approx(rise * math.sqrt(7 / 3), rel=1e-4)


def test_mean_colour_is_that_of_all_pixels():
    pictures = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    pictures[0, 1] = 255
    assert torch.allclose(edit_scores.mean_colour(pictures), torch.tensor([-1.0, 0.0, -1.0]))


def test_pictures_are_spread_over_those_that_share_no_pixel():
    assert edit_scores.spread_out(DATA, 10**6) == DATA.apart
    some = edit_scores.spread_out(DATA, 6)
    assert some == [DATA.apart[index * len(DATA.apart) // 6] for index in range(6)]
    assert len(set(some)) == 6


def test_sheet_has_a_row_per_picture_and_a_column_for_each_way(inferencer):
    scores = score_edit(inferencer, PICTURES, EDITS['super-resolve'], num_candidates=2, sampler=TWO)
    sheet = scores.sheet([4, 1], 'bicubic')
    assert sheet.dtype == np.uint8
    big = PICTURES[4].permute(1, 2, 0).numpy().repeat(6, 0).repeat(6, 1)
    top = 16 + 4
    left = next(
        left for left in range(sheet.shape[1] - 96) if np.array_equal(sheet[top : top + 96, left : left + 96], big)
    )
    right = left + 5 * 100
    mean = scores.mean[1].permute(1, 2, 0).numpy().repeat(6, 0).repeat(6, 1)
    top += 96 + 16 + 4
    assert np.array_equal(sheet[top : top + 96, right : right + 96], mean)
    assert sheet.shape[1] == right + 96 + 4
    below = caption(96, f'{psnr(scores.mean, PICTURES)[1]:.1f} dB')
    assert np.array_equal(sheet[top + 96 : top + 96 + len(below), right : right + 96], below)
    assert (sheet[top + 96 : top + 96 + len(below), left : left + 96] == 255).all()  # the picture itself needs none


def test_file_says_what_was_measured(inferencer):
    scores = score_edit(inferencer, PICTURES[:1], EDITS['inpaint'], num_candidates=2, sampler=TWO)
    content = json.loads(edit_scores.record(inferencer, 'mine', 'abc', [7], TWO, 2, 0, {'inpaint': scores}))
    assert content['images'] == dict(fingerprint='abc', items=[7]) and content['network_calls'] == 2
    assert content['sampler']['type'] == 'MultistepSampler' and content['sampler']['sigmas'] == TWO.sigmas
    results = content['edits']['inpaint']['results']
    assert results['Telea']['psnr']['mean'] == scores.results['Telea'].psnr.item()
    assert results['Telea']['psnr']['standard_error'] is None  # JSON has no NaN


@pytest.mark.parametrize(
    ('pictures', 'edit', 'message'),
    [
        (PICTURES.float(), EDITS['inpaint'], 'have to be uint8'),
        (PICTURES[0], EDITS['inpaint'], r'\(N, 3, 16, 16\)'),
        (PICTURES, Edit(SuperResolution(3), {}), 'factor 3 does not divide'),
        (PICTURES, Edit(Inpainting(torch.zeros(5, 1, 16, 16)), {}), 'one mask for all images is needed, got 5'),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_loaded(inferencer, pictures, edit, message):
    with pytest.raises(InputError, match=message):
        score_edit(inferencer, pictures, edit)
    assert not inferencer.loaded
