"""Every command with images that are no squares: 16 rows of 24 pixels."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmcm.apis.export import FORMATS
from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.checkpoints.weights import read_backbone
from mmcm.cli.main import main
from mmcm.config import read_config
from support.digits import BACKBONE, build, objective_config
from support.image_folders import write_folder

ROOT = Path(__file__).parents[2]
HEIGHT, WIDTH = 16, 24
CONFIG = f"""
_base_ = ['{ROOT}/configs/_base_/datasets/in_memory.py', '{ROOT}/configs/_base_/schedules/digits.py']
model = dict(
    type='ConsistencyModel',
    denoiser=dict(
        type='KarrasDenoiser',
        backbone=dict(
            type='ADMUNet',
            image_size=(16, 24),
            base_channels=8,
            norm_groups=4,
            num_res_blocks=1,
            attention_resolutions=(8,),
            channel_mult=(1, 1),
            num_classes=2,
            scale_shift_norm=True,
        ),
    ),
    sampler=dict(type='MultistepSampler', indices=(0, 5), num_scales=18),
    objective=dict(
        type='ConsistencyTraining',
        curriculum=dict(type='FixedCurriculum', num_scales=18, target_decay=0.5),
        distance=dict(type='L2'),
    ),
    ema_decays=(0.5,),
)
train_cfg = dict(max_iters=2)
default_hooks = dict(
    checkpoint=dict(interval=2),
    sample_grid=dict(interval=2, rows=2, columns=2),
    trajectory=dict(interval=2),
)
train_dataloader = dict(
    batch_size=4,
    dataset=dict(
        type='ImageFolder',
        data_root={{folder!r}},
        flip=True,
        pipeline=[
            dict(type='LoadImage'),
            dict(type='CenterCropToSize', size=(16, 24)),
            dict(type='PackImage'),
        ],
    ),
)
test_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    batch_sampler=dict(type='WholeBatches'),
    dataset=dict(type='SamplingRequests', num_samples=8, num_classes=2, labels='balanced'),
)
test_evaluator = dict(
    type='ImageEvaluator',
    extractor=dict(type='Pixels'),
    reference=dict(type='ImagePack', data_file={{pack!r}}),
    metrics=[dict(type='SlicedWasserstein', num_projections=4)],
)
test_cfg = dict()
"""
pytestmark = [
    pytest.mark.filterwarnings('ignore:.*has been created'),  # MMEngine's name for runners of the same second
    pytest.mark.filterwarnings('ignore:Detected call of .scheduler.step'),
]


def run(*argv):
    main([str(argument) for argument in argv])


def size_of(path):
    """Return height and width of an image file."""
    return cv2.imread(str(path)).shape[:2]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder of photographs, as it were: 20 images of 40 x 50 pixels in two classes."""
    return write_folder(tmp_path_factory.mktemp('images'), size=(40, 50))


@pytest.fixture(scope='module')
def pack(folder, tmp_path_factory):
    """The images in a file, scaled and cut."""
    out = tmp_path_factory.mktemp('pack') / 'pack.npz'
    run('pack', folder, '--size', f'{HEIGHT},{WIDTH}', '--out', out)
    return out


@pytest.fixture(scope='module')
def config(folder, pack, tmp_path_factory):
    """A config of a training and its evaluation."""
    path = tmp_path_factory.mktemp('config') / 'own_16x24.py'
    path.write_text(CONFIG.format(folder=str(folder), pack=str(pack)))
    return path


@pytest.fixture(scope='module')
def work_dir(config, tmp_path_factory):
    """The work directory of a short training."""
    work_dir = tmp_path_factory.mktemp('run')
    run('train', config, '--work-dir', work_dir)
    return work_dir


@pytest.fixture(scope='module')
def published(work_dir, tmp_path_factory):
    """The file of its weights, a model by itself."""
    out = tmp_path_factory.mktemp('published') / 'own.safetensors'
    run('publish', work_dir, out)
    return out


@pytest.fixture(scope='module')
def picture(tmp_path_factory):
    """A picture to edit, 32 x 60 pixels."""
    path = tmp_path_factory.mktemp('picture') / 'picture.png'
    Image.fromarray(np.random.RandomState(0).randint(0, 256, (32, 60, 3)).astype(np.uint8)).save(path)
    return path


def test_training_writes_grids_and_a_checkpoint_that_samples(work_dir, tmp_path):
    assert (work_dir / 'iter_2.pth').is_file()
    assert len(list(work_dir.rglob('iter_2.png'))) == 2  # samples, and a trajectory
    run('sample', '--model', work_dir, '-n', 3, '--labels', 0, 1, 0, '--out', tmp_path / 'few', '--device', 'cpu')
    images = sorted((tmp_path / 'few').rglob('*.png'))
    assert len(images) == 3 and {size_of(path) for path in images} == {(HEIGHT, WIDTH)}


