import json

import numpy as np
import pytest

from mmcm.apis.analysis import nfe
from mmcm.apis.analysis.nfe import Curve, draw_curves, read_curves
from mmcm.utils.errors import InputError


def score(calls, fid, accuracy=0.5, ema=None, kind='MultistepSampler', sampler='onestep'):
    return dict(
        sampler=sampler,
        sampler_config=None if calls is None else dict(type=kind),
        network_calls=calls,
        ema=ema,
        metrics={'frechet/distance': fid, 'label/accuracy': accuracy},
    )


def write(path, scores, config='configs/ct.py'):
    path.write_text(json.dumps(dict(format=1, config=config, titles={'frechet/distance': 'FID'}, scores=scores)))
    return path


def test_a_file_is_a_line_in_the_order_of_its_calls(tmp_path):
    path = write(tmp_path / 'a.json', [score(4, 2.5), score(1, 9.0), score(2, None), score(3, 4.0)])
    title, curves = read_curves([path])
    assert title == 'FID'
    assert curves == [('ct', [1, 3, 4], [9.0, 4.0, 2.5])]  # not finite: left out


def test_averages_and_kinds_of_samplers_are_lines_of_their_own(tmp_path):
    path = write(
        tmp_path / 'a.json',
        [
            score(1, 9.0, ema='0.9'),
            score(1, 8.0, ema='online'),
            score(35, 2.0, ema='0.9', kind='mmcm.HeunSampler'),
            score(2, 7.0, ema='0.9'),
        ],
    )
    _, curves = read_curves([path])
    assert curves == [
        ('ct, ema 0.9, MultistepSampler', [1, 2], [9.0, 7.0]),
        ('ct, ema online, MultistepSampler', [1], [8.0]),
        ('ct, ema 0.9, HeunSampler', [35], [2.0]),
    ]


def test_judged_files_have_no_calls(tmp_path):
    paths = [
        write(tmp_path / 'a.json', [score(1, 9.0)]),
        write(tmp_path / 'b.json', [score(None, 3.0, sampler='theirs/x.npz')]),
    ]
    assert read_curves(paths)[1] == [('ct', [1], [9.0]), ('x.npz', [], [3.0])]


@pytest.mark.parametrize('metric', ['label/accuracy', 'fid', 'frechet/distance'])
def test_metric_by_its_key_or_its_title(tmp_path, metric):
    title, (curve,) = read_curves([write(tmp_path / 'a.json', [score(1, 9.0)])], metric, ['mine'])
    assert (title, curve.values) == (('FID', [9.0]) if metric != 'label/accuracy' else ('label/accuracy', [0.5]))
    assert curve.name == 'mine'


def test_bad_files_are_refused(tmp_path):
    good = write(tmp_path / 'a.json', [score(1, 9.0)])
    (tmp_path / 'old.json').write_text('{"frechet/distance": 3.0}')
    (tmp_path / 'no.json').write_text('no')
    (tmp_path / 'number.json').write_text('{"format": 1, "scores": 3}')
    (tmp_path / 'bare.json').write_text('{"format": 1, "scores": [{"sampler": "a"}]}')
    for path, message in (
        ('old.json', 'no scores'),
        ('no.json', 'cannot be read'),
        ('missing.json', 'cannot be read'),
        ('number.json', 'no scores'),
        ('bare.json', 'no scores'),
    ):
        with pytest.raises(InputError, match=message):
            read_curves([good, tmp_path / path])
    with pytest.raises(InputError, match='they share frechet/distance, label/accuracy'):
        read_curves([good], 'kernel/distance')
    with pytest.raises(InputError, match='got 2 for 1'):
        read_curves([good], names=['a', 'b'])
    with pytest.raises(InputError, match='no file has a finite value'):
        read_curves([write(tmp_path / 'nan.json', [score(1, None)])])


def test_short_logarithmic_axis_has_round_numbers_on_it(monkeypatch):
    seen = []

    def look(figure):
        (axes,) = figure.axes
        seen.append([tick for tick in axes.get_yticks() if axes.get_ylim()[0] <= tick <= axes.get_ylim()[1]])

    monkeypatch.setattr(nfe, 'rendered', look)
    draw_curves('FID', [Curve('a', [1, 2], [0.29, 0.21])], log=True)
    assert len(seen[0]) >= 3


@pytest.mark.parametrize('log', [False, True])
def test_every_curve_is_drawn_in_its_colour(tmp_path, log):
    curves = read_curves(
        [
            write(tmp_path / 'a.json', [score(1, 9.0), score(2, 4.0)]),
            write(tmp_path / 'b.json', [score(None, 3.0, sampler='x.npz')]),
        ]
    )[1]
    picture = draw_curves('FID', curves, 600, 400, log)
    assert picture.shape == (400, 600, 3) and picture.dtype == np.uint8
    for colour in ((31, 119, 180), (255, 127, 14)):  # matplotlib's first two
        assert (picture == colour).all(2).sum() > 100
    rim = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    assert (rim == 255).all()  # nothing is cut off


@pytest.mark.parametrize('name', ['$a_{$', '\u65e5\u672c', 'caf\udce9'])
def test_any_name_is_drawn(name):
    assert draw_curves(name, [Curve(name, [1, 2], [3.0, 2.0])], 300, 200).shape == (200, 300, 3)
