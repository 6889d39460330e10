"""Several processes do what one does: real processes, which torchrun starts and gloo connects."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.utils import digit_version

from mmcm.checkpoints.weights import read_checkpoint
from mmcm.cli.test import main as measure
from mmcm.cli.train import main as train
from mmcm.engine.strategies.fsdp import check_shardable, shard_denoisers
from mmcm.utils.errors import InputError
from support.digits import BACKBONE, build, objective_config
from support.patience import PATIENCE
from support.pictures import pixels
from support.transformers import Transformer

SHARDS = pytest.mark.skipif(
    digit_version(torch.__version__) < digit_version('2.4'), reason='FSDP of torch 2.3 does not work on CPUs'
)
ROOT = Path(__file__).parents[2]
STEPS = 4
BATCH = 16  # of all processes together
TINY = [
    'model.denoiser.backbone.channel_mult=(1,1)',
    'model.denoiser.backbone.dropout=0.0',
    f'train_cfg.max_iters={STEPS}',
    f'default_hooks.checkpoint.interval={STEPS // 2}',
    'val_dataloader.dataset.num_samples=20',
    'val_dataloader.batch_size=8',  # three batches, two for one of two processes
    'default_hooks.sample_grid.rows=1',
    'default_hooks.sample_grid.columns=3',
    'default_hooks.sample_grid.batch_size=2',
    'visualizer.vis_backends=[]',
]
TEACHER = 'model.teacher.checkpoint={folder}/edm/one'  # as one process trained it
# Config of the digits, and options of its own. EDM comes first: others take it for their teacher.
METHODS = dict(
    edm=['model.sampler.num_steps=2'],
    ct=[],
    cd=[TEACHER],
    ict=[
        'model.augmentation.type=EDMAugmentation',
        'model.augmentation.probability=0.5',
        'model.denoiser.backbone.augment_dim=9',
    ],
    ect=['model.init_from={folder}/edm/one'],
    pd=[TEACHER],
    sct=['model.init_from={folder}/edm/one'],
    tcm=['model.init_from={folder}/ect/one'],
    scd=[TEACHER],
    meanflow=[],
    imf=[],
    soflow=[],
    shortcut=[],
)


def run(folder, name, processes, base='', resume=False):
    """Return the arguments of a training run of method `name`, with the same batch for any number of processes."""
    config = ROOT / f'configs/digits/{name}_1xb32_digits-8x8.py'
    label = 'one' if processes == 1 else base or 'two'
    if base:
        path = folder / f'{name}_{base}.py'
        path.write_text(f"_base_ = ['{config}', '{ROOT}/configs/_base_/strategies/{base}.py']\n")
        config = path
    options = [
        *TINY,
        f'train_dataloader.batch_size={BATCH // processes}',
        *(option.format(folder=folder) for option in METHODS[name]),
    ]
    return [
        str(config),
        '--launcher',
        'none' if processes == 1 else 'pytorch',
        '--work-dir',
        str(folder / name / label),
        *['--resume'] * resume,
        '--cfg-options',
        *options,
    ]


def train_in_two_processes(*runs):
    """Train one run after the other, all in the same two processes: to start them takes longer than that."""
    code = 'import sys; from mmcm.cli.train import main; [main(run.split("\\t")) for run in sys.argv[1:]]'
    result = subprocess.run(
        [
            sys.executable,
            '-m',
            'torch.distributed.run',
            '--standalone',
            '--nproc_per_node',
            '2',
            '--no-python',
            sys.executable,
            '-c',
            code,
            *('\t'.join(run) for run in runs),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert result.returncode == 0, result.stderr


def weights(folder, name, label, step=STEPS):
    return read_checkpoint(folder / name / label / f'iter_{step}.pth')['state_dict']


def distance(ours, theirs):
    """Return the largest difference of two state dicts that have to have the same keys."""
    assert ours.keys() == theirs.keys()
    return max((ours[key].double() - theirs[key]).abs().max().item() for key in theirs)


def best_score(folder, name, label):
    (best,) = (folder / name / label).glob('best_sliced_wasserstein_distance_iter_*.pth')
    return read_checkpoint(best)['message_hub']['runtime_info']['best_score']


# Runners of the same second in one process share MMEngine's name for them.
@pytest.mark.filterwarnings('ignore:.*has been created')
@pytest.mark.parametrize(
    'names',
    [
        ('edm', 'ct', 'cd'),
        pytest.param(('edm', 'ict', 'pd', 'sct', 'scd'), marks=pytest.mark.slow),
        pytest.param(('edm', 'ect', 'tcm'), marks=pytest.mark.slow),
        pytest.param(('edm', 'meanflow', 'imf', 'soflow', 'shortcut'), marks=pytest.mark.slow),
    ],
    ids='-'.join,
)
def test_two_processes_train_as_one(tmp_path, names):
    for name in names:
        train(run(tmp_path, name, 1))
    train_in_two_processes(*(run(tmp_path, name, 2) for name in names))
    start = weights(tmp_path, 'edm', 'one', STEPS // 2)
    assert distance(weights(tmp_path, 'edm', 'one'), start) > 1e-4  # what is compared below has moved
    distances = {name: distance(weights(tmp_path, name, 'two'), weights(tmp_path, name, 'one')) for name in names}
    assert max(distances.values()) < 1e-6, distances
    for name in names:  # by rounding, a pixel may be a level of 256 brighter
        assert best_score(tmp_path, name, 'two') == pytest.approx(best_score(tmp_path, name, 'one'), rel=1e-3)
    sheets = [pixels(tmp_path / names[1] / label / 'samples' / f'iter_{STEPS}.png') for label in ('one', 'two')]
    assert sheets[0] == sheets[1]


@pytest.mark.slow
@SHARDS
def test_sharded_training_does_what_data_parallel_training_does(tmp_path, capsys):
    names = ('ct', 'soflow', 'shortcut')
    train_in_two_processes(*(run(tmp_path, name, 2, base=base) for name in names for base in ('', 'fsdp')))
    for name in names:
        assert distance(weights(tmp_path, name, 'fsdp'), weights(tmp_path, name, 'two')) < 1e-6, name
    assert best_score(tmp_path, 'ct', 'fsdp') == pytest.approx(best_score(tmp_path, 'ct', 'two'), rel=1e-3)
    sheets = [pixels(tmp_path / 'ct' / label / 'samples' / f'iter_{STEPS}.png') for label in ('two', 'fsdp')]
    assert sheets[0] == sheets[1]
    # One process, without the strategy, draws from the checkpoint.
    measure(
        [
            str(tmp_path / 'ct_fsdp.py'),
            str(tmp_path / 'ct' / 'fsdp'),
            '--work-dir',
            str(tmp_path / 'test'),
            '--cfg-options',
            TINY[0],
            'test_dataloader.dataset.num_samples=20',
        ]
    )
    assert 'label/accuracy' in capsys.readouterr().out


@SHARDS
@pytest.mark.slow
def test_sharded_training_resumes_where_it_stopped(tmp_path):
    """Also with a teacher, also where that is renewed on the way."""
    renewed = [*run(tmp_path, 'pd', 2, base='fsdp'), 'model.objective.curriculum.stage_length=3']
    train(run(tmp_path, 'edm', 1))
    train_in_two_processes(renewed)
    undisturbed = weights(tmp_path, 'pd', 'fsdp')
    folder = tmp_path / 'pd' / 'fsdp'
    (folder / f'iter_{STEPS}.pth').unlink()
    (folder / 'last_checkpoint').write_text(str(folder / f'iter_{STEPS // 2}.pth'))
    train_in_two_processes(run(tmp_path, 'pd', 2, base='fsdp', resume=True) + renewed[-1:])
    assert distance(weights(tmp_path, 'pd', 'fsdp'), undisturbed) == 0
    teacher = {key: value for key, value in undisturbed.items() if key.startswith('teacher.')}
    first = weights(tmp_path, 'pd', 'fsdp', STEPS // 2)
    assert any(not torch.equal(value, first[key]) for key, value in teacher.items())


@SHARDS
@pytest.mark.slow
def test_sharded_training_starts_from_what_others_have_trained(tmp_path):
    """Also where the target and averages are new; each is a copy of the online weights, on all processes."""
    train(run(tmp_path, 'edm', 1))
    source = weights(tmp_path, 'edm', 'one')
    plain = {key.removeprefix('denoiser.backbone.'): value for key, value in source.items() if 'denoiser' in key}
    torch.save(plain, tmp_path / 'released.pt')
    still = ['optim_wrapper.optimizer.lr=0.0', 'model.ema_decays=[0.5,0.9]', 'train_cfg.max_iters=2']
    for start in (tmp_path / 'edm' / 'one', tmp_path / 'released.pt'):
        train_in_two_processes([*run(tmp_path, 'ct', 2, base='fsdp'), *still, f'load_from={start}', '--force'])
        found = weights(tmp_path, 'ct', 'fsdp', 2)
        for part in ('denoiser', 'target', 'emas.0_5', 'emas.0_9'):
            ours = {key[len(part) + 1 :]: value for key, value in found.items() if key.startswith(f'{part}.')}
            assert distance(ours, {f'backbone.{key}': value for key, value in plain.items()}) < 1e-6, (start, part)


READ = """
import sys; from pathlib import Path
import torch.distributed as dist
from mmcm.engine.resuming.loaded_checkpoint import check_agreement
from mmcm.engine.resuming.safe_loading import find_latest_checkpoint
from mmcm.utils.errors import InputError
import torch
dist.init_process_group('gloo')
rank, folder = dist.get_rank(), Path(sys.argv[1])
found = find_latest_checkpoint(str(folder / f'disk{rank}'))
assert found == str(folder / 'disk0' / 'iter_2.pth'), found
check_agreement(dict(state_dict=dict(weight=torch.ones(3)), meta=dict(iter=2)), 'x.pth')
for other in (dict(state_dict=dict(weight=torch.ones(3)), meta=dict(iter=rank)),
              dict(state_dict=dict(weight=torch.full((3, ), float(rank))), meta=dict(iter=2))):
    try:
        check_agreement(other, 'x.pth')
    except InputError as error:
        assert 'process 1 has read another checkpoint than process 0: x.pth' in str(error)
    else:
        raise AssertionError
