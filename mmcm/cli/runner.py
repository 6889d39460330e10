"""What a runner needs to know of the machine before it is built."""
import importlib.util
import os
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config

from mmcm.registry import is_config_error
from mmcm.utils.errors import InputError


def prepare(config: Config, args: Namespace) -> None:
    """Fit `config` to this machine: its devices, and what is installed."""
    if config.get('visualizer'):
        keep_installed_backends(config)
    if args.launcher == 'none':
        return
    if args.launcher == 'pytorch' and 'RANK' not in os.environ:
        raise InputError('--launcher pytorch is for processes that torchrun starts: torchrun --nproc_per_node=8 ...')
    # MMEngine reads MPI's variable to choose the device, and this one to tell DDP of it.
    os.environ.setdefault('LOCAL_RANK', os.environ.get('OMPI_COMM_WORLD_LOCAL_RANK', str(args.local_rank)))
    if not torch.cuda.is_available():
        # MMEngine sets a CUDA device for every launcher, and gives DDP its index.
        if args.launcher != 'pytorch':
            raise InputError(f'--launcher {args.launcher} needs CUDA devices; on CPUs use --launcher pytorch.')
        torch.distributed.init_process_group('gloo')
        config.env_cfg.dist_cfg.backend = 'gloo'
        config.model_wrapper_cfg = dict(type='MMDistributedDataParallel', broadcast_buffers=False, device_ids=None)


@contextmanager
def built_from_config() -> Iterator[None]:
    """Turn MMEngine's errors about parts that do not exist, or do not take their arguments, into InputErrors.

    It surrounds a whole run: MMEngine builds optimiser, loaders and loops only when they are first needed.
    """
    try:
        yield
    except (KeyError, TypeError) as error:
        if is_config_error(error):
            raise InputError(f'the config cannot be built: {error.args[0]}') from error
        raise


def keep_installed_backends(config: Config) -> None:
    """Leave out the TensorBoard backend where TensorBoard is not installed; everything else still is logged."""
    if importlib.util.find_spec('tensorboard') is None:
        backends = config.visualizer.get('vis_backends') or []
        kept = [backend for backend in backends if backend['type'] != 'TensorboardVisBackend']
        if len(kept) < len(backends):
            print('TensorBoard is not installed, so nothing is logged to it: pip install tensorboard')
            config.visualizer.vis_backends = kept
