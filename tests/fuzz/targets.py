"""The parsers that are fuzzed: valid files of each, how they are changed, and how they are read."""

import contextlib
import functools
import gzip
import io
import json
import pickle
import random
import shutil
import struct
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import mutate
import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from mmcm.apis.analysis.nfe import read_record
from mmcm.apis.analysis.training_log import read_log
from mmcm.apis.data.resolve_dataset import images_config
from mmcm.apis.editing.images import open_image
from mmcm.apis.evaluation.evaluation_cache import EvaluationCache
from mmcm.apis.evaluation.scores import FORMAT
from mmcm.apis.reproduce import record_in, sampler_of
from mmcm.apis.sampling.image_archives import read_origin
from mmcm.apis.sampling.image_blocks import ImageBlocks
from mmcm.checkpoints import parse_config, resolve_checkpoint
from mmcm.checkpoints.checkpoint import Checkpoint
from mmcm.checkpoints.download import _Part, recorded_sha256
from mmcm.checkpoints.formats.diffusers_folder import is_diffusers_folder, read_config, read_weights, write_folder
from mmcm.checkpoints.integrity import why_incomplete
from mmcm.checkpoints.read import read_checkpoint
from mmcm.checkpoints.weights import load_weights, read_backbone
from mmcm.datasets.cifar import CIFAR10
from mmcm.datasets.image_folder import ImageFolder
from mmcm.datasets.imagenet64 import read_images, read_labels, read_wnids
from mmcm.datasets.mnist import read_idx
from mmcm.datasets.transforms.load_image import decode
from mmcm.evaluation.features.torch_script import is_script
from mmcm.evaluation.gaussian import Gaussian
from mmcm.evaluation.statistics import Statistics, read_statistics, write_statistics
from mmcm.registry import DATASETS
from mmcm.utils.errors import InputError
from mmcm.utils.image_limits import FORMATS
from mmcm.utils.npz import open_npz
from mmcm.utils.provenance import AFTER_HEADER, KEY

RANDOM = np.random.RandomState(0)
PIXELS = RANDOM.randint(0, 256, (4, 8, 8, 3)).astype(np.uint8)
PIPELINE = [dict(type='LoadImage'), dict(type='CenterCropToSquare', size=8), dict(type='PackImage')]


class Target(NamedTuple):
    """A parser.

    Attributes:
        samples (list[bytes]): Valid files.
        change (Callable): Makes another file of one of them, see `mutate`.
        read (Callable): Reads such a file, whose content and an empty folder it is given.
    """

    samples: list[bytes]
    change: Callable
    read: Callable[[bytes, Path], object]


def at(name, read):
    """Return what writes a content to the file `name` of a folder and has `read` read it."""

    def written(content, folder):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        return read(folder / name)

    return written


def saved(save_to, *args, **kwargs):
    file = io.BytesIO()
    save_to(*args, file, **kwargs)
    return file.getvalue()


def torch_saved(content, **options):
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def checkpoints():
    from mmengine.logging import HistoryBuffer

    weights = {f'layer.{index}.weight': torch.arange(6.0).reshape(2, 3) for index in range(3)}
    training = dict(
        meta=dict(cfg='model = dict(a=1)', iter=3, seed=7),
        state_dict=weights,
        optimizer=dict(
            state={0: dict(step=torch.tensor(3.0), exp_avg=torch.ones(2, 3))}, param_groups=[dict(lr=1e-4, params=[0])]
        ),
        message_hub=dict(log_scalars=dict(loss=HistoryBuffer([1.0, 2.0], [1, 1])), x=np.float64(3)),
    )
    nested = dict(model=weights, ema=dict(shadow={f'module.{key}': value.numpy() for key, value in weights.items()}))
    return [weights, training, dict(weights, half=torch.ones(3, dtype=torch.bfloat16)), nested]


