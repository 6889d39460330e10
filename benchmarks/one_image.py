"""Time one 256x256 image: pMF-B/16 against the LSUN-256 network, ours and diffusers', all with random weights.

Each network runs in a process of its own, in turn, and makes its image in one evaluation. Beside the wall time stands
the time of the processor, which other programs on the machine change less.
"""

import json
import resource
import subprocess
import sys
import time
from argparse import ArgumentParser

import torch
from torch import nn

from mmcm.checkpoints.formats.diffusers_unet import unet_config
from mmcm.config import read_config
from mmcm.models.consistency_model import inference_config
from mmcm.registry import MODELS

PMF = 'pmf-b_8xb128_imagenet1k-256x256'
LSUN = 'consistency_models_8xb32-LSUN-bedroom-onestep-256x256'
VARIANTS = ('pMF-B/16', 'LSUN-256', 'LSUN-256, diffusers')


def main() -> None:
    """Run the benchmark."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=5, help='images of pMF, of which the fastest counts; else one')
    parser.add_argument('--variant', choices=VARIANTS, help='run this one alone, in this process')
    args = parser.parse_args()
    if args.variant is not None:
        print(json.dumps(measure(args.variant, args.threads, args.rounds)))
        return
    results = {}
    for variant in VARIANTS:
        command = [sys.executable, __file__, *sys.argv[1:], '--variant', variant]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        results[variant] = result = json.loads(output.splitlines()[-1])
        print(
            f'{variant}: {result["parameters"] / 1e6:.0f} million parameters, {result["wall"]:.2f} s, '
            f'{result["cpu"]:.2f} s of the processor, peak {result["peak"]:.2f} GB'
        )
    for variant in VARIANTS[1:]:
        ratios = {key: results[variant][key] / results[VARIANTS[0]][key] for key in ('wall', 'cpu', 'peak')}
        print(f'{variant} / {VARIANTS[0]}: ' + ', '.join(f'{key} {ratio:.1f}' for key, ratio in ratios.items()))


@torch.inference_mode()
def measure(variant: str, num_threads: int, num_rounds: int) -> dict[str, float]:
    """Return seconds of an image, by the clock and of the processor, and the peak of memory in GB."""
    torch.set_num_threads(num_threads)
    config = inference_config(read_config(PMF if variant == VARIANTS[0] else LSUN).model)
    x, level = torch.randn(1, 3, 256, 256), torch.full((1,), 80.0)
    labels = torch.tensor([207]) if variant == VARIANTS[0] else None
    network: nn.Module
    with torch.device('meta'):
        if variant == VARIANTS[2]:
            from diffusers import UNet2DModel

            network = UNet2DModel(**unet_config(config['denoiser']['backbone']))
        else:
            network = MODELS.build(config['denoiser'])
    network = network.to_empty(device='cpu').eval()
    for parameter in network.parameters():
        parameter.uniform_(-0.02, 0.02)
    inputs = (x, level) if labels is None else (x, level, labels)
    seconds = []
    for _ in range(num_rounds if labels is not None else 1):
        started = time.perf_counter(), time.process_time()
        network(*inputs)
        seconds.append((time.perf_counter() - started[0], time.process_time() - started[1]))
    wall, cpu = map(min, zip(*seconds))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024) / 1e9
    size = sum(parameter.numel() for parameter in network.parameters())
    return dict(wall=wall, cpu=cpu, peak=peak, parameters=size)


if __name__ == '__main__':
    main()