def test_published_file_samples_in_bulk_and_as_a_grid(published, work_dir, tmp_path):
    run('sample', '--model', published, '-n', 5, '--out', tmp_path / 'many.npz', '--device', 'cpu')
    assert np.load(tmp_path / 'many.npz')['arr_0'].shape == (5, HEIGHT, WIDTH, 3)
    run('sample', '--model', published, '-n', 4, '--out', tmp_path / 'grid.png', '--columns', 2, '--device', 'cpu')
    high, wide = size_of(tmp_path / 'grid.png')
    assert wide > high and ConsistencyModelInferencer(published).model.denoiser.backbone.image_size == (HEIGHT, WIDTH)


TASK_ARGUMENTS = {
    'inpaint': ['--mask', 'MASK', '--steps', 2],
    'uncrop': ['--share', 0.5, '--steps', 2],
    'colorize': ['--steps', 2],
    'super-resolve': ['--factor', 2, '--steps', 2],
    'deblur': ['--kernel', 1, 2, 1, '--steps', 2],
    'stroke': [],
    'variations': [],
    'denoise': ['--sigma', 0.3],
}
# The part around the mask; the image in tiles; times the factor; as large as it is.
WHOLE_SIZES = {'inpaint': (HEIGHT, WIDTH), 'colorize': (32, 60), 'super-resolve': (64, 120), 'denoise': (32, 60)}


WITH_REGION = ('inpaint', 'colorize', 'super-resolve', 'denoise')  # the other tasks see the middle alone


@pytest.mark.parametrize(
    'task, region', [*((task, 'square') for task in TASK_ARGUMENTS), *((task, 'whole') for task in WITH_REGION)]
)
def test_images_are_edited(task, region, published, picture, tmp_path):
    mask = np.zeros((32, 60), np.uint8)
    mask[10:20, 20:40] = 255
    Image.fromarray(mask).save(tmp_path / 'mask.png')
    arguments = [tmp_path / 'mask.png' if word == 'MASK' else word for word in TASK_ARGUMENTS[task]]
    if task in WITH_REGION:
        arguments += ['--region', region]
    run(
        'edit', task, '--img', picture, '--model', published, *arguments, '--labels', 1, '--num-candidates', 1,
        '--out', tmp_path / 'out', '--device', 'cpu',
    )  # fmt: skip
    sizes = {path.stem: size_of(path) for path in (tmp_path / 'out').iterdir()}
    candidate = next(size for name, size in sizes.items() if name.startswith('candidate'))
    if region == 'square':
        assert candidate == (HEIGHT, WIDTH)
    else:
        assert candidate == WHOLE_SIZES[task]
    is_pasted = task in ('inpaint', 'colorize') and candidate != (32, 60)  # which is the whole picture already
    assert ('full_size_000' in sizes) == is_pasted
    assert sizes.get('full_size_000', (32, 60)) == (32, 60)


def test_interpolation_draws_a_row(published, tmp_path):
    run('edit', 'interpolate', '--model', published, '--labels', 0, '-n', 3, '--out', tmp_path / 'row.png', '--device', 'cpu')  # fmt: skip  # noqa: E501
    high, wide = size_of(tmp_path / 'row.png')
    assert wide > 3 * high


def test_exported_file_draws_the_same_images(published, tmp_path):
    pytest.importorskip('onnxruntime')
    out = tmp_path / 'own.onnx'
    run('export', '--model', published, '--out', out, '--steps', 1)  # which compares it with torch
    noise, labels = torch.randn(2, 1, 3, HEIGHT, WIDTH), torch.tensor([0, 1])
    images = FORMATS['.onnx'].run(out, (noise, labels))
    model = ConsistencyModelInferencer(published, device='cpu').load().model
    sampler = ConsistencyModelInferencer(published, device='cpu').choose_sampler(1)
    expected = model.sample(2, labels, latents=noise[:, 0], sampler=sampler)
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-4)


def test_folder_of_diffusers_has_the_pair_and_converts_back(published, tmp_path):
    run('convert', published, tmp_path / 'folder', '--to', 'diffusers')
    config = json.loads((tmp_path / 'folder' / 'unet' / 'config.json').read_text())
    assert config['sample_size'] == [HEIGHT, WIDTH]
    run('convert', tmp_path / 'folder', tmp_path / 'back.safetensors')
    weights, expected = read_backbone(tmp_path / 'back.safetensors'), read_backbone(published)
    assert list(weights) == list(expected) and all(torch.equal(weights[key], expected[key]) for key in expected)
    run('sample', '--model', tmp_path / 'folder', '-n', 2, '--out', tmp_path / 'x.npz', '--device', 'cpu')
    run('sample', '--model', published, '-n', 2, '--steps', 1, '--out', tmp_path / 'y.npz', '--device', 'cpu')
    theirs, ours = (np.load(tmp_path / f'{name}.npz')['arr_0'].astype(int) for name in 'xy')
    assert theirs.shape == (2, HEIGHT, WIDTH, 3) and np.abs(theirs - ours).max() <= 1


