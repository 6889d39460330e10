"""Time training steps against the network evaluations that they need at least.

Consistency training needs a forward and a backward pass of the trained network and a forward pass of the target;
distillation two more of the teacher. Both are measured in turn, with no weight at zero: the objective with its backward
pass against these bare evaluations, and a whole step, with the updates of target and average, against the bare
evaluations and the optimiser.
"""

import statistics
import time
from argparse import ArgumentParser

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper

from mmcm.registry import MODELS
from mmcm.structures import DataSample
from mmcm.zoo import find_config

NETWORKS = {  # config and batch size
    'digits': ('ct_1xb32_digits-8x8', 128),
    'imagenet64': ('consistency_models_8xb256-imagenet1k-onestep-64x64', 2),
}
CURRICULUM = dict(type='FixedCurriculum', num_scales=18, target_decay=0.95)
OBJECTIVES = dict(
    ct=dict(type='ConsistencyTraining', curriculum=CURRICULUM, distance=dict(type='L2')),
    cd=dict(type='ConsistencyDistillation', curriculum=CURRICULUM, distance=dict(type='L2')),
)


def main() -> None:
    """Run the benchmark."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--network', choices=NETWORKS, default='digits')
    parser.add_argument('--method', choices=OBJECTIVES, default='ct')
    parser.add_argument('--batch-size', type=int, help='images per step; default: 128 of the digits, 2 of ImageNet')
    parser.add_argument('--rounds', type=int, default=30)
    parser.add_argument('--device', default='cpu')
    args = parser.parse_args()

    name, batch_size = NETWORKS[args.network]
    batch_size = args.batch_size or batch_size
    denoiser = Config.fromfile(find_config(name)).model.denoiser
    teacher = dict(checkpoint='random weights') if args.method == 'cd' else None
    model = (
        MODELS.build(
            dict(
                type='ConsistencyModel',
                denoiser=denoiser,
                objective=OBJECTIVES[args.method],
                teacher=teacher,
                ema_decays=(0.999,),
            )
        )
        .to(args.device)
        .train()
    )
    generator = torch.Generator(args.device).manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():  # with zeros, as at the start of training, times differ
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator, device=args.device)
    model.begin_step(0)
    wrapper = OptimWrapper(torch.optim.RAdam(model.denoiser.parameters(), lr=1e-6))
    backbone = model.denoiser.backbone
    shape = (batch_size, *model.image_shape)
    labels = torch.randint(model.num_classes, (batch_size,))
    batch = dict(inputs=torch.randint(256, shape, dtype=torch.uint8), data_samples=DataSample.of(label=labels))
    x, t = torch.randn(shape, device=args.device), torch.randn(batch_size, device=args.device)
    labels = labels.to(args.device)

    def bare():
        backbone(x, t, labels).square().mean().backward()
        with torch.no_grad():
            backbone(x, t, labels)
            for _ in range(2 if args.method == 'cd' else 0):
                model.teacher.backbone(x, t, labels)

    def objective():
        loss, _ = model.parse_losses(model(**model.data_preprocessor(batch), mode='loss'))
        loss.backward()

    def bare_step():
        bare()
        wrapper.step()
        wrapper.zero_grad()

    def step():
        model.train_step(batch, wrapper)
        model.update_averages()

    def timed(function):
        model.zero_grad()
        synchronize(args.device)
        started = time.perf_counter()
        function()
        synchronize(args.device)
        return time.perf_counter() - started

    functions = dict(bare=bare, objective=objective, bare_step=bare_step, step=step)
    for function in functions.values():
        timed(function)
    rounds = [{name: timed(function) for name, function in functions.items()} for _ in range(args.rounds)]
    print(f'{args.method} on {args.network}, batch {batch_size}, {args.device}, {torch.get_num_threads()} threads')
    for name in functions:
        print(f'{name}: median {1e3 * statistics.median(result[name] for result in rounds):.1f} ms')
    for name, peer in (('objective', 'bare'), ('step', 'bare_step')):
        ratios = [result[name] / result[peer] for result in rounds]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f'{name} / {peer}: median {middle:.3f} (quartiles {low:.3f} and {high:.3f})')


def synchronize(device: str) -> None:
    """Wait for an accelerator."""
    if device.startswith('cuda'):
        torch.cuda.synchronize()


if __name__ == '__main__':
    main()