def zipped(entries, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, 'w', method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def encoded(form, mode='RGB', **options):
    image = Image.fromarray(RANDOM.randint(0, 256, (19, 23, 3)).astype(np.uint8)).convert(mode)
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def snapshot():
    """A snapshot as EDM pickles it, of one linear layer."""
    persistence = types.ModuleType('torch_utils.persistence')

    def _reconstruct_persistent_obj(meta):
        raise NotImplementedError

    class Persistent:
        def __init__(self, class_name, **state):
            self.meta = dict(type='class', version=6, module_src='', class_name=class_name, state=state)

        def __reduce__(self):
            return _reconstruct_persistent_obj, (self.meta,)

    _reconstruct_persistent_obj.__module__ = persistence.__name__
    _reconstruct_persistent_obj.__qualname__ = _reconstruct_persistent_obj.__name__
    persistence._reconstruct_persistent_obj = _reconstruct_persistent_obj
    weight = torch.nn.Parameter(torch.arange(150, dtype=torch.float32).view(50, 3))
    scale = np.sqrt(np.float64(0.5))
    layer = Persistent('Linear', _parameters=dict(weight=weight, bias=None), _buffers={}, _modules={}, scale=scale)
    settings = dict(img_resolution=8, model_channels=4, channel_mult=[1], num_blocks=0, attn_resolutions=[])
    unet = Persistent('SongUNet', _modules=dict(enc=torch.nn.ModuleDict()), _init_args=(), _init_kwargs=settings)
    network = Persistent('EDMPrecond', _modules=dict(model=unet, layer=layer), _init_args=(), _init_kwargs={})
    modules = {name: sys.modules.get(name) for name in ('torch_utils', persistence.__name__)}
    sys.modules.update({'torch_utils': types.ModuleType('torch_utils'), persistence.__name__: persistence})
    try:
        return pickle.dumps(dict(ema=network, dataset_kwargs=dict(path='x')), 4)
    finally:
        for name, module in modules.items():
            sys.modules.pop(name) if module is None else sys.modules.update({name: module})


def npz(compressed=False, **arrays):
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


def read_recorded(content, folder):
    """Read a record, `content`, in a PNG, and build its sampler."""
    text = b'tEXt' + KEY.encode() + b'\0' + content
    chunk = struct.pack('>I', len(text) - 4) + text + bytes(4)  # the checksum is not read
    path = folder / 'x.png'
    path.write_bytes(PNG[:AFTER_HEADER] + chunk + PNG[AFTER_HEADER:])
    sampler_of(record_in(path)[0])


def read_training_log(path):
    (path.parent / 'vis_data').mkdir()
    path.rename(path.parent / 'vis_data' / 'scalars.json')
    read_log(path.parent).numbers()


def idx(array):
    return struct.pack(f'>{1 + array.ndim}I', 0x0800 + array.ndim, *array.shape) + array.tobytes()


def read_weights_file(path):
    read_checkpoint(path)
    read_checkpoint(path, mapped=True)
    network = torch.nn.ModuleDict(dict(layer=torch.nn.ModuleList(torch.nn.Linear(3, 2, bias=False) for _ in range(3))))
    for name in (None, 'online', 'ema'):
        with contextlib.suppress(InputError):
            load_weights(network, read_backbone(path, name, network), path)
    why_incomplete(path, path.suffix)
    is_script(path)
    assert isinstance(Checkpoint.open(path).config_text, str)


def read_arrays(path):
    file = open_npz(path)
    for name in file:
        np.asarray(file[name]).tobytes()
    config = images_config(path)
    DATASETS.build(config)[0]


def read_imagenet64(path):
    return read_labels(path, len(read_images(path)))


def read_images_of(path):
    dataset = DATASETS.build(images_config(path, size=8))
    return [dataset[index] for index in range(len(dataset))], dataset.fingerprint


def read_labelled(path):
    folder = path.parent
    for name in ('a', 'b'):
        (folder / f'{name}.png').write_bytes(PNG)
    config = images_config(folder, size=8)
    return DATASETS.build(config)[0], ImageFolder(str(folder), PIPELINE)


@functools.cache
def diffusers_files():
    """Return the files of a small pipeline."""
    import tempfile

    from mmcm.registry import MODELS

    backbone = dict(
        type='ADMUNet',
        image_size=8,
        in_channels=3,
        base_channels=32,
        out_channels=3,
        num_res_blocks=1,
        attention_resolutions=(4,),
        channel_mult=(1, 2),
        num_classes=None,
        num_head_channels=32,
        scale_shift_norm=True,
        resblock_updown=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        weights = MODELS.build(backbone).state_dict()
        model = dict(type='ConsistencyModel', denoiser=dict(type='KarrasDenoiser', backbone=backbone))
        write_folder(f'{folder}/pipeline', model, weights)
        return {
            path.relative_to(f'{folder}/pipeline').as_posix(): path.read_bytes()
            for path in Path(f'{folder}/pipeline').rglob('*')
            if path.is_file()
        }


def read_diffusers(name, content, folder):
    for place, original in diffusers_files().items():
        path = folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(original)
    path = folder / name
    if 'index' in name and name.startswith('unet'):
        (folder / 'unet/diffusion_pytorch_model.safetensors').rename(folder / 'unet/part.safetensors')
    path.write_bytes(content)
    if is_diffusers_folder(folder):
        read_config(folder)
        read_weights(folder)


def diffusers(name, samples=None):
    samples = samples or [diffusers_files()[name]]
    return Target(samples, mutate.of_json, functools.partial(read_diffusers, name))


def read_cache(path):
    return EvaluationCache(path)


def read_facts(path):
    part = _Part(path.with_name('x'), True)
    facts = dict(url='http://a', validator=None, size=3, md5=None)
    return part.facts, part.go_on(facts)


def read_last(path):
    (path.parent / 'iter_1.pth').touch()
    return resolve_checkpoint(path.parent)


def read_blocks(path):
    journal = ImageBlocks(path.parent, (8, 8, 8, 3), 4).journal
    return journal.check(dict(a=1, b=[2]), journal.read())


PNG = encoded('PNG')
IMAGES = dict(
    png=[PNG, *(encoded('PNG', mode) for mode in ('L', 'P', 'LA', 'RGBA'))],
    jpeg=[encoded('JPEG'), encoded('JPEG', 'L', progressive=True), encoded('JPEG', 'CMYK')],
    webp=[encoded('WEBP'), encoded('WEBP', lossless=True), encoded('WEBP', 'RGBA')],
    avif=[encoded('AVIF'), encoded('AVIF', 'RGBA')] if 'AVIF' in FORMATS else [],
    other=[encoded('GIF'), encoded('BMP'), encoded('TIFF'), encoded('TIFF', compression='tiff_lzw')],
)


def statistics_file():
    import tempfile

    gaussian = Gaussian(np.zeros(3), np.eye(3), 9)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'x.npz'
        write_statistics(path, Statistics(gaussian, gaussian, np.ones((9, 3), np.float32), 'kind', 'a' * 64, 'b' * 64))
        return path.read_bytes()


def cifar_batches():
    batch = {b'data': RANDOM.randint(0, 256, (2, 3072)).astype(np.uint8), b'labels': [1, 2], b'filenames': [b'a', b'b']}
    return [pickle.dumps(batch, protocol) for protocol in (0, 1, 2, 3, 4)]


def cifar_dataset():
    return CIFAR10.__new__(CIFAR10)


def arrays():
    """Return npz files of images."""
    notes = json.dumps(dict(classes=['a', 'b'], sha256=dict(images='0' * 64), mmcm='0.1')).encode()
    plain = npz(arr_0=PIXELS, arr_1=np.arange(4) % 2)
    packed = io.BytesIO(plain)
    with zipfile.ZipFile(packed, 'a') as archive:
        archive.writestr('dataset.json', notes)
    return [plain, npz(True, arr_0=PIXELS), packed.getvalue(), npz(arr_0=np.asfortranarray(PIXELS), x=np.array(['a']))]


ZIP_PARTS = dict(npy=mutate.of_npy, json=mutate.of_json, pkl=mutate.of_pickle, png=mutate.of_png)
OF_ZIP = functools.partial(mutate.of_zip, inner=ZIP_PARTS)
INDEX = json.dumps(dict(metadata={}, weight_map={'conv_in.weight': 'part.safetensors'})).encode()
SCORES = json.dumps(
    dict(format=FORMAT, scores=[dict(sampler='a', metrics={'x/fid': 1.0})], titles={'x/fid': 'FID'})
).encode()
LABELS = json.dumps(dict(labels=[['a.png', 0], ['b.png', 1]])).encode()
CLASSES = '\n'.join(f'n{number:08} {number} name' for number in range(1, 1001)).encode()
RECORD = json.dumps(
    dict(
        format=1,
        kind='sample',
        model='digits',
        checkpoint='digits',
        average=None,
        weights='0' * 64,
        num_images=3,
        seed=[1, 2, 3],
        labels='balanced',
        sampler=dict(type='HeunSampler', num_steps=4, s_churn=3.0),
        clip=True,
        guidance=dict(scale=2.0, interval=[0.1, 2.0]),
        batch_size=3,
        dtype='float32',
        device='cpu',
        versions=dict(torch='2'),
        writer='sheet',
        columns=None,
    )
).encode()
TRAINING_LOG = (
    b'{"loss": 1.5, "lr": 1e-3, "step": 100}\n{"loss_by_sigma/1-3": NaN, "step": 100}\n{"loss": 1, "step": 200}\n'
)
FOLDER = {'dataset.json': json.dumps(dict(labels=[['a/a.png', 0], ['b/b.png', 1]])), 'a/a.png': PNG, 'b/b.png': PNG}
TARGETS = dict(
    torch_zip=Target([torch_saved(content) for content in checkpoints()], OF_ZIP, at('x.pth', read_weights_file)),
    torch_legacy=Target(
        [torch_saved(content, _use_new_zipfile_serialization=False) for content in checkpoints()],
        mutate.of_pickle,
        at('x.pth', read_weights_file),
    ),
    snapshot=Target([snapshot()], mutate.of_pickle, at('x.pkl', read_weights_file)),
    safetensors=Target(
        [save(content, dict(config='model = dict(a=1)')) for content in checkpoints()[:3:2]],
        mutate.of_safetensors,
        at('x.safetensors', read_weights_file),
    ),
    config_text=Target(
        [b"model = dict(type='A', b=[1, (2, 3)], c={'d': None}, e=-1e3)\nname = 'x'\n"],
        mutate.of_config,
        lambda content, folder: parse_config(content.decode('latin1')),
    ),
    npz=Target(arrays(), OF_ZIP, at('x.npz', read_arrays)),
    statistics=Target([statistics_file()], OF_ZIP, at('x.npz', lambda path: read_statistics(open_npz(path)))),
    imagenet64=Target(
        [npz(data=RANDOM.randint(0, 256, (2, 48)).astype(np.uint8), labels=np.array([1, 9]))],
        OF_ZIP,
        at('x.npz', read_imagenet64),
    ),
    class_file=Target([CLASSES], mutate.of_bytes, at('map.txt', read_wnids)),
    idx=Target([idx(PIXELS[..., 0])], mutate.of_bytes, at('x', lambda path: read_idx(path, 3))),
    idx_gz=Target(
        [gzip.compress(idx(PIXELS[..., 0]))], mutate.of_gzip, at('x.gz', lambda path: read_idx(path.with_suffix(''), 3))
    ),
    cifar=Target(cifar_batches(), mutate.of_pickle, at('x', lambda path: cifar_dataset().read_batch(path, None))),
    image_zip=Target([zipped(FOLDER), zipped(FOLDER, zipfile.ZIP_DEFLATED)], OF_ZIP, at('x.zip', read_images_of)),
    labels=Target([LABELS], mutate.of_json, at('dataset.json', read_labelled)),
    **{
        f'image_{kind}': Target(
            samples, mutate.of_png if kind == 'png' else mutate.of_bytes, lambda content, folder: decode(content, 'x')
        )
        for kind, samples in IMAGES.items()
        if samples
    },
    picture=Target(sum(IMAGES.values(), []), mutate.of_bytes, at('x', open_image)),
    diffusers_model=diffusers('model_index.json'),
    diffusers_scheduler=diffusers('scheduler/scheduler_config.json'),
    diffusers_unet=diffusers('unet/config.json'),
    diffusers_index=diffusers('unet/diffusion_pytorch_model.safetensors.index.json', [INDEX]),
    last_checkpoint=Target([b'/work_dir/iter_1.pth', b'iter_1.pth'], mutate.of_bytes, at('last_checkpoint', read_last)),
    scores=Target([SCORES], mutate.of_json, at('x.json', read_record)),
    evaluation_cache=Target(
        [json.dumps({'a' * 64: dict(of=dict(a=1), result=[1.0])}).encode()], mutate.of_json, at('x.json', read_cache)
    ),
    bulk_journal=Target([json.dumps(dict(a=1, b=[2])).encode()], mutate.of_json, at('request.json', read_blocks)),
    record=Target([RECORD], mutate.of_json, read_recorded),
    training_log=Target([TRAINING_LOG], mutate.of_bytes, at('scalars.json', read_training_log)),
    origin=Target([zipped({'a.png': PNG})], mutate.of_zip, at('x.npz', read_origin)),
    download_facts=Target(
        [json.dumps(dict(url='http://a', validator='x', size=3, md5=None)).encode()],
        mutate.of_json,
        at('x.part.json', read_facts),
    ),
    digest=Target(
        [b'0' * 64 + b'  x\n'], mutate.of_bytes, at('x.sha256', lambda path: recorded_sha256(path.with_suffix('')))
    ),
)


def make(name, seed):
    """Return input `seed` of a parser."""
    target = TARGETS[name]
    state = random.Random(f'{name} {seed}')
    return target.change(state, state.choice(target.samples), target.samples)


def run_content(name, content, folder):
    """Have a parser read `content` in an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return TARGETS[name].read(content, folder)
