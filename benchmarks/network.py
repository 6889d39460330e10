"""One evaluation of the ImageNet 64x64 network, ours against diffusers'."""

from functools import partial

import peers
import torch
from measure import Row, in_turn

from mmcm.utils.precision import is_emulated

BATCH = 4


@torch.inference_mode()
def measure(args) -> list[Row]:
    """Measure seconds of a call in each precision that the device does not emulate."""
    rows = []
    networks = [peers.ours(peers.IMAGENET), peers.theirs(peers.IMAGENET)]
    assert len({sum(weight.numel() for weight in network.parameters()) for network in networks}) == 1
    for name in ('float32', 'bfloat16'):
        dtype = getattr(torch, name)
        if is_emulated(dtype, torch.device(args.device)):
            continue
        for layout in ('contiguous_format', 'channels_last'):
            where = dict(device=args.device, dtype=dtype, memory_format=getattr(torch, layout))
            networks = [network.to(**where) for network in networks]
            x = torch.randn(BATCH, 3, 64, 64).to(**where)
            t = torch.full((BATCH,), 1000.0, device=args.device)
            labels = torch.arange(BATCH, device=args.device)
            calls = [partial(network, x, t, labels) for network in networks]
            times = in_turn(calls, args.rounds, args.device)
            what = f'ImageNet 64x64, batch {BATCH}, {name}, {layout}'
            rows.append(Row.paired('network', what, 's', times, 'UNet2DModel of diffusers', '<= 1'))
    return rows
