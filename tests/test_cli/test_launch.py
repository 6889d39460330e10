import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
from mmengine.config import Config

from mmcm.cli import launch, runner
from mmcm.cli.config import runner_config
from mmcm.cli.launch import check_devices, find_launcher, processes, set_torch_variables
from mmcm.utils.errors import InputError
from support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
CONFIG = 'ct_1xb32_digits-8x8'
TORCHRUN = dict(RANK='5', WORLD_SIZE='8', LOCAL_RANK='1')
SRUN = dict(SLURM_PROCID='6', SLURM_NTASKS='8', SLURM_LOCALID='2', SLURM_STEP_NUM_TASKS='8')
MPIRUN = dict(OMPI_COMM_WORLD_RANK='1', OMPI_COMM_WORLD_SIZE='2', OMPI_COMM_WORLD_LOCAL_RANK='0')
VARIABLES = {*TORCHRUN, *SRUN, *MPIRUN, launch.TORCHRUN, 'OMPI_COMM_WORLD_LOCAL_SIZE', 'MASTER_ADDR', 'MASTER_PORT'}


@pytest.fixture
def set_only(monkeypatch):
    """Set variables of launchers, and no others of them."""

    def set_(variables):
        for name in VARIABLES:
            monkeypatch.setenv(name, '')  # so that what a test sets by itself is taken back, too
            monkeypatch.delenv(name)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_


@pytest.mark.parametrize('launcher, variables, expected', [
    (None, {}, (0, 1, 0)),
    (None, TORCHRUN, (5, 8, 1)),
    ('none', TORCHRUN, (0, 1, 0)),
    (None, dict(SLURM_PROCID='0', SLURM_NTASKS='8'), (0, 1, 0)),  # a shell within a job is no task of it
    (None, dict(SRUN, SLURM_PROCID='0', SLURM_STEP_NUM_TASKS='1'), (0, 1, 0)),  # nor is one that srun started in it
    (None, SRUN, (6, 8, 2)),
    ('slurm', dict(SLURM_PROCID='6', SLURM_NTASKS='8', SLURM_LOCALID='2'), (6, 8, 2)),
    (None, MPIRUN, (1, 2, 0)),
    (None, {**SRUN, **MPIRUN}, (1, 2, 0)),  # mpirun within a task of Slurm
    (None, {**SRUN, **TORCHRUN}, (5, 8, 1)),  # torchrun within one
    ('mpi', dict(OMPI_COMM_WORLD_RANK='1', OMPI_COMM_WORLD_SIZE='2'), (1, 2, 1)),
])  # yapf: disable
def test_launchers_tell_which_process_this_is(set_only, launcher, variables, expected):
    set_only(variables)
    assert processes(launcher) == expected


@pytest.mark.parametrize(
    'variables',
    [
        dict(RANK='2', WORLD_SIZE='2'),
        dict(RANK='x', WORLD_SIZE='2'),
        dict(RANK='-1', WORLD_SIZE='2'),
        dict(RANK='0', WORLD_SIZE=''),
    ],
)
def test_variables_that_do_not_fit(set_only, variables):
    set_only(variables)
    with pytest.raises(InputError, match='RANK'):
        processes()


def test_one_process_is_connected_where_torchrun_has_started_it(set_only):
    set_only(dict(RANK='0', WORLD_SIZE='1'))  # left over in a notebook, say
    assert find_launcher() == 'none'
    set_only(dict(RANK='0', WORLD_SIZE='1', TORCHELASTIC_RUN_ID='none'))
    assert find_launcher() == 'pytorch'


@pytest.mark.parametrize('variables, expected', [(TORCHRUN, 'pytorch'), (SRUN, 'slurm'), (MPIRUN, 'mpi')])
def test_runs_take_the_launcher_from_the_environment(set_only, tmp_path, variables, expected):
    set_only(variables)
    args = Namespace(config=CONFIG, cfg_options={}, launcher=None, work_dir=str(tmp_path))
    assert runner_config(args).launcher == args.launcher == expected
    args.launcher = 'none'
    assert runner_config(args).launcher == 'none'


def test_launcher_may_be_a_setting(set_only, tmp_path):
    set_only({})
    args = Namespace(config=CONFIG, cfg_options=dict(launcher='slurm'), launcher=None, work_dir=str(tmp_path))
    assert runner_config(args).launcher == 'slurm'
    args = Namespace(config=CONFIG, cfg_options=dict(launcher='foo'), launcher=None, work_dir=str(tmp_path))
    with pytest.raises(InputError, match='launcher has to be one of none, pytorch, slurm, mpi'):
        runner_config(args)


def test_processes_find_each_other(set_only):
    set_only(dict(MPIRUN, OMPI_COMM_WORLD_LOCAL_SIZE='2'))
    set_torch_variables('mpi')
    names = 'RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT'
    assert [os.environ[name] for name in names] == ['1', '2', '0', '127.0.0.1', '29500']
    set_only(dict(MPIRUN, OMPI_COMM_WORLD_LOCAL_SIZE='1'))  # on two machines
    set_torch_variables('mpi')
    assert 'MASTER_ADDR' not in os.environ


def test_variables_that_are_left_over_are_named(set_only):
    set_only(TORCHRUN)
    with pytest.raises(InputError, match='process 5 of 8, and there is no variable MASTER_ADDR.* --launcher none'):
        set_torch_variables('pytorch')


def test_more_processes_than_gpus_are_refused(set_only, monkeypatch):
    set_only(dict(TORCHRUN, CUDA_VISIBLE_DEVICES='3'))
    check_devices('pytorch', 2)
    with pytest.raises(InputError, match=r'process 1 of this machine has no GPU, there is 1 \(CUDA_VISIBLE_DEVICES=3'):
        check_devices('pytorch', 1)


def test_task_of_slurm_uses_the_gpu_that_is_its_own(set_only):
    set_only(dict(SRUN, LOCAL_RANK='2'))
    check_devices('slurm', 1)
    assert os.environ['SLURM_LOCALID'] == os.environ['LOCAL_RANK'] == '0'
    set_only(dict(SRUN, LOCAL_RANK='2'))
    with pytest.raises(InputError, match='process 2 of this machine has no GPU, there are 2'):
        check_devices('slurm', 2)


def test_prepare_asks_for_a_gpu_for_each_process(set_only, monkeypatch):
    set_only(dict(TORCHRUN, MASTER_ADDR='127.0.0.1'))
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    monkeypatch.setattr('torch.cuda.device_count', lambda: 1)
    with pytest.raises(InputError, match='process 1 of this machine has no GPU'):
        runner.prepare(Config(dict()), Namespace(launcher='pytorch', local_rank=0))


@pytest.mark.slow
def test_torchrun_needs_no_launcher(tmp_path):
    command = [
        sys.executable,
        '-m',
        'torch.distributed.run',
        '--standalone',
        '--nproc_per_node',
        '2',
        '-m',
        'mmcm',
        'train',
        CONFIG,
        '--work-dir',
        str(tmp_path / 'run'),
        '--cfg-options',
        'train_cfg.max_iters=1',
        'default_hooks.sample_grid=None',
        'default_hooks.trajectory=None',
        'train_dataloader.batch_size=8',
    ]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count('Trained to iteration 1') == 1 and 'training: 2 processes' in result.stdout
