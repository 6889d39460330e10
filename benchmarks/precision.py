"""What `dtype='auto'` chooses, how much faster that is than float32, and how far the images are from float32's."""

import math

import peers
import torch
from measure import Row, in_turn

from mmcm.apis import ConsistencyModelInferencer


def measure(args) -> list[Row]:
    """Measure seconds of one image in float32 and as 'auto' chooses, and the PSNR of bfloat16 for our own models."""
    rows = []
    with peers.folder(peers.IMAGENET) as path:
        models = [ConsistencyModelInferencer(path, device=args.device, dtype=dtype) for dtype in ('auto', 'float32')]
        times = in_turn([lambda model=model: model(num_images=1) for model in models], args.rounds, args.device)
        chosen = str(models[0].dtype).removeprefix('torch.')
        what = f'ImageNet 64x64, one image, auto ({chosen})'
        rows.append(Row.paired('precision', what, 's', times, 'ours in float32', '<= 0.65 in bfloat16'))
    for name in ('digits', 'photo_patches'):
        single, half = (
            ConsistencyModelInferencer(name, device=args.device, dtype=dtype)(16, seed=0).pixels.double()
            for dtype in ('float32', 'bfloat16')
        )
        error = (single - half).square().mean((1, 2, 3)).clamp(min=1e-9)
        values = (10 * torch.log10(255**2 / error)).tolist()
        assert all(map(math.isfinite, values))
        rows.append(Row.of('precision', f'{name}, bfloat16 against float32', 'dB (PSNR)', values, '>= 40'))
    return rows
