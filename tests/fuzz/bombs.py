"""Small files that ask for much, and what reading them takes: python tests/fuzz/bombs.py prints a table.

Each is read in a process of its own. Its peak is that of the whole process, imports included.
"""

import argparse
import gzip
import io
import json
import pickle
import resource
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
import zlib
from pathlib import Path

import numpy as np

from mmcm.utils.image_limits import FORMATS

GiB = 2**30
TIMEOUT = 600  # seconds


def zeros(size):
    """Yield `size` bytes of zeros in pieces."""
    piece = bytes(2**20)
    for start in range(0, size, len(piece)):
        yield piece[: size - start]


def zip_bomb(path, name, size, start=b''):
    """Write a zip file of an entry of `size` bytes, which begins with `start` and goes on with zeros."""
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive, archive.open(name, 'w', force_zip64=True) as file:
        file.write(start)
        for piece in zeros(size - len(start)):
            file.write(piece)


def idx_gz(folder):
    """MNIST's images in a gzip file: the header says 28 x 28 images, as many as there are zeros."""
    count = 3 * GiB // 2 // 784
    with gzip.open(folder / 'train-images-idx3-ubyte.gz', 'wb', compresslevel=9) as file:
        file.write(struct.pack('>4I', 0x0803, count, 28, 28))
        for piece in zeros(count * 784):
            file.write(piece)
    return folder / 'train-images-idx3-ubyte.gz'


