"""Time training steps against the network evaluations that they need at least.

Consistency training needs a forward and a backward pass of the trained network and a forward pass of the target;
distillation two more of the teacher. Both are measured in turn, with no weight at zero: the objective with its backward
pass against these bare evaluations, and a whole step, with the updates of target and average, against the bare
evaluations and the optimiser.
"""

from argparse import ArgumentParser, Namespace

import torch
from measure import HEAD, Row, in_turn
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
    print(HEAD)
    for row in compare(args.network, args.method, args.rounds, args.device, args.batch_size):
        print(row.text())


def measure(args: Namespace) -> list[Row]:
    """Measure consistency training and distillation of digits."""
    return [row for method in OBJECTIVES for row in compare('digits', method, 4 * args.rounds, args.device)]


def compare(network: str, method: str, rounds: int, device: str, batch_size: int | None = None) -> list[Row]:
    """Return the seconds of objective and step, against those of bare evaluations."""
    name, default = NETWORKS[network]
    batch_size = batch_size or default
    denoiser = Config.fromfile(find_config(name)).model.denoiser
    teacher = dict(checkpoint='random weights') if method == 'cd' else None
    model = (
        MODELS.build(
            dict(
                type='ConsistencyModel',
                denoiser=denoiser,
                objective=OBJECTIVES[method],
                teacher=teacher,
                ema_decays=(0.999,),
            )
        )
        .to(device)
        .train()
    )
    generator = torch.Generator(device).manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():  # with zeros, as at the start of training, times differ
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator, device=device)
    model.begin_step(0)
    wrapper = OptimWrapper(torch.optim.RAdam(model.denoiser.parameters(), lr=1e-6))
    backbone = model.denoiser.backbone
    shape = (batch_size, *model.image_shape)
    labels = torch.randint(model.num_classes, (batch_size,))
    batch = dict(inputs=torch.randint(256, shape, dtype=torch.uint8), data_samples=DataSample.of(label=labels))
    x, t = torch.randn(shape, device=device), torch.randn(batch_size, device=device)
    labels = labels.to(device)

    def bare():
        backbone(x, t, labels).square().mean().backward()
        with torch.no_grad():
            backbone(x, t, labels)
            for _ in range(2 if method == 'cd' else 0):
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

    def alone(function):
        model.zero_grad()
        function()

    functions = [lambda function=function: alone(function) for function in (objective, bare, step, bare_step)]
    times = in_turn(functions, rounds, device)
    what = f'{method} on {network}, batch {batch_size}'
    return [
        Row.paired('training', f'{what}, objective', 's', [row[:2] for row in times], 'bare evaluations', '<= 1.05'),
        Row.paired(
            'training', f'{what}, step', 's', [row[2:] for row in times], 'the same and the optimiser', '<= 1.05'
        ),
    ]


if __name__ == '__main__':
    main()
