import gc
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mmcm.cli.sample import main as sample
from mmcm.cli.search import main as search
from mmcm.cli.test import main as measure
from mmcm.registry import DATASETS

ROOT = Path(__file__).parents[2]
CONFIG = str(ROOT / 'configs/digits/cd_1xb32_digits-8x8.py')
QUICK = ['-n', '60', '--num-scales', '10']
# Runners of the same second in one process share MMEngine's name for them.
pytestmark = pytest.mark.filterwarnings('ignore:.*has been created')


def found(folder, steps=2):
    return json.loads((folder / f'cd_1xb32_digits-8x8_{steps}steps.json').read_text())


def test_what_is_found_is_a_config_that_draws_so(tmp_path, capsys):
    search([CONFIG, *QUICK, '--work-dir', str(tmp_path)])
    table = found(tmp_path)
    values = {tuple(entry['indices']): entry['value'] for entry in table['evaluations']}
    best = table['best']
    assert best['value'] == min(values.values()) == values[tuple(best['indices'])]
    printed = capsys.readouterr().out
    assert f'{len(values)} of {len(values)} evaluations are new' in printed and '*' in printed
    snippet = str(tmp_path / 'cd_1xb32_digits-8x8_2steps.py')
    measure([snippet, '-n', '60', '--work-dir', str(tmp_path / 'test'), '--out', str(tmp_path / 'x.json')])
    (score,) = json.loads((tmp_path / 'x.json').read_text())['scores']
    assert score['sampler_config'] == best['sampler'] and score['network_calls'] == 2
    assert score['metrics']['frechet/distance'] == best['value']
    sample(['--model', snippet, '--labels', '3', '--out', str(tmp_path / 'x.npz')])  # with the checkpoint it is for
    # Another method has most of it from the first one, and a search that is done draws nothing.
    search([CONFIG, *QUICK, '--work-dir', str(tmp_path), '--method', 'grid', '--out', str(tmp_path / 'grid.py')])
    again = json.loads((tmp_path / 'grid.json').read_text())
    assert f'of {len(again["evaluations"])} evaluations are new' in capsys.readouterr().out
    assert all(values.get(tuple(entry['indices']), entry['value']) == entry['value'] for entry in again['evaluations'])
    search([CONFIG, *QUICK, '--work-dir', str(tmp_path)])
    assert f'0 of {len(values)} evaluations are new' in capsys.readouterr().out
    assert found(tmp_path) == table


def test_what_a_score_depends_on_is_evaluated_anew(tmp_path, capsys):
    def num_new(*options):
        search([CONFIG, '-n', '60', '--num-scales', '4', '--work-dir', str(tmp_path), *options])
        return re.findall(r'(\d+) of 2 evaluations are new', capsys.readouterr().out)

    assert num_new() == ['2']
    assert num_new('--cfg-options', 'model.sampler.sigma_max=70.0') == ['2']
    assert num_new('--cfg-options', 'test_evaluator.reference=train') == ['0']  # those of the config, by another name


def test_files_that_have_changed_are_looked_at_anew(tmp_path, capsys):
    reference = tmp_path / 'ref.npz'
    digits = DATASETS.build(dict(type='DigitsDataset'))
    for shown in (slice(0, 300), slice(300, 600)):
        gc.collect()  # each search is a process of its own; here, what the one before had open would be shared
        np.savez(reference, torch.stack([digits[index]['inputs'] for index in range(600)][shown])[:, 0, :, :, None])
        search(
            [
                CONFIG,
                '-n',
                '60',
                '--num-scales',
                '3',
                '--work-dir',
                str(tmp_path),
                '--cfg-options',
                f'test_evaluator.reference={reference}',
            ]
        )
        assert '1 of 1 evaluations are new' in capsys.readouterr().out


def test_higher_is_better_where_it_is(tmp_path):
    search([CONFIG, *QUICK, '--metric', 'manifold/recall', '--work-dir', str(tmp_path), '--spacing', 'log'])
    table = found(tmp_path)
    assert table['better'] == 'higher'
    assert table['best']['value'] == max(entry['value'] for entry in table['evaluations'])


@pytest.mark.slow
def test_search_that_was_killed_goes_on(tmp_path):
    arguments = [CONFIG, *QUICK, '--steps', '3', '--method', 'grid', '--grid-points', '4', '--work-dir']
    cache = tmp_path / 'killed' / 'evaluations.json'
    cache_of = f'Path({str(cache)!r})'
    killed = subprocess.run(
        [
            sys.executable,
            ROOT / 'tests/support/kill_when.py',
            f'{cache_of}.exists() and len(json.loads({cache_of}.read_text())) >= 2',
            ROOT / 'tools/search_timesteps.py',
            *arguments,
            tmp_path / 'killed',
        ],
        stdout=subprocess.DEVNULL,
        env=dict(os.environ, OMP_NUM_THREADS='1'),
    )
    assert killed.returncode == -signal.SIGKILL
    before = json.loads(cache.read_text())
    search([*arguments, str(tmp_path / 'killed')])
    after = json.loads(cache.read_text())
    assert 2 <= len(before) < len(after) and all(after[key] == value for key, value in before.items())
    search([*arguments, str(tmp_path / 'whole')])
    assert found(tmp_path / 'killed', 3) == found(tmp_path / 'whole', 3)


@pytest.mark.parametrize('arguments, expected', [
    (['--metric', 'frechet/nothing'], 'better lower'),
    (['--metric', 'frechet/nothing', '--better', 'lower'], "no metric 'frechet/nothing': it has frechet/distance"),
    (['--metric', 'kernel/distance'], 'its metrics begin with frechet, label, manifold'),
    (['--steps', '18'], '18 steps need as many levels'),
    (['--steps', '1'], '--steps has to be an integer of at least 2'),
    (['--steps', '4', '--method', 'grid', '--grid-points', '2'], 'grid of at least 3 points'),
    (['--num-scales', '2'], '--num-scales has to be an integer of at least 3'),
    (['--out', 'x.json'], 'has to end in .py'),
    (['--out', '/proc/x.py'], '/proc/x.py cannot be written'),
    (['--cfg-options', 'model.sampler.num_scales=None'], 'the sampler of the config has no schedule'),
    (['--cfg-options', 'model.sampler._delete_=True', 'model.sampler.type=HeunSampler', 'model.sampler.num_steps=3'],
     'HeunSampler has no levels'),
])  # yapf: disable
def test_search_that_cannot_be_done_is_refused(capsys, tmp_path, arguments, expected):
    with pytest.raises(SystemExit) as exit_:
        search([CONFIG, '-n', '20', '--work-dir', str(tmp_path), *arguments])
    error = capsys.readouterr().err.splitlines()[-1]
    assert exit_.value.code == 2 and error.startswith('error: ') and expected in error


def test_file_of_evaluations_that_is_none_is_refused(capsys, tmp_path):
    (tmp_path / 'evaluations.json').write_text('{')
    with pytest.raises(SystemExit):
        search([CONFIG, '--work-dir', str(tmp_path)])
    assert 'delete it' in capsys.readouterr().err
