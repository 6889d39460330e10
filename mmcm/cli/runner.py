"""What a runner needs to know of the machine before it is built."""
import importlib.util
import os
from argparse import Namespace

import torch
from mmengine.config import Config

from mmcm.utils.errors import InputError


def prepare(config: Config, args: Namespace) -> None:
    """Fit `config` to this machine: its devices, and what is installed."""
    if config.get('visualizer'):
        keep_installed_backends(config)
    if args.launcher == 'none':
        return
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    if not torch.cuda.is_available():
        # MMEngine sets a CUDA device for every launcher, and gives DDP its index.
        if args.launcher != 'pytorch':
            raise InputError(f'--launcher {args.launcher} needs CUDA devices; on CPUs use --launcher pytorch.')
        torch.distributed.init_process_group('gloo')
        config.env_cfg.dist_cfg.backend = 'gloo'
        config.model_wrapper_cfg = dict(type='MMDistributedDataParallel', broadcast_buffers=False, device_ids=None)


def keep_installed_backends(config: Config) -> None:
    """Leave out the TensorBoard backend where TensorBoard is not installed; everything else still is logged."""
    if importlib.util.find_spec('tensorboard') is None:
        backends = config.visualizer.get('vis_backends') or []
        kept = [backend for backend in backends if backend['type'] != 'TensorboardVisBackend']
        if len(kept) < len(backends):
            print('TensorBoard is not installed, so nothing is logged to it: pip install tensorboard')
            config.visualizer.vis_backends = kept
