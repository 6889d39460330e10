"""Time sampling, ours against diffusers' pipeline with the same weights: calls in turn, and fresh processes."""

import statistics
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from mmcm.apis import ConsistencyModelInferencer
from mmcm.checkpoints.formats.diffusers_folder import write_folder
from mmcm.config import read_config
from mmcm.registry import MODELS
from mmcm.zoo import find

# A fresh process, from its start to one image.
STARTS = dict(
    mmcm='from mmcm.apis import ConsistencyModelInferencer as Model; Model({!r}, device={!r})(num_images=1)',
    diffusers='from diffusers import ConsistencyModelPipeline as Model\n'
    'model = Model.from_pretrained({!r}).to({!r}); model.set_progress_bar_config(disable=True); model(1)',
)


def seconds(function: Callable[[], object]) -> float:
    """Return how long `function` takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def compare(name: str, rounds: int, ours: Callable[[], object], theirs: Callable[[], object]) -> None:
    """Time both in turn and print medians and ratio."""
    times = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    ratios = sorted(a / b for a, b in times)
    medians = [statistics.median(column) for column in zip(*times)]
    print(
        f'{name}: mmcm {medians[0]:.4g} s, diffusers {medians[1]:.4g} s, ratio {statistics.median(ratios):.3f} '
        f'({ratios[0]:.3f} to {ratios[-1]:.3f})',
        flush=True,
    )


def write_model(name: str, folder: Path) -> None:
    """Write the architecture of a zoo model with random weights as a pipeline's folder."""
    model = read_config(find(name).config).model
    network = MODELS.build(model.denoiser.backbone)
    torch.manual_seed(0)
    for parameter in network.parameters():
        parameter.data.normal_(std=0.02)
    write_folder(folder, model.to_dict(), network.state_dict())


def main() -> None:
    """Run the benchmark."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument('--model', default='digits', help='zoo name of the architecture')
    parser.add_argument('--batch-sizes', type=int, nargs='+', default=[1, 16, 256])
    parser.add_argument('--steps', type=int, default=1)
    parser.add_argument('--rounds', type=int, default=21)
    parser.add_argument('--starts', type=int, default=3, help='fresh processes of each')
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    parser.add_argument('--dtype', choices=['float32', 'float16', 'bfloat16'], default='float32')
    args = parser.parse_args()

    from diffusers import ConsistencyModelPipeline

    with TemporaryDirectory() as folder:
        write_model(args.model, Path(folder) / 'model')
        path = str(Path(folder) / 'model')
        draw = ConsistencyModelInferencer(path, device=args.device, dtype=args.dtype).load()
        pipeline = ConsistencyModelPipeline.from_pretrained(path, torch_dtype=getattr(torch, args.dtype))
        pipeline.to(args.device).set_progress_bar_config(disable=True)
        for size in args.batch_sizes:
            options = dict(generator=torch.Generator().manual_seed(0))
            labels = None if draw.model.num_classes is None else [index % 10 for index in range(size)]

            def ours(size=size, labels=labels, options=options):
                return draw(size, labels, batch_size=size, num_steps=args.steps, **options)

            def theirs(size=size, labels=labels, options=options):
                return pipeline(size, labels, num_inference_steps=args.steps, **options)

            ours(), theirs()
            compare(f'{size} images, {args.steps} step{"s" * (args.steps > 1)}', args.rounds, ours, theirs)
        if args.starts:

            def start(name):
                code = STARTS[name].format(path, args.device)
                subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True, stderr=subprocess.DEVNULL)

            compare('fresh process to one image', args.starts, lambda: start('mmcm'), lambda: start('diffusers'))


if __name__ == '__main__':
    main()
