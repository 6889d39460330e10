import json

import numpy as np
from mmengine.config import Config

from mmcm.apis.evaluation.scores import Score, plain, record, show, table


def score(sampler='config', **changes):
    return Score(
        **{
            **dict(
                sampler=sampler,
                metrics={'frechet/distance': 1.25, 'label/accuracy': 0.5},
                num_samples=100,
                seconds=2.0,
                titles={'frechet/distance': 'FID'},
                fingerprints={},
                sampler_config=dict(sigmas=(80.0,)),
                network_calls=1,
            ),
            **changes,
        }
    )


def test_columns_have_the_names_of_the_field():
    header, row = table([score()])
    assert dict(zip(header, row)) == {
        'sampler': 'config',
        'NFE': '1',
        'FID': '1.2500',
        'label/accuracy': '0.5000',
        'images': '100',
        'seconds': '2.0',
        'images/s': '50',
    }


def test_table_has_all_metrics_of_all_rows():
    header, first, second = table([score(ema='0.999'), score('other', metrics={'kernel/distance': 1e-3})])
    assert header[:4] == ['sampler', 'ema', 'NFE', 'FID']
    assert dict(zip(header, second))['FID'] == '-' and dict(zip(header, second))['kernel/distance'] == '0.0010'
    assert dict(zip(header, first))['ema'] == '0.999' and dict(zip(header, second))['ema'] == '-'


def test_plain_table_is_aligned(capsys):
    show(table([score(), score('a_long_name')]))
    lines = capsys.readouterr().out.splitlines()
    assert len({len(line) for line in lines}) == 1 and lines[0].split()[0] == 'sampler'


def test_record_is_json_also_with_values_that_are_no_numbers():
    config = Config(dict(test_evaluator=[dict(type='FrechetDistance')]))
    content = json.loads(
        record([score(metrics={'frechet/distance': float('nan')})], config, 'x.pth'), parse_constant=None
    )
    assert content['scores'][0]['metrics'] == {'frechet/distance': None}
    assert content['titles'] == {'frechet/distance': 'FID'} and 'titles' not in content['scores'][0]
    assert content['scores'][0]['sampler_config'] == dict(sigmas=[80.0])


def test_numbers_of_numpy_stay_numbers():
    found = plain({'a': np.float32(0.5), 'b': [np.int64(3), np.bool_(True)], 'c': np.float64('inf')})
    assert json.dumps(found) == '{"a": 0.5, "b": [3, true], "c": null}'
