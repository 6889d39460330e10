"""The scripts that start several processes, on CPUs."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mmcm.cli.test import main as measure
from support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / 'tools'
CONFIG = ROOT / 'configs/digits/ct_1xb32_digits-8x8.py'
NETWORK = 'model.denoiser.backbone.channel_mult=(1,1)'
TRAIN = [
    '--cfg-options',
    NETWORK,
    'train_dataloader.batch_size=8',
    'train_cfg.max_iters=2',
    'default_hooks.checkpoint.interval=2',
    'default_hooks.sample_grid.rows=1',
    'default_hooks.sample_grid.columns=1',
]
# Drawing 70 images in batches of 16 gives the processes unequal shares, and a last batch that is not whole.
DRAW = ['--cfg-options', NETWORK, 'test_dataloader.dataset.num_samples=70', 'test_dataloader.batch_size=16']

# Starts the tasks of `srun OPTIONS COMMAND` here, one after the other in the background, as Slurm tells them apart.
SRUN = """#!/usr/bin/env bash
printf '%s\\n' "$@" > "$RECORD"
while [[ $1 == -* ]]; do
    [[ $1 == --ntasks=* ]] && tasks=${1#*=}
    shift
done
pids=()
for ((task = 0; task < tasks * RUN; task++)); do
    SLURM_PROCID=$task SLURM_LOCALID=$task SLURM_NTASKS=$tasks SLURM_NODELIST='node[1-2]' "$@" &
    pids+=($!)
done
for pid in ${pids[@]+"${pids[@]}"}; do wait "$pid" || exit; done
"""
SCONTROL = """#!/usr/bin/env bash
[[ $* == 'show hostnames node[1-2]' ]] && printf '127.0.0.1\\nnode2\\n'
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def start(script, *arguments, **environment):
    return subprocess.run(
        [TOOLS / script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=dict(os.environ, PYTHON=sys.executable, PORT=str(free_port()), **environment),
    )


# Runners of the same second in one process share MMEngine's name for them.
@pytest.mark.filterwarnings('ignore:.*has been created')
@pytest.mark.slow
def test_two_processes_draw_and_measure_as_one(tmp_path):
    trained = start('dist_train.sh', CONFIG, 2, '--work-dir', tmp_path / 'train', *TRAIN)
    assert trained.returncode == 0, trained.stderr
    tested = start(
        'dist_test.sh',
        CONFIG,
        tmp_path / 'train',
        2,
        '--work-dir',
        tmp_path / 'test',
        '--out',
        tmp_path / 'two.json',
        '--out-dir',
        tmp_path / 'two',
        *DRAW,
    )
    assert tested.returncode == 0, tested.stderr
    assert tested.stdout.count('\nsampler ') == 1  # the main process alone reports
    measure(
        [
            str(CONFIG),
            str(tmp_path / 'train'),
            '--work-dir',
            str(tmp_path / 'test'),
            '--out',
            str(tmp_path / 'one.json'),
            '--out-dir',
            str(tmp_path / 'one'),
            *DRAW,
        ]
    )
    two, one = (np.load(tmp_path / name / 'config.npz') for name in ('two', 'one'))
    assert np.array_equal(two['arr_0'], one['arr_0']) and len(one['arr_0']) == 70
    assert two['arr_1'].tolist() == one['arr_1'].tolist() == [index % 10 for index in range(70)]
    metrics, metrics_alone = (
        json.loads((tmp_path / f'{name}.json').read_text())['scores'][0]['metrics'] for name in ('two', 'one')
    )
    assert metrics == pytest.approx(metrics_alone, rel=1e-9)


@pytest.fixture
def slurm(tmp_path):
    """The environment of a cluster that notes what it is asked for; with RUN=1, it also does it."""
    for name, text in (('srun', SRUN), ('scontrol', SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return dict(PATH=f'{tmp_path}:{os.environ["PATH"]}', RECORD=str(tmp_path / 'record'), RUN='0')


def test_slurm_gets_tasks_and_devices(slurm):
    asked = start(
        'slurm_train.sh',
        'part',
        'job',
        'some.py',
        '--cfg-options',
        'a=[1, 2]',
        GPUS='16',
        SRUN_ARGS='--time=1 --exclusive',
        **slurm,
    )
    assert asked.returncode == 0, asked.stderr
    assert Path(slurm['RECORD']).read_text().splitlines() == [
        '--partition=part',
        '--job-name=job',
        '--gres=gpu:8',
        '--ntasks=16',
        '--ntasks-per-node=8',
        '--cpus-per-task=5',
        '--kill-on-bad-exit=1',
        '--time=1',
        '--exclusive',
        sys.executable,
        '-u',
        str(TOOLS / 'train.py'),
        'some.py',
        '--launcher',
        'slurm',
        '--cfg-options',
        'a=[1, 2]',
    ]
    asked = start('slurm_train.sh', 'part', 'job', 'some.py', 'folder', GPUS='2', GRES='', CPUS_PER_TASK='3', **slurm)
    assert Path(slurm['RECORD']).read_text().splitlines() == [
        '--partition=part',
        '--job-name=job',
        '--ntasks=2',
        '--ntasks-per-node=2',
        '--cpus-per-task=3',
        '--kill-on-bad-exit=1',
        sys.executable,
        '-u',
        str(TOOLS / 'train.py'),
        'some.py',
        '--launcher',
        'slurm',
        '--work-dir',
        'folder',
    ]


@pytest.mark.slow
def test_slurm_tasks_train_and_draw_together(tmp_path, slurm):
    slurm = dict(slurm, RUN='1', GPUS='2', MASTER_PORT=str(free_port()))
    trained = start('slurm_train.sh', 'part', 'job', CONFIG, tmp_path / 'train', *TRAIN, **slurm)
    assert trained.returncode == 0, trained.stderr
    assert 'GPU number: 2' in next((tmp_path / 'train').rglob('*.log')).read_text()
    tested = start(
        'slurm_test.sh', 'part', 'job', CONFIG, tmp_path / 'train', '--work-dir', tmp_path / 'test', *DRAW, **slurm
    )
    assert tested.returncode == 0, tested.stderr
    assert tested.stdout.count('\nsampler ') == 1


@pytest.mark.parametrize(
    'script, arguments',
    [
        ('dist_train.sh', ['config.py']),
        ('dist_test.sh', ['config.py', 'x.pth']),
        ('slurm_train.sh', ['part', 'job']),
        ('slurm_test.sh', ['part', 'job', 'config.py']),
    ],
)
def test_script_tells_what_it_needs(script, arguments):
    result = start(script, *arguments)
    assert result.returncode == 2 and result.stderr.startswith('usage: ')


@pytest.mark.skipif(shutil.which('shellcheck') is None, reason='needs shellcheck')
@pytest.mark.parametrize('script', sorted(TOOLS.glob('*.sh')), ids=lambda script: script.name)
def test_script_has_no_pitfalls(script):
    result = subprocess.run(['shellcheck', script], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize('launcher, source', [('slurm', 'SLURM_PROCID'), ('mpi', 'OMPI_COMM_WORLD_RANK')])
def test_launcher_that_started_nothing_is_refused(capsys, monkeypatch, tmp_path, launcher, source):
    monkeypatch.delenv(source, raising=False)
    with pytest.raises(SystemExit) as exit_:
        measure([str(CONFIG), 'digits', '--work-dir', str(tmp_path), '--launcher', launcher])
    assert exit_.value.code == 2 and source in capsys.readouterr().err
