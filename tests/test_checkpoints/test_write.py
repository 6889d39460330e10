import os
import signal
import subprocess
import sys
import textwrap

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mmcm.checkpoints.write import write_safetensors, write_torch
from mmcm.utils.errors import InputError
from support.diffusers_models import same

DTYPES = pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])


def weights(dtype=torch.float32):
    """Return weights that are no plain tensors of their own: views, transposed, of no dimension, in no order."""
    large = torch.arange(24.0).to(dtype)
    return {'b.view': large[6:12].view(2, 3), 'a.t': large.view(4, 6).t(), 'c': large[3], 'a.b': large[:5] / 8}


@DTYPES
def test_safetensors_reads_what_is_written(tmp_path, dtype):
    write_safetensors(tmp_path / 'x.safetensors', weights(dtype), dict(format='pt', config='model = dict()\n'))
    read = load_file(tmp_path / 'x.safetensors')
    assert same({key: read[key] for key in weights()}, weights(dtype)) and len(read) == 4
    with safe_open(tmp_path / 'x.safetensors', 'pt') as file:
        assert file.metadata() == dict(format='pt', config='model = dict()\n')


def test_safetensors_file_keeps_the_order_and_is_always_the_same(tmp_path):
    files = [tmp_path / name for name in ('x.safetensors', 'y.safetensors')]
    write_safetensors(files[0], weights(), dict(one='1', two='2'))
    write_safetensors(files[1], weights(), dict(two='2', one='1'))
    content = files[0].read_bytes()
    assert content == files[1].read_bytes()
    places = [content.index(f'"{key}"'.encode()) for key in weights()]
    assert places == sorted(places)
    save_file({key: value.contiguous() for key, value in weights().items()}, tmp_path / 'theirs.safetensors')
    assert len(content) < (tmp_path / 'theirs.safetensors').stat().st_size + 100


@DTYPES
def test_torch_reads_what_is_written_in_its_order(tmp_path, dtype):
    write_torch(tmp_path / 'x.pt', weights(dtype))
    assert same(torch.load(tmp_path / 'x.pt', weights_only=True), weights(dtype))


def test_torch_file_holds_no_more_than_the_weights_and_is_always_the_same(tmp_path):
    large = torch.zeros(1_000_000)
    write_torch(tmp_path / 'x.pt', dict(part=large[:10]))
    assert (tmp_path / 'x.pt').stat().st_size < 10_000
    write_torch(tmp_path / 'another name.pt', dict(part=large[:10].clone()))
    assert (tmp_path / 'x.pt').read_bytes() == (tmp_path / 'another name.pt').read_bytes()


def test_mapped_file_may_be_replaced_by_itself(tmp_path):
    path = tmp_path / 'x.safetensors'
    write_safetensors(path, weights(), {})
    with safe_open(path, 'pt') as file:
        mapped = {key: file.get_tensor(key) for key in weights()}
    write_safetensors(path, mapped, {})
    read = load_file(path)
    assert same({key: read[key] for key in weights()}, weights())


def test_place_that_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(InputError, match='missing/x.pt cannot be written: No such file'):
        write_torch(tmp_path / 'missing' / 'x.pt', weights())


@pytest.mark.skipif(sys.platform == 'win32', reason='needs RLIMIT_FSIZE')
@pytest.mark.parametrize('name', ['x.pt', 'x.safetensors'])
def test_full_disk_is_reported_by_its_reason_and_leaves_no_file(tmp_path, name):
    import resource

    large = {f'layer{number}': torch.ones(1 << 16) for number in range(4)}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, limits[1]))
    try:
        with pytest.raises(InputError, match=f'{name} cannot be written: File too large'):
            if name.endswith('.pt'):
                write_torch(tmp_path / name, large)
            else:
                write_safetensors(tmp_path / name, large, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_killed_writer_leaves_no_file_under_the_name(tmp_path):
    code = textwrap.dedent(f"""
        import os, signal, torch
        from pathlib import Path
        from mmcm.checkpoints.write import write_safetensors

        class Killing(dict):
            def values(self):
                yield next(iter(super().values()))
                os.kill(os.getpid(), signal.SIGKILL)

        write_safetensors(Path({str(tmp_path / 'x.safetensors')!r}), Killing(a=torch.ones(9), b=torch.ones(9)), {{}})
    """)
    process = subprocess.run([sys.executable, '-c', code], env=dict(os.environ, OMP_NUM_THREADS='1'))
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / 'x.safetensors').exists()
