"""Time one step of consistency training on the digits against what it cannot do without."""
import statistics
import time
from argparse import ArgumentParser

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper

from mmcm.registry import MODELS
from mmcm.structures import DataSample
from mmcm.zoo import find_config


def main() -> None:
    """Run the benchmark."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument('--batch-size', type=int, default=128)
    parser.add_argument('--rounds', type=int, default=30)
    args = parser.parse_args()

    config = Config.fromfile(find_config('ct_1xb128_digits-8x8')).model
    model = MODELS.build(config).train()
    model.step = 0
    wrapper = OptimWrapper(torch.optim.RAdam(model.denoiser.parameters(), lr=1e-3))
    images = torch.randint(256, (args.batch_size, 1, 8, 8), dtype=torch.uint8)
    labels = torch.randint(10, (args.batch_size, ))
    batch = dict(inputs=images, data_samples=DataSample.of(label=labels))
    x, t = torch.randn(args.batch_size, 1, 8, 8), torch.randn(args.batch_size)
    backbone = model.denoiser.backbone

    def objective():
        loss, _ = model.parse_losses(model(**model.data_preprocessor(batch), mode='loss'))
        loss.backward()

    def bare():
        backbone(x, t, labels).square().mean().backward()
        with torch.no_grad():
            backbone(x, t, labels)

    def step():
        model.train_step(batch, wrapper)
        model.update_averages()

    def timed(function):
        model.zero_grad()
        started = time.perf_counter()
        function()
        return time.perf_counter() - started

    functions = dict(objective=objective, bare=bare, step=step)
    for function in functions.values():
        timed(function)
    rounds = [{name: timed(function) for name, function in functions.items()} for _ in range(args.rounds)]
    for name in functions:
        print(f'{name}: median {1e3 * statistics.median(result[name] for result in rounds):.1f} ms')
    for name in ('objective', 'step'):
        ratios = [result[name] / result['bare'] for result in rounds]
        print(f'{name} / bare: median {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})')


if __name__ == '__main__':
    main()
