"""What the machine can do: products and convolutions as large as those of the ImageNet network, in each precision."""

from functools import partial

import torch
from measure import Row, in_turn
from torch.nn import functional as F

from mmcm.utils.precision import is_emulated

SIDE = 2048
CHANNELS, PIXELS, BATCH = 192, 64, 4


def measure(args) -> list[Row]:
    """Measure GFLOP/s."""
    rows = []
    for name in ('float32', 'bfloat16', 'float16'):
        dtype = getattr(torch, name)
        if is_emulated(dtype, torch.device(args.device)):
            continue
        where = dict(device=args.device, dtype=dtype)
        side = SIDE * (1 if args.device == 'cpu' else 4)
        a = torch.randn(side, side, **where)
        x = torch.randn(BATCH, CHANNELS, PIXELS, PIXELS, **where)
        weight = torch.randn(CHANNELS, CHANNELS, 3, 3, **where)
        flops = (2 * side**3, 2 * BATCH * PIXELS**2 * CHANNELS**2 * 9)
        with torch.inference_mode():
            times = in_turn(
                [partial(torch.mm, a, a), partial(F.conv2d, x, weight, padding=1)], args.rounds, args.device
            )
        for what, count, column in zip(('matrix product', 'convolution'), flops, zip(*times)):
            values = [count / time / 1e9 for time in column]
            rows.append(Row.of('limits', f'{what}, {name}', 'GFLOP/s', values))
    return rows
