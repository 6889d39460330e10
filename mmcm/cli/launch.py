"""Rank of this process in a run, by the environment variables of the launcher."""

import os

from mmcm.utils.errors import InputError

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')
STARTED_BY = dict(pytorch='torchrun', slurm='srun', mpi='mpirun')
# The variables of each launcher for those of torch.
PROCESS_VARIABLES = dict(
    pytorch=dict(RANK='RANK', WORLD_SIZE='WORLD_SIZE'),
    slurm=dict(RANK='SLURM_PROCID', WORLD_SIZE='SLURM_NTASKS', LOCAL_RANK='SLURM_LOCALID'),
    mpi=dict(RANK='OMPI_COMM_WORLD_RANK', WORLD_SIZE='OMPI_COMM_WORLD_SIZE', LOCAL_RANK='OMPI_COMM_WORLD_LOCAL_RANK'),
)
# Variable that only srun sets, for the processes of a step; a shell within a job has the job's other variables.
STEP_TASKS = 'SLURM_STEP_NUM_TASKS'
TORCHRUN = 'TORCHELASTIC_RUN_ID'  # set by torchrun alone; the others may be left over
HELP = 'what started the processes; default: what the variables of torchrun, srun or mpirun say, if there are any'


def find_launcher(asked: str | None = None) -> str:
    """Return the launcher `asked` for; where there is none, the one that has started this process, or 'none'.

    torchrun comes first, since srun and mpirun may start it. A single process needs no launcher, unless torchrun
    started it: that connects it, as a strategy needs.

    Raises:
        InputError: If the variables of a launcher are no numbers that fit.
    """
    if asked is not None:
        return asked
    if {'RANK', 'WORLD_SIZE'} <= os.environ.keys():
        return 'pytorch' if processes('pytorch')[1] > 1 or TORCHRUN in os.environ else 'none'
    for launcher in ('mpi', 'slurm'):
        names = PROCESS_VARIABLES[launcher]
        started = launcher == 'mpi' or os.environ.get(STEP_TASKS, '1') != '1'
        if started and {names['RANK'], names['WORLD_SIZE']} <= os.environ.keys() and processes(launcher)[1] > 1:
            return launcher
    return 'none'


def processes(launcher: str | None = None) -> tuple[int, int, int]:
    """Return the rank of this process, the number of processes, and the rank among those of this machine.

    Args:
        launcher (str, optional): The launcher; None: see `find_launcher`.

    Raises:
        InputError: If the variables of the launcher are not there, or no numbers that fit.
    """
    launcher = find_launcher(launcher)
    if launcher == 'none':
        return 0, 1, 0
    names = {'LOCAL_RANK': 'LOCAL_RANK', **PROCESS_VARIABLES[launcher]}
    try:
        rank, world_size = (int(os.environ[names[key]]) for key in ('RANK', 'WORLD_SIZE'))
        local_rank = int(os.environ.get(names['LOCAL_RANK'], rank))
    except (KeyError, ValueError) as error:
        raise InputError(
            f'--launcher {launcher} is for processes that {STARTED_BY[launcher]} starts: the variables '
            f'{names["RANK"]} and {names["WORLD_SIZE"]} have to be numbers.'
        ) from error
    if not 0 <= rank < world_size:
        raise InputError(
            f'{names["RANK"]} is {rank}, which has to be from 0 to {world_size - 1} where '
            f'{names["WORLD_SIZE"]} is {world_size}.'
        )
    return rank, world_size, local_rank


def set_torch_variables(launcher: str, local_rank: int = 0) -> None:
    """Set the variables by which torch connects the processes, from those of the `launcher`, which is not 'none'.

    Raises:
        InputError: If there are no such variables, or process 0 cannot be found by them.
    """
    for name, source in PROCESS_VARIABLES[launcher].items():
        if source in os.environ:
            os.environ[name] = os.environ[source]
        elif name != 'LOCAL_RANK':
            raise InputError(
                f'--launcher {launcher} is for processes that {STARTED_BY[launcher]} starts: '
                f'there is no variable {source}.'
            )
    processes(launcher)
    # MMEngine reads MPI's variable to choose the device, and this one to pass it to DDP.
    os.environ.setdefault('LOCAL_RANK', str(local_rank))
    if launcher == 'mpi' and os.environ.get('OMPI_COMM_WORLD_LOCAL_SIZE') == os.environ['WORLD_SIZE']:
        os.environ.setdefault('MASTER_ADDR', '127.0.0.1')
    os.environ.setdefault('MASTER_PORT', '29500')
    if launcher == 'pytorch' and 'MASTER_ADDR' not in os.environ:
        raise InputError(
            f'RANK and WORLD_SIZE say that this is process {os.environ["RANK"]} of '
            f'{os.environ["WORLD_SIZE"]}, and there is no variable MASTER_ADDR by which they would find '
            'each other: start them with torchrun, or add --launcher none for one process.'
        )


def check_devices(launcher: str, count: int) -> None:
    """Raise an InputError if this machine, with `count` GPUs (1 or more), has fewer than processes.

    A task of Slurm or MPI may see only its own GPU, as number 0.
    """
    variable = PROCESS_VARIABLES[launcher].get('LOCAL_RANK', 'LOCAL_RANK')
    local_rank = int(os.environ.get(variable, os.environ['LOCAL_RANK']))
    if local_rank < count:
        return
    if launcher != 'pytorch' and count == 1:
        os.environ[variable] = os.environ['LOCAL_RANK'] = '0'
        return
    visible = os.environ.get('CUDA_VISIBLE_DEVICES')
    raise InputError(
        f'process {local_rank} of this machine has no GPU, there {"is" if count == 1 else "are"} {count}'
        f'{"" if visible is None else f" (CUDA_VISIBLE_DEVICES={visible})"}: start at most one process '
        'for each.'
    )