def idx_gz_tail(folder):
    """The same, whose header says one image."""
    with gzip.open(folder / 'train-images-idx3-ubyte.gz', 'wb', compresslevel=9) as file:
        file.write(struct.pack('>4I', 0x0803, 1, 28, 28))
        for piece in zeros(3 * GiB // 2):
            file.write(piece)
    return folder / 'train-images-idx3-ubyte.gz'


def zip_image(folder):
    zip_bomb(folder / 'x.zip', 'a/x.png', 3 * GiB // 2)
    return folder / 'x.zip'


def dataset_json(folder):
    zip_bomb(folder / 'x.zip', 'dataset.json', 3 * GiB // 2, b'{"labels": ')
    with zipfile.ZipFile(folder / 'x.zip', 'a') as archive:
        archive.writestr('a.png', png_header(8, 8))
    return folder / 'x.zip'


def npz_notes(folder):
    np.savez(folder / 'x.npz', arr_0=np.zeros((2, 8, 8, 3), np.uint8))
    small = (folder / 'x.npz').read_bytes()
    zip_bomb(folder / 'x.npz', 'dataset.json', 3 * GiB // 2, b'{"classes": ')
    with zipfile.ZipFile(io.BytesIO(small)) as source, zipfile.ZipFile(folder / 'x.npz', 'a') as archive:
        archive.writestr('arr_0.npy', source.read('arr_0.npy'))
    return folder / 'x.npz'


def npy_header(descr, shape):
    text = repr(dict(descr=descr, fortran_order=False, shape=shape)).encode()
    text = text.ljust(118 - 1) + b'\n'
    return b'\x93NUMPY\x01\x00' + struct.pack('<H', len(text)) + text


def npz_array(folder):
    """Zeros that are compressed."""
    count = 3 * GiB // 2 // 192
    header = npy_header('|u1', (count, 8, 8, 3))
    zip_bomb(folder / 'x.npz', 'arr_0.npy', len(header) + count * 192, header)
    return folder / 'x.npz'


def npz_declared(folder):
    """An array that is not there."""
    with zipfile.ZipFile(folder / 'x.npz', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('arr_0.npy', npy_header('|u1', (10**10, 8, 8, 3)))
    return folder / 'x.npz'


def npz_lzma(folder):
    with zipfile.ZipFile(folder / 'x.npz', 'w', zipfile.ZIP_LZMA) as archive:
        archive.writestr('arr_0.npy', npy_header('|u1', (1, 8, 8, 3)) + bytes(192))
    content = (folder / 'x.npz').read_bytes()
    (folder / 'x.npz').write_bytes(content[:50] + b'\xff' * 8 + content[58:])
    return folder / 'x.npz'


def png_chunk(kind, data, length=None):
    return (
        struct.pack('>I', len(data) if length is None else length)
        + kind
        + data
        + struct.pack('>I', zlib.crc32(kind + data))
    )


def png_header(width, height):
    rows = zlib.compress((b'\0' + bytes(3 * width)) * height) if width < 100 else b''
    return (
        b'\x89PNG\r\n\x1a\n'
        + png_chunk(b'IHDR', struct.pack('>2I5B', width, height, 8, 2, 0, 0, 0))
        + (png_chunk(b'IDAT', rows))
        + png_chunk(b'IEND', b'')
    )


def png_chunk_bomb(folder):
    """A chunk that claims 2 GB."""
    content = png_header(8, 8)
    (folder / 'x.png').write_bytes(content[:33] + png_chunk(b'IDAT', b'abc', 2**31 - 1) + content[33:])
    return folder / 'x.png'


def png_pixels(folder):
    """67 million pixels of one colour."""
    compressor = zlib.compressobj(9)
    rows = b''.join(compressor.compress(b'\0' + bytes(8192 * 3)) for _ in range(8192)) + compressor.flush()
    (folder / 'x.png').write_bytes(
        b'\x89PNG\r\n\x1a\n'
        + png_chunk(b'IHDR', struct.pack('>2I5B', 8192, 8192, 8, 2, 0, 0, 0))
        + png_chunk(b'IDAT', rows)
        + png_chunk(b'IEND', b'')
    )
    return folder / 'x.png'


def png_allowed(folder):
    """The most pixels that a small file may have, transparent ones."""
    compressor = zlib.compressobj(9)
    rows = b''.join(compressor.compress(b'\0' + bytes(4096 * 4)) for _ in range(4096)) + compressor.flush()
    (folder / 'x.png').write_bytes(
        b'\x89PNG\r\n\x1a\n'
        + png_chunk(b'IHDR', struct.pack('>2I5B', 4096, 4096, 8, 6, 0, 0, 0))
        + png_chunk(b'IDAT', rows)
        + png_chunk(b'IEND', b'')
    )
    return folder / 'x.png'


def jpeg_scans(folder):
    """A progressive JPEG of 4000 x 4000 pixels with its last scan 5000 times."""
    from PIL import Image

    file = io.BytesIO()
    Image.new('L', (4000, 4000)).save(file, 'JPEG', progressive=True)
    content = file.getvalue()
    last = content.rfind(b'\xff\xda')
    (folder / 'x.jpg').write_bytes(content[:last] + content[last:-2] * 5000 + content[-2:])
    return folder / 'x.jpg'


def webp_canvas(folder):
    """An extended WebP of 16384 x 16384 pixels."""
    body = b'VP8X' + struct.pack('<I', 10) + b'\x02\0\0\0' + b'\xff\x3f\0' * 2
    body += b'ANIM' + struct.pack('<I', 6) + bytes(6)
    (folder / 'x.webp').write_bytes(b'RIFF' + struct.pack('<I', len(body) + 4) + b'WEBP' + body)
    return folder / 'x.webp'


def avif_frame(folder):
    """An AVIF of 64 x 64 pixels, whose AV1 data have 4096 x 4096."""
    from PIL import Image

    file = io.BytesIO()
    Image.new('RGB', (4096, 4096)).save(file, 'AVIF', speed=10)
    (folder / 'x.avif').write_bytes(file.getvalue().replace(struct.pack('>II', 4096, 4096), struct.pack('>II', 64, 64)))
    return folder / 'x.avif'


def torch_file(folder, data, records=(), method=zipfile.ZIP_STORED):
    path = folder / 'x.pt'
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', data)
        archive.writestr('archive/version', b'3\n')
        archive.writestr('archive/byteorder', b'little')
        for name, content in records:
            with archive.open(zipfile.ZipInfo(f'archive/data/{name}'), 'w', force_zip64=True) as file:
                for piece in content:
                    file.write(piece)
    return path


def torch_tuples(folder):
    """A tuple within a tuple, 1200 times, as a key."""
    return torch_file(folder, b'\x80\x02})' + b'\x85' * 100_000 + b'Ns.')


def torch_laughs(folder):
    """A tuple of a tuple twice, 60 times, as a key, whose hash takes 2**60 steps."""
    steps = b''.join(b'q' + bytes([number]) + b'h' + bytes([number]) + b'\x86' for number in range(60))
    return torch_file(folder, b'\x80\x02}K\x01\x85' + steps + b'Ns.')


def tensor_pickle(numel, size=None, stride=b'K\x01\x85'):
    """Return the pickle of {'w': tensor} on a storage that declares `numel` values."""
    number = b'\x8a\x08' + struct.pack('<q', numel)
    return (
        b'\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n'
        b'X\x01\0\0\x000X\x03\0\0\0cpu'
        + number
        + b'tQK\x00'
        + (size or number + b'\x85')
        + stride
        + b'\x89ccollections\nOrderedDict\n)RtRs.'
    )


def torch_record(folder):
    """A storage that is larger than its record, which torch reads beyond its end."""
    return torch_file(folder, tensor_pickle(10**8), [('0', [b'abcd'])])


def torch_deflated(folder):
    """A compressed record."""
    path = torch_file(folder, tensor_pickle(3 * GiB // 8))
    with zipfile.ZipFile(path, 'a', zipfile.ZIP_DEFLATED) as archive:
        with archive.open('archive/data/0', 'w', force_zip64=True) as file:
            for piece in zeros(3 * GiB // 2):
                file.write(piece)
    return path


def torch_strides(folder):
    """Sizes and strides of a wrong type."""
    return torch_file(folder, tensor_pickle(1, b'X\x01\0\0\0a\x85', b'N\x85'), [('0', [b'abcd'])])


def torch_expanded(folder):
    """A tensor of 10 billion values on a storage of one."""
    return torch_file(
        folder, tensor_pickle(1, b'\x8a\x08' + struct.pack('<q', 10**10) + b'\x85', b'K\x00\x85'), [('0', [b'abcd'])]
    )


def torch_bytearray(folder):
    """A call that makes 3 GB of zeros."""
    return torch_file(folder, b'\x80\x02cbuiltins\nbytearray\n\x8a\x08' + struct.pack('<q', 3 * GiB) + b'\x85R.')


def torch_legacy(folder):
    """The older format, whose storages declare 3 GB each."""
    parts = [
        pickle.dumps(0x1950A86A20F9469CFC6C, 2),
        pickle.dumps(1001, 2),
        pickle.dumps({}, 2),
        tensor_pickle(3 * GiB // 4),
        pickle.dumps(['0'], 2),
        struct.pack('<q', 1) + b'abcd',
    ]
    (folder / 'x.pt').write_bytes(b''.join(parts))
    return folder / 'x.pt'


def cifar_table(folder):
    """A place in the table of the unpickler that takes 64 GB."""
    (folder / 'cifar').write_bytes(b'\x80\x02Nr\xff\xff\xff\x7f.')
    return folder / 'cifar'


def cifar_tuples(folder):
    (folder / 'cifar').write_bytes(b'\x80\x02})' + b'\x85' * 500_000 + b'Ns.')
    return folder / 'cifar'


def safetensors_header(folder):
    """A header of 2 million tensors without values."""
    entry = b'"%07d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    header = b'{' + b','.join(entry % number for number in range(1_500_000)) + b'}'
    (folder / 'x.safetensors').write_bytes(struct.pack('<Q', len(header)) + header)
    return folder / 'x.safetensors'


def json_deep(folder):
    (folder / 'model_index.json').write_text('[' * 100_000 + ']' * 100_000)
    return folder


def json_values(folder):
    """16 MB of empty lists."""
    (folder / 'model_index.json').write_text('{"a": [' + '[],' * 5_000_000 + '[]]}')
    return folder


def weight_map(folder):
    (folder / 'unet').mkdir()
    (folder / 'scheduler').mkdir()
    (folder / 'model_index.json').write_text('{"_class_name": "ConsistencyModelPipeline"}')
    (folder / 'scheduler/scheduler_config.json').write_text('{"_class_name": "CMStochasticIterativeScheduler"}')
    (folder / 'unet/config.json').write_text(
        json.dumps(
            dict(
                _class_name='UNet2DModel',
                sample_size=8,
                block_out_channels=[32],
                down_block_types=['DownBlock2D'],
                up_block_types=['UpBlock2D'],
            )
        )
    )
    (folder / 'unet/diffusion_pytorch_model.safetensors.index.json').write_text('{"weight_map": {"a": 1, "b": "x"}}')
    return folder


def last_checkpoint(folder):
    with (folder / 'last_checkpoint').open('wb') as file:
        file.truncate(3 * GiB // 2)
    return folder


def zip_directory(folder):
    """A directory of 700 000 entries in an npz file."""
    entry = struct.pack('<4s6H3L5H2L', b'PK\x01\x02', 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b'x'
    directory = entry * 700_000
    end = struct.pack('<4sQ2H2L4Q', b'PK\x06\x06', 44, 45, 45, 0, 0, 700_000, 700_000, len(directory), 0)
    end += struct.pack('<4sLQL', b'PK\x06\x07', 0, len(directory), 1)
    end += struct.pack('<4s4H2LH', b'PK\x05\x06', 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    (folder / 'x.npz').write_bytes(directory + end)
    return folder / 'x.npz'


def read_images(path):
    from mmcm.apis.data.resolve_dataset import images_config
    from mmcm.registry import DATASETS

    DATASETS.build(images_config(path))[0]


def read_mnist(path):
    from mmcm.datasets.mnist import read_idx

    read_idx(path.with_suffix(''), 3)


def read_image(path):
    from mmcm.datasets.transforms.load_image import LoadImage

    LoadImage().transform(dict(img_path=str(path)))


def read_picture(path):
    from mmcm.apis.editing.images import open_image

    open_image(path)


def read_weights(path):
    from mmcm.checkpoints.formats.foreign_weights import read_state_dict
    from mmcm.checkpoints.weights import digest

    digest(read_state_dict(path))


def read_cifar(path):
    from mmcm.datasets.formats.numpy_pickle import read_numpy_pickle

    read_numpy_pickle(path.read_bytes(), path)


def read_diffusers(path):
    from mmcm.checkpoints.formats.diffusers_folder import read_config

    read_config(path)


def read_parts(path):
    from mmcm.checkpoints.formats.diffusers_folder import read_weights

    read_weights(path)


def read_last(path):
    from mmcm.checkpoints import resolve_checkpoint

    resolve_checkpoint(path)


BOMBS = {
    'idx.gz of zeros': (idx_gz, read_mnist),
    'idx.gz, longer than its header': (idx_gz_tail, read_mnist),
    'zip, an image of zeros': (zip_image, read_images),
    'zip, dataset.json': (dataset_json, read_images),
    'npz, notes': (npz_notes, read_images),
    'npz, array of zeros': (npz_array, read_images),
    'npz, array that is not there': (npz_declared, read_images),
    'npz, damaged LZMA': (npz_lzma, read_images),
    'npz, 700 000 entries': (zip_directory, read_images),
    'PNG, chunk of 2 GB': (png_chunk_bomb, read_image),
    'PNG, 67 million pixels': (png_pixels, read_image),
    'PNG to edit, 67 million pixels': (png_pixels, read_picture),
    'PNG to edit, 17 million pixels': (png_allowed, read_picture),
    'JPEG, 5000 scans': (jpeg_scans, read_image),
    'WebP, 16384 x 16384': (webp_canvas, read_image),
    **({'AVIF, 4096 x 4096 called 64 x 64': (avif_frame, read_image)} if 'AVIF' in FORMATS else {}),
    'pt, tuples 100 000 deep': (torch_tuples, read_weights),
    'pt, a key of 2^60 values': (torch_laughs, read_weights),
    'pt, storage larger than its record': (torch_record, read_weights),
    'pt, compressed record': (torch_deflated, read_weights),
    'pt, strides of wrong types': (torch_strides, read_weights),
    'pt, 10 billion values of one': (torch_expanded, read_weights),
    'pt, bytearray(3 GB)': (torch_bytearray, read_weights),
    'pt, older format, storage of 3 GB': (torch_legacy, read_weights),
    'CIFAR, table of 64 GB': (cifar_table, read_cifar),
    'CIFAR, tuples 500 000 deep': (cifar_tuples, read_cifar),
    'safetensors, header of 90 MB': (safetensors_header, read_weights),
    'JSON, 100 000 deep': (json_deep, read_diffusers),
    'JSON, 5 million lists': (json_values, read_diffusers),
    'weight_map of numbers': (weight_map, read_parts),
    'last_checkpoint of 1.6 GB': (last_checkpoint, read_last),
}


def read_bomb(name, path):
    """Read a bomb, and print its answer, the peak in bytes and the seconds."""
    import mmcm.apis.data.resolve_dataset
    import mmcm.checkpoints.weights  # noqa: F401
    from mmcm.utils.errors import InputError

    imports, started = peak_memory(), time.monotonic()
    try:
        BOMBS[name][1](Path(path))
        answer = 'read'
    except InputError as error:
        answer = f'InputError: {error}'
    except BaseException as error:
        answer = f'TRACEBACK: {traceback.format_exception_only(error)[-1].strip()}'
    seconds = time.monotonic() - started
    print('\n' + json.dumps(dict(peak=peak_memory(), imports=imports, seconds=seconds, answer=answer)))


def peak_memory():
    """Return the largest resident set of this process in bytes.

    Linux has getrusage count what the parent had when it started this process, and /proc does not.
    """
    status = Path('/proc/self/status')
    if status.exists():
        return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith('VmHWM'))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(name, folder, limit=None):
    """Make a bomb in an empty folder and have another process read it; return size, peak, seconds and answer."""
    folder = Path(folder)
    path = BOMBS[name][0](folder)
    size = sum(
        file.stat().st_blocks * 512 if file.stat().st_size > GiB else file.stat().st_size
        for file in folder.rglob('*')
        if file.is_file()
    )

    def bounded():
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

    process = subprocess.run(
        [sys.executable, __file__, '--read', name, str(path)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        preexec_fn=bounded,
    )
    lines = process.stdout.strip().splitlines()
    if process.returncode or not lines:
        answer = f'ended with {process.returncode}: {process.stderr[-300:]}'
        return dict(size=size, peak=0, imports=0, seconds=0, answer=answer)
    return dict(size=size, **json.loads(lines[-1]))


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--read', nargs=2, metavar=('NAME', 'PATH'), help='read a bomb in this process')
    parser.add_argument('--only', help='names that contain this')
    parser.add_argument('--limit', type=int, help='bytes of address space that a reader may have')
    args = parser.parse_args()
    if args.read:
        return read_bomb(*args.read)
    print('| bomb | size of file | peak memory | time | answer |\n| :-- | --: | --: | --: | :-- |')
    for name in BOMBS:
        if not args.only or args.only in name:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    found = measure(name, folder, args.limit)
                except subprocess.TimeoutExpired:
                    found = dict(size=0, peak=0, seconds=TIMEOUT, answer='TIMEOUT')
                answer = found['answer'].replace(folder + '/', '').replace('|', '/').replace('\n', ' ')
                print(
                    f'| {name} | {found["size"] / 1000:.1f} kB | {found["peak"] / 1e6:.0f} MB '
                    f'| {found["seconds"]:.2f} s | {answer} |',
                    flush=True,
                )


if __name__ == '__main__':
    main()
