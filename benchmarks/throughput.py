"""Images per second of the ImageNet 64x64 network in each precision and batch size, eager and compiled; for GPUs."""

from functools import partial

import peers
import torch
from measure import Row, in_turn, synchronize

from mmcm.utils.precision import is_emulated

BATCHES = dict(cuda=(1, 16, 128, 512), cpu=(1,))
PRECISIONS = ('float32', 'TF32', 'float16', 'bfloat16')


@torch.inference_mode()
def measure(args) -> list[Row]:
    """Measure images/s of one step, ours and diffusers', and the memory of the device."""
    rows = []
    cuda = torch.device(args.device).type == 'cuda'
    networks = [peers.ours(peers.IMAGENET), peers.theirs(peers.IMAGENET)]
    for precision in PRECISIONS:
        dtype = torch.float32 if precision == 'TF32' else getattr(torch, precision)
        if is_emulated(dtype, torch.device(args.device)) or (precision == 'TF32' and not cuda):
            continue
        torch.set_float32_matmul_precision('high' if precision == 'TF32' else 'highest')
        torch.backends.cudnn.allow_tf32 = precision == 'TF32'
        layout = torch.contiguous_format if dtype == torch.float32 else torch.channels_last
        networks = [network.to(device=args.device, dtype=dtype, memory_format=layout) for network in networks]
        variants = dict(eager=networks[0])
        if cuda and args.compile:
            variants['compiled'] = torch.compile(networks[0], dynamic=False)
        for batch in BATCHES['cuda' if cuda else 'cpu']:
            for variant, network in variants.items():
                what = f'ImageNet 64x64, {precision}, batch {batch}, {variant}'
                try:
                    rows += compared(what, network, networks[1], batch, dtype, args)
                except torch.cuda.OutOfMemoryError:
                    torch.cuda.empty_cache()
                    print(f'{what}: does not fit the memory', flush=True)
    return rows


def compared(what, network, peer, batch, dtype, args) -> list[Row]:
    """Return images/s of a network and its peer, and the peak of the device's memory with ours."""
    where = dict(device=args.device)
    x = torch.randn(batch, 3, 64, 64, dtype=dtype, **where)
    t, labels = torch.full((batch,), 1000.0, **where), torch.arange(batch, **where) % 1000
    calls = [partial(each, x, t, labels) for each in (network, peer)]
    times = in_turn(calls, args.rounds, args.device)
    pairs = [(batch / ours, batch / theirs) for ours, theirs in times]
    rows = [Row.paired('throughput', what, 'images/s', pairs, 'UNet2DModel of diffusers', '>= 1')]
    if torch.device(args.device).type == 'cuda':
        torch.cuda.reset_peak_memory_stats()
        calls[0]()
        synchronize(args.device)
        rows.append(Row('throughput', f'{what}, memory', 'GB', torch.cuda.max_memory_allocated() / 1e9))
    return rows