def test_data_are_packed_shown_and_measured(folder, pack, tmp_path, capsys):
    assert np.load(pack)['arr_0'].shape == (20, HEIGHT, WIDTH, 3)
    size, pixels = ['--size', f'{HEIGHT},{WIDTH}'], ['--extractor', 'Pixels']
    run('statistics', folder, *size, *pixels, '--out', tmp_path / 'folder_ref.npz')
    run('statistics', pack, *pixels, '--out', tmp_path / 'pack_ref.npz')
    ours, packed = (np.load(tmp_path / f'{name}_ref.npz') for name in ('folder', 'pack'))
    for name in ('mu', 'sigma'):  # sums of the same float64 numbers, whose order is that of the batches
        np.testing.assert_allclose(ours[name], packed[name], rtol=1e-9, atol=1e-12)
    run('analyze', 'dataset', folder, *size, '--out', tmp_path / 'grid.png')
    assert '24 x 16' in capsys.readouterr().out


def test_samples_are_measured(config, pack, work_dir, tmp_path):
    child = tmp_path / 'frechet.py'
    child.write_text(
        f'_base_ = {str(config)!r}\n'
        'metrics = [dict(type="FrechetDistance"), dict(type="SlicedWasserstein", num_projections=4)]\n'
        'test_evaluator = dict(metrics=metrics)\n'
    )
    config, options = child, ['--work-dir', tmp_path]
    run('test', config, work_dir, *options, '--out', tmp_path / 'scores.json')
    scores = json.loads((tmp_path / 'scores.json').read_text())['scores'][0]['metrics']
    assert scores['frechet/distance'] > 1 and scores['sliced_wasserstein/distance'] > 0.01
    run('test', config, '--samples', pack, *options, '--out', tmp_path / 'images.json')
    scores = json.loads((tmp_path / 'images.json').read_text())['scores'][0]['metrics']
    assert scores['sliced_wasserstein/distance'] == pytest.approx(0, abs=1e-6)


def test_noise_levels_are_searched(config, work_dir, tmp_path):
    run(
        'search', config, work_dir, '--metric', 'sliced_wasserstein/distance', '--method', 'grid', '--grid-points', 2,
        '--work-dir', tmp_path,
    )  # fmt: skip
    (found,) = tmp_path.glob('*steps.py')
    assert read_config(found).model.sampler.type == 'MultistepSampler'


def test_edits_are_scored(published, pack, tmp_path):
    run(
        'score-edits', '--model', published, '--data', pack, '--learned', pack, '-n', 2, '--num-candidates', 1,
        '--steps', 2, '--out', tmp_path / 'edits.json', '--sheets', tmp_path / 'sheets', '--device', 'cpu',
    )  # fmt: skip
    edits = json.loads((tmp_path / 'edits.json').read_text())['edits']
    assert set(edits) == {'colorize', 'super-resolve', 'inpaint'}


def test_samples_are_compared_with_their_neighbours_and_other_models(published, pack, tmp_path):
    run('analyze', 'neighbours', '--model', published, '-n', 4, '-k', 2, pack, '--out', tmp_path / 'neighbours.png')
    run('analyze', 'seeds', '--row', published, '--seeds', 0, 1, '--out', tmp_path / 'seeds.png', '--device', 'cpu')
    assert size_of(tmp_path / 'seeds.png')[0] > HEIGHT
    high, wide = size_of(tmp_path / 'neighbours.png')  # 4 rows of a sample and its 2 neighbours
    assert high >= 4 * HEIGHT and wide >= 3 * WIDTH


def test_weights_of_a_square_network_start_one_of_other_proportions(tmp_path):
    square = build().denoiser.backbone.state_dict()
    torch.save(square, tmp_path / 'square.pt')
    denoiser = dict(type='KarrasDenoiser', backbone=dict(BACKBONE, image_size=(8, 12)))
    model = build(seed=1, denoiser=denoiser, init_from=str(tmp_path / 'square.pt'), objective=objective_config())
    model.init_weights()
    weights = model.denoiser.backbone.state_dict()
    assert all(torch.equal(weights[key], square[key]) for key in square)
    assert model.sample(2, labels=[0, 1]).shape == (2, 1, 8, 12)
