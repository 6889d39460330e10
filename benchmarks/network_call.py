"""Time one evaluation of the ImageNet 64x64 network, ours against diffusers', in turn."""

import statistics
import time
from argparse import ArgumentParser

import torch
from mmengine.config import Config

from mmcm.checkpoints.formats.diffusers_unet import unet_config
from mmcm.registry import MODELS
from mmcm.zoo import find_config


def timed(network, *inputs) -> float:
    """Return the seconds that a call takes."""
    started = time.perf_counter()
    network(*inputs)
    if inputs[0].is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started


@torch.inference_mode()
def main() -> None:
    """Run the benchmark."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument('--batch-size', type=int, default=4)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--dtype', choices=['float32', 'float16', 'bfloat16'], default='float32')
    parser.add_argument('--channels-last', action='store_true', help='for both networks')
    args = parser.parse_args()

    from diffusers import UNet2DModel

    config = Config.fromfile(find_config('consistency_models_8xb256-imagenet1k-onestep-64x64')).model.denoiser.backbone
    layout = torch.channels_last if args.channels_last else torch.contiguous_format
    where = dict(device=args.device, dtype=getattr(torch, args.dtype), memory_format=layout)
    networks = dict(mmcm=MODELS.build(config), diffusers=UNet2DModel(**unet_config(config)))
    networks = {name: network.eval().to(**where) for name, network in networks.items()}
    sizes = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
    assert len(set(sizes.values())) == 1, sizes
    x = torch.randn(args.batch_size, 3, 64, 64).to(**where)
    t = torch.full((args.batch_size,), 1000.0, device=args.device)
    labels = torch.arange(args.batch_size, device=args.device)
    for network in networks.values():
        timed(network, x, t, labels)
    rounds = [{name: timed(network, x, t, labels) for name, network in networks.items()} for _ in range(args.rounds)]
    for name in networks:
        print(f'{name}: median {statistics.median(result[name] for result in rounds):.3f} s')
    ratios = [result['mmcm'] / result['diffusers'] for result in rounds]
    print(f'mmcm / diffusers: median {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})')


if __name__ == '__main__':
    main()
