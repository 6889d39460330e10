"""Time training steps against the network evaluations that they need at least.

Every method needs a forward and a backward pass of the trained network. `EVALUATIONS` has what else each one needs:
passes of the target, the teacher or the frozen first stage, and derivatives. Both are measured in turn, with no weight
at zero: the objective with its backward pass against these bare evaluations, and a whole step, with the updates of
target and average, against the bare evaluations and the optimiser.
"""

from argparse import ArgumentParser, Namespace

import torch
from measure import HEAD, Row, in_turn
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

from mmcm.registry import MODELS
from mmcm.structures import DataSample
from mmcm.zoo import find_config

NETWORKS = {  # config and batch size
    'digits': ('ct_1xb32_digits-8x8', 128),
    'imagenet64': ('consistency_models_8xb256-imagenet1k-onestep-64x64', 2),
}
CURRICULUM = dict(type='FixedCurriculum', num_scales=18, target_decay=0.95)
OBJECTIVES = dict(  # of the others, the recipe for the digits has it
    ct=dict(type='ConsistencyTraining', curriculum=CURRICULUM, distance=dict(type='L2')),
    cd=dict(type='ConsistencyDistillation', curriculum=CURRICULUM, distance=dict(type='L2')),
)
# Besides the forward and the backward pass: passes without gradients of the trained network or its average, of the
# teacher and of the frozen first stage; passes with a quarter of the batch; and derivatives along a direction.
EVALUATIONS: dict[str, dict[str, int]] = dict(
    edm=dict(),
    ct=dict(forward=1),
    cd=dict(forward=1, teacher=2),
    ict=dict(forward=1),
    ect=dict(forward=1),
    tcm=dict(forward=1, lower=1),
    sct=dict(derivative=1),
    scd=dict(teacher=1, derivative=1),
    meanflow=dict(derivative=1),
    imf=dict(forward=1, derivative=1),
    soflow=dict(forward=1),
    shortcut=dict(quarter=2),
)


def main() -> None:
    """Run the benchmark."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--network', choices=NETWORKS, default='digits')
    parser.add_argument('--method', choices=EVALUATIONS, default='ct')
    parser.add_argument('--batch-size', type=int, help='images per step; default: 128 of the digits, 2 of ImageNet')
    parser.add_argument('--rounds', type=int, default=30)
    parser.add_argument('--device', default='cpu')
    args = parser.parse_args()
    print(HEAD)
    for row in compare(args.network, args.method, args.rounds, args.device, args.batch_size):
        print(row.text())


def measure(args: Namespace) -> list[Row]:
    """Measure every method on the digits."""
    return [row for method in EVALUATIONS for row in compare('digits', method, args.rounds, args.device)]


def compare(network: str, method: str, rounds: int, device: str, batch_size: int | None = None) -> list[Row]:
    """Return the seconds of objective and step, against those of bare evaluations."""
    name, default = NETWORKS[network]
    batch_size = batch_size or default
    model = MODELS.build(model_config(method, name)).to(device).train()
    generator = torch.Generator(device).manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():  # with zeros, as at the start of training, times differ
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator, device=device)
    model.begin_step(0)
    wrapper = OptimWrapper(torch.optim.RAdam(model.denoiser.parameters(), lr=1e-6))
    backbone = model.denoiser.backbone
    trained = backbone.upper if method == 'tcm' else backbone
    shape = (batch_size, *model.image_shape)
    labels = torch.randint(model.num_classes, (batch_size,))
    batch = dict(inputs=torch.randint(256, shape, dtype=torch.uint8), data_samples=DataSample.of(label=labels))
    x, t = torch.randn(shape, device=device), torch.randn(batch_size, device=device)
    labels = labels.to(device)
    conditions = torch.randn(batch_size, trained.num_conditions, device=device) if trained.num_conditions else None
    given = (labels, None, conditions)
    evaluations = EVALUATIONS[method]

    def derivative():
        with forward_ad.dual_level(), sdpa_kernel(SDPBackend.MATH):
            trained(forward_ad.make_dual(x, x), forward_ad.make_dual(t, t), *given)

    def quarter():
        rows = slice(batch_size // 4)
        trained(x[rows], t[rows], *(None if each is None else each[rows] for each in given))

    calls = dict(
        forward=lambda: trained(x, t, *given),
        teacher=lambda: model.teacher.backbone(x, t, labels),
        lower=lambda: backbone.lower(x, t, *given),
        quarter=quarter,
        derivative=derivative,
    )

    def bare():
        trained(x, t, *given).square().mean().backward()
        with torch.no_grad():
            for name, number in evaluations.items():
                for _ in range(number):
                    calls[name]()

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


def model_config(method: str, network: str) -> dict:
    """Return the config of a model that trains by `method`, with the network of the config `network`."""
    recipe = Config.fromfile(find_config(f'{method}_1xb32_digits-8x8')).model
    denoiser, backbone = recipe.denoiser, Config.fromfile(find_config(network)).model.denoiser.backbone
    backbone.num_conditions = denoiser.backbone.get('num_conditions', 0)
    teacher = recipe.get('teacher')
    return dict(
        type='ConsistencyModel',
        denoiser={**denoiser, 'backbone': backbone},
        objective=OBJECTIVES.get(method, recipe.objective),
        teacher=None if teacher is None else dict(teacher, checkpoint='random weights'),
        ema_decays=(0.999,),
    )


if __name__ == '__main__':
    main()