(folder / 'disk0' / 'iter_2.pth').unlink(missing_ok=True)
dist.barrier()
(folder / 'disk0' / 'last_checkpoint').write_text('iter_9.pth')
dist.barrier()
try:
    find_latest_checkpoint(str(folder / f'disk{rank}'))
except InputError as error:
    assert 'iter_9.pth' in str(error)
else:
    raise AssertionError
dist.barrier(); dist.destroy_process_group()
"""


def test_processes_agree_on_what_they_resume(tmp_path):
    """Of two machines with disks of their own, the first one's checkpoint counts, or all are refused."""
    for disk, iterations in (('disk0', [2]), ('disk1', [2, 4])):
        (tmp_path / disk).mkdir()
        for iteration in iterations:
            meta = dict(iter=iteration, epoch=0, time='')
            torch.save(dict(meta=meta, state_dict={}), tmp_path / disk / f'iter_{iteration}.pth')
    result = subprocess.run(
        [
            sys.executable,
            '-m',
            'torch.distributed.run',
            '--standalone',
            '--nproc_per_node',
            '2',
            '--no-python',
            sys.executable,
            '-c',
            READ,
            str(tmp_path),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.filterwarnings('ignore:.*has been created')
def test_sharded_training_needs_several_processes(tmp_path, capsys):
    arguments = run(tmp_path, 'ct', 2, base='fsdp')
    arguments[arguments.index('pytorch')] = 'none'
    with pytest.raises(SystemExit):
        train(arguments)
    assert 'dist_train.sh' in capsys.readouterr().err


def test_averages_are_cut_where_their_network_is():
    model = build(objective=objective_config(), ema_decays=(0.5,))
    units = {name for name, module in model.named_modules() if is_unit(module)}
    for average in ('target', 'emas.0_5'):
        assert {name.replace('denoiser', average, 1) for name in units if name.startswith('denoiser')} <= units
    parameters = {name for name, _ in model.named_parameters()}
    assert all(any(name.startswith(f'{unit}.') for unit in units) for name in parameters)


def test_blocks_of_transformers_are_units():
    denoiser = Transformer('pmf').denoiser(velocity_head=True)
    units = {name for name, module in denoiser.named_modules() if is_unit(module)}
    assert units == {
        '',
        *(f'backbone.{blocks}.{index}' for blocks in ('shared_blocks', 'u_heads', 'v_heads') for index in range(2)),
    } - {'backbone.u_heads.1', 'backbone.v_heads.1'}


def is_unit(module):
    return shard_denoisers(module, recurse=False, nonwrapped_numel=sum(p.numel() for p in module.parameters()))


@pytest.mark.parametrize(
    'denoiser, objective',
    [
        ('TrigFlowDenoiser', 'ContinuousConsistencyTraining'),
        ('FlowMapDenoiser', 'MeanFlow'),
        ('FlowMapDenoiser', 'ImprovedMeanFlow'),
        ('FlowMapDenoiser', 'PixelMeanFlow'),
        ('TruncatedDenoiser', 'TruncatedConsistencyTuning'),
    ],
)
def test_objective_that_fsdp_cannot_shard_is_refused(denoiser, objective):
    backbone = dict(BACKBONE, num_conditions=int(denoiser == 'FlowMapDenoiser'))
    options = dict(curriculum=dict(type='ShrinkingCurriculum', stage_length=1)) if 'Truncated' in objective else {}
    model = build(denoiser=dict(type=denoiser, backbone=backbone), objective=dict(type=objective, **options))
    with pytest.raises(InputError, match='train with DDP'):
        check_shardable(model)
    check_shardable(build(objective=dict(type='EDM')))
