"""Strategies of MMEngine's FlexibleRunner."""

import torch

__all__: list[str] = []

if torch.distributed.is_available():  # some builds of torch come without
    from mmcm.engine.strategies.fsdp import FSDPStrategy, shard_denoisers

    __all__ += ['FSDPStrategy', 'shard_denoisers']
