import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mmcm.apis import ConsistencyModelInferencer
from mmcm.apis.sampling import bulk, image_blocks
from mmcm.apis.sampling.bulk import sample_to_files
from mmcm.apis.sampling.image_archives import read_origin
from mmcm.apis.sampling.image_blocks import ImageBlocks
from mmcm.cli.sample import main
from mmcm.utils import block_store, files
from mmcm.utils.errors import InputError
from support.digits import BACKBONE, build, model_config, write_config

ROOT = Path(__file__).parents[3]
# Draws and is killed, as nothing could be more suddenly, when the function that is named has been called so many times.
KILLED_AT = """
import os, signal, sys, zipfile
import mmcm.cli.sample as sample
owner, name, calls = sys.argv.pop(1), sys.argv.pop(1), int(sys.argv.pop(1))
owner = dict(zip=zipfile.ZipFile, path=__import__('pathlib').Path)[owner]
original = getattr(owner, name)
def dying(*args, **kwargs):
    global calls
    calls -= 1
    if not calls:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*args, **kwargs)
setattr(owner, name, dying)
sample.main()
"""


@pytest.fixture
def tiny(tmp_path):
    """Config and checkpoint of a tiny model, in a folder of their own."""
    folder = tmp_path / 'model'
    folder.mkdir()
    torch.save(build().denoiser.backbone.state_dict(), folder / 'tiny.pt')
    return write_config(folder), folder / 'tiny.pt'


@pytest.fixture
def inferencer(tiny):
    return ConsistencyModelInferencer(tiny[0], str(tiny[1]), 'cpu')


def command(tiny, *outs, number=50, batch_size=4):
    return [
        '--model',
        str(tiny[0]),
        '--checkpoint',
        str(tiny[1]),
        '-n',
        str(number),
        '--labels',
        'balanced',
        '--batch-size',
        str(batch_size),
        '--out',
        *map(str, outs),
    ]


def run(*args):
    return subprocess.run([sys.executable, *map(str, args)], cwd=ROOT, capture_output=True, text=True)


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir() if '.part' in path.name)


def test_images_are_those_of_the_inferencer(inferencer, tmp_path):
    done = sample_to_files(inferencer, tmp_path / 'x.npz', 10, 'balanced', seed=3, batch_size=4)
    drawn = inferencer(10, 'balanced', seed=3, output_type='pt').images
    with np.load(tmp_path / 'x.npz') as file:
        assert file['arr_0'].shape == (10, 8, 8, 1) and file['arr_1'].tolist() == list(range(10))
        expected = (drawn * 255).permute(0, 2, 3, 1).numpy()
        assert np.abs(file['arr_0'] - expected).max() <= 0.501
    assert done.num_drawn == done.num_images == 10 and done.nfe == 2 and done.written == [tmp_path / 'x.npz']
    assert leftovers(tmp_path) == []
    with pytest.warns(DeprecationWarning, match='num_calls is nfe now'):
        assert done.num_calls == 2


def test_unconditional_model_has_no_labels(tmp_path):
    denoiser = dict(type='KarrasDenoiser', backbone=dict(BACKBONE, num_classes=None))
    torch.save(build(denoiser=denoiser).denoiser.backbone.state_dict(), tmp_path / 'tiny.pt')
    config = write_config(tmp_path, model=model_config(denoiser=denoiser))
    sample_to_files(ConsistencyModelInferencer(config, str(tmp_path / 'tiny.pt'), 'cpu'), tmp_path / 'x.npz', 3)
    with np.load(tmp_path / 'x.npz') as file:
        assert file.files == ['arr_0'] and file['arr_0'].shape == (3, 8, 8, 1)


def test_two_processes_make_the_bytes_of_one(tiny, tmp_path):
    main(command(tiny, tmp_path / 'one.npz', tmp_path / 'one.zip'))
    both = run(
        '-m',
        'torch.distributed.run',
        '--standalone',
        '--nproc_per_node',
        2,
        ROOT / 'tools/sample.py',
        *command(tiny, tmp_path / 'two.npz', tmp_path / 'two.zip'),
    )
    assert both.returncode == 0 and both.stdout.count('Wrote 50 images') == 1, both.stderr
    for suffix in ('.npz', '.zip'):
        assert (tmp_path / f'one{suffix}').read_bytes() == (tmp_path / f'two{suffix}').read_bytes()
    assert leftovers(tmp_path) == []


@pytest.mark.slow
def test_two_processes_draw_200_shipped_digits_like_one(tmp_path):
    arguments = ['--model', 'digits', '-n', '200', '--labels', 'balanced', '--batch-size', '16', '--out']
    main([*arguments, str(tmp_path / 'one.npz')])
    two = run(
        '-m',
        'torch.distributed.run',
        '--standalone',
        '--nproc_per_node',
        2,
        ROOT / 'tools/sample.py',
        *arguments,
        tmp_path / 'two.npz',
    )
    assert two.returncode == 0, two.stderr
    assert (tmp_path / 'one.npz').read_bytes() == (tmp_path / 'two.npz').read_bytes()


def test_processes_without_a_launcher_share_the_work(tiny, tmp_path):
    main(command(tiny, tmp_path / 'one.npz'))
    processes = [
        subprocess.Popen(
            [sys.executable, ROOT / 'tools/sample.py', *command(tiny, tmp_path / 'x.npz')],
            env={**os.environ, 'RANK': str(rank), 'WORLD_SIZE': '2'},
        )
        for rank in range(2)
    ]
    assert [process.wait() for process in processes] == [0, 0]
    assert (tmp_path / 'x.npz').read_bytes() == (tmp_path / 'one.npz').read_bytes()


def test_killed_run_goes_on_and_ends_with_the_same_bytes(tiny, tmp_path):
    main(command(tiny, tmp_path / 'one.npz', number=1000))
    arguments = [ROOT / 'tools/sample.py', *command(tiny, tmp_path / 'x.npz', number=1000)]
    parts = tmp_path / 'x.npz.parts'
    condition = f'len(list(Path({str(parts)!r}).glob("block_*"))) >= 5'
    killed = run(ROOT / 'tests/support/kill_when.py', condition, *arguments)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    present = sorted(path.name for path in parts.glob('block_*'))
    assert 5 <= len(present) < 250 and not (tmp_path / 'x.npz').exists()
    (parts / present[4]).write_bytes(b'truncated')

    resumed = run(*arguments)
    present = len(present) - 1  # without the one that was truncated
    assert f'holds {4 * present} of 1000 images' in resumed.stderr
    assert f'Wrote 1000 images of {tiny[1]}, {1000 - 4 * present} of them sampled' in resumed.stdout
    assert (tmp_path / 'x.npz').read_bytes() == (tmp_path / 'one.npz').read_bytes()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize('owner, name, calls', [
    ('zip', 'open', 2),  # between the images and the labels of x.npz
    ('zip', 'writestr', 30),  # within x.zip, when x.npz is whole
    ('path', 'rename', 1),  # when all is written, and the folder of the blocks still there
])  # yapf: disable
def test_run_killed_while_putting_together_ends_with_the_same_bytes(tiny, tmp_path, owner, name, calls):
    main(command(tiny, tmp_path / 'one.npz', tmp_path / 'one.zip'))
    outs = command(tiny, tmp_path / 'x.npz', tmp_path / 'x.zip')
    killed = run('-c', KILLED_AT, owner, name, calls, *outs)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert leftovers(tmp_path) != []
    again = run(ROOT / 'tools/sample.py', *outs)
    assert again.returncode == 0, again.stderr
    for suffix in ('.npz', '.zip'):
        assert (tmp_path / f'x{suffix}').read_bytes() == (tmp_path / f'one{suffix}').read_bytes()
    assert leftovers(tmp_path) == []


def test_finished_request_is_left_as_it_is(inferencer, tmp_path):
    outs = [tmp_path / name for name in ('x.npz', 'x.zip', 'x', 'x.png')]
    sample_to_files(inferencer, outs, 10, batch_size=4)
    times = [out.stat().st_mtime_ns for out in outs]
    again = sample_to_files(inferencer, outs, 10, batch_size=3)
    assert (again.written, again.num_drawn) == ([], 0) and [out.stat().st_mtime_ns for out in outs] == times
    assert leftovers(tmp_path) == []


def test_another_request_overwrites_files_but_no_folder(inferencer, tmp_path):
    sample_to_files(inferencer, [tmp_path / 'x.npz', tmp_path / 'x'], 10)
    before = (tmp_path / 'x.npz').read_bytes()
    assert sample_to_files(inferencer, tmp_path / 'x.npz', 10, seed=1).written == [tmp_path / 'x.npz']
    assert (tmp_path / 'x.npz').read_bytes() != before
    with pytest.raises(InputError, match='not empty'):
        sample_to_files(inferencer, tmp_path / 'x', 10, seed=1)


def test_force_says_what_another_request_replaces(inferencer, tmp_path):
    outs = [tmp_path / 'x.npz', tmp_path / 'x']
    for out in outs:
        sample_to_files(inferencer, out, 10, force=False)
        assert sample_to_files(inferencer, out, 10, force=False).written == []  # the same request
        with pytest.raises(InputError, match='give --force to replace it, or another --out'):
            sample_to_files(inferencer, out, 10, seed=1, force=False)
        assert sample_to_files(inferencer, out, 10, seed=1, force=True).written == [out]
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'letter').touch()
    with pytest.raises(InputError, match='name a new folder'):
        sample_to_files(inferencer, tmp_path / 'mine', 10, force=True)
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix in ('.lock', '.part')) == []


def test_two_runs_into_one_file_at_once_are_refused(inferencer, tmp_path):
    def draw_again(*args, **options):
        with pytest.raises(InputError, match='x.npz is being sampled by another task of this process'):
            sample_to_files(inferencer, tmp_path / 'x.npz', 10)
        # Other processes of the same run draw for it, and lock nothing.
        raise InputError('drawn by both')

    inferencer.sample = draw_again
    with pytest.raises(InputError, match='drawn by both'):
        sample_to_files(inferencer, [tmp_path / 'x.npz', tmp_path / 'x.zip'], 10)


@pytest.mark.parametrize('changes, told', [
    (dict(seed=1), 'seed 0 instead of 1'),
    (dict(num_images=11), 'num_images 10 instead of 11'),
    (dict(labels=3), 'other labels'),
    (dict(batch_size=5), 'batch_size 4 instead of 5'),
    (dict(sigmas=[80.0, 3.0]), 'other sampler'),
    (dict(weights=1), 'other weights'),
])  # yapf: disable
def test_blocks_of_another_request_are_not_taken(tiny, tmp_path, changes, told):
    request = dict(num_images=10, seed=0, labels='balanced', batch_size=4, outs=tmp_path / 'x.npz')
    inferencer = ConsistencyModelInferencer(tiny[0], str(tiny[1]), 'cpu')
    stop_after(inferencer, 2)
    with pytest.raises(KeyboardInterrupt):
        sample_to_files(inferencer, **request)
    before = sorted((tmp_path / 'x.npz.parts').iterdir())
    assert len(before) == 3  # the request and two blocks

    other = ConsistencyModelInferencer(tiny[0], str(tiny[1]), 'cpu')
    if 'weights' in changes:
        torch.save(build(seed=changes.pop('weights')).denoiser.backbone.state_dict(), tiny[1])
    else:
        other.load = lambda: pytest.fail('the weights were read')
    sampler = other.choose_sampler(sigmas=changes.pop('sigmas', None))
    with pytest.raises(InputError, match=told):
        sample_to_files(other, sampler=sampler, **{**request, **changes})
    assert sorted((tmp_path / 'x.npz.parts').iterdir()) == before


def stop_after(inferencer, batches):
    """Let the inferencer's model be interrupted when it has drawn so many batches."""
    draw = inferencer.sample
    seen = []

    def interrupted(*args, **kwargs):
        seen.append(0)
        if len(seen) > batches:
            raise KeyboardInterrupt
        return draw(*args, **kwargs)

    inferencer.sample = interrupted


def test_process_0_draws_what_the_others_do_not(inferencer, tmp_path, monkeypatch, capsys):
    sample_to_files(inferencer, tmp_path / 'one.npz', 10, batch_size=2)
    monkeypatch.setattr(bulk, 'PATIENCE', 0.1)
    monkeypatch.setattr(image_blocks, 'LOOK_INTERVAL', 0.01)
    sample_to_files(inferencer, tmp_path / 'x.npz', 10, batch_size=2, rank=0, world_size=3)
    assert capsys.readouterr().err.count('No news of the other processes') == 1
    assert (tmp_path / 'x.npz').read_bytes() == (tmp_path / 'one.npz').read_bytes()


def test_process_0_waits_as_long_as_its_own_blocks_took(tiny, inferencer, tmp_path, monkeypatch, capsys):
    """A clock on which a block takes 500 s: the other process, 1200 s behind, is neither lost nor forestalled."""
    other = ConsistencyModelInferencer(tiny[0], str(tiny[1]), 'cpu')
    seconds, draw = [0.0], inferencer.sample

    def slow_draw(*args, **options):
        seconds[0] += 500
        return draw(*args, **options)

    def sleep(interval):
        seconds[0] += 300
        if seconds[0] == 2200:
            sample_to_files(other, tmp_path / 'x.npz', 8, batch_size=2, rank=1, world_size=2)

    inferencer.sample = slow_draw
    monkeypatch.setattr(bulk.time, 'monotonic', lambda: seconds[0])
    monkeypatch.setattr(bulk.time, 'sleep', sleep)
    sample_to_files(inferencer, tmp_path / 'x.npz', 8, batch_size=2, rank=0, world_size=2)
    assert seconds == [2200] and 'No news' not in capsys.readouterr().err
    seconds[0] = 0.0
    sample_to_files(inferencer, tmp_path / 'y.npz', 8, batch_size=2, rank=0, world_size=2)
    assert capsys.readouterr().err.startswith(
        'No news of the other processes for 1500 s: process 0 samples the 2 blocks'
    )


@pytest.mark.parametrize('moment', ['load', 'open', 'draw'])
def test_process_that_comes_too_late_ends_without_a_trace(tiny, inferencer, tmp_path, monkeypatch, moment):
    monkeypatch.setattr(bulk, 'PATIENCE', 0.0)
    late = ConsistencyModelInferencer(tiny[0], str(tiny[1]), 'cpu')
    owner, name = dict(load=(late, 'load'), open=(block_store, 'write_bytes'), draw=(late, 'sample'))[moment]
    original = getattr(owner, name)

    def overtaken(*args, **options):
        monkeypatch.setattr(owner, name, original)
        sample_to_files(inferencer, tmp_path / 'x.npz', 10, batch_size=4, rank=0, world_size=2)
        return original(*args, **options)

    monkeypatch.setattr(owner, name, overtaken)
    done = sample_to_files(late, tmp_path / 'x.npz', 10, batch_size=4, rank=1, world_size=2)
    assert done.written == [] and (tmp_path / 'x.npz').exists() and leftovers(tmp_path) == []


def test_other_processes_draw_their_share_and_leave_the_rest(inferencer, tmp_path):
    sample_to_files(inferencer, tmp_path / 'x.npz', 10, batch_size=2, rank=1, world_size=2)
    assert ImageBlocks(tmp_path / 'x.npz.parts', (10, 8, 8, 1), 2).missing(range(5)) == [0, 2, 4]
    assert not (tmp_path / 'x.npz').exists()


def test_blocks_hold_several_batches_where_there_are_many(inferencer, tmp_path, monkeypatch):
    shape = (50000, 256, 256, 3)
    assert [len(ImageBlocks(tmp_path, shape, size).indices) for size in (64, 25, 4, 50000)] == [782, 2000, 1786, 1]
    sample_to_files(inferencer, tmp_path / 'one.npz', 50, batch_size=4)
    monkeypatch.setattr(image_blocks, 'MAX_BLOCKS', 5)
    sample_to_files(inferencer, tmp_path / 'x.npz', 50, batch_size=4, rank=1, world_size=2)
    blocks = sorted((tmp_path / 'x.npz.parts').glob('block_*'))
    assert [block.stat().st_size for block in blocks] == [12 * 64, 12 * 64]  # the second and the fourth of five
    sample_to_files(inferencer, tmp_path / 'x.npz', 50, batch_size=4)
    assert (tmp_path / 'x.npz').read_bytes() == (tmp_path / 'one.npz').read_bytes()


def test_what_did_not_fit_the_memory_is_not_tried_again(inferencer, tmp_path):
    sizes, generate = [], inferencer.model.generate

    def small(number, *args, **options):
        sizes.append(number)
        if number > 4:
            raise torch.cuda.OutOfMemoryError
        return generate(number, *args, **options)

    inferencer.model.generate = small
    sample_to_files(inferencer, tmp_path / 'x.npz', 48, batch_size=16)
    assert sizes == [16, 8] + 12 * [4]


def test_file_that_another_process_is_writing_may_vanish(inferencer, tmp_path, monkeypatch):
    sample_to_files(inferencer, tmp_path / 'x.npz', 10, batch_size=2, rank=1, world_size=2)
    (tmp_path / 'x.npz.parts' / '.block_000004.raw.0.part').symlink_to('nowhere')  # as one that was listed, and is gone
    sample_to_files(inferencer, tmp_path / 'x.npz', 10, batch_size=2)
    assert leftovers(tmp_path) == []


def test_rest_of_a_killed_process_takes_no_room(inferencer, tmp_path, monkeypatch):
    rest = tmp_path / '.x.npz.0123456789ab.part'
    rest.write_bytes(b'half an archive')
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(files.shutil, 'disk_usage', lambda _: usage._replace(free=0 if rest.exists() else 9999))
    sample_to_files(inferencer, tmp_path / 'x.npz', 10)
    assert not rest.exists()


def test_finished_request_needs_no_room(inferencer, tmp_path, monkeypatch):
    sample_to_files(inferencer, tmp_path / 'x.npz', 10)
    full = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr(files.shutil, 'disk_usage', lambda _: full)
    assert sample_to_files(inferencer, tmp_path / 'x.npz', 10).written == []
    for out, seed in (('x.npz', 1), ('y.npz', 0)):
        with pytest.raises(InputError, match='Make room'):
            sample_to_files(inferencer, tmp_path / out, 10, seed=seed)
    # Process 0 has looked, and may be about to fill the disk with the output.
    sample_to_files(inferencer, tmp_path / 'y.npz', 10, batch_size=5, rank=1, world_size=2)


def test_numbers_of_numpy_are_numbers(inferencer, tmp_path):
    arguments = dict(num_images=10, seed=3, batch_size=4, columns=5)
    outs = [tmp_path / 'x.npz', tmp_path / 'x.png']
    sample_to_files(inferencer, outs, **{key: np.int64(value) for key, value in arguments.items()})
    assert np.load(outs[0])['arr_0'].shape == (10, 8, 8, 1)
    assert sample_to_files(inferencer, outs, **arguments).written == []


@pytest.mark.parametrize('content', ['5', '[]', 'null', '{'])
def test_note_that_is_none_is_refused(inferencer, tmp_path, content):
    (tmp_path / 'x.npz.parts').mkdir()
    (tmp_path / 'x.npz.parts' / 'request.json').write_text(content)
    with pytest.raises(InputError, match='delete'):
        sample_to_files(inferencer, tmp_path / 'x.npz', 10)


def test_request_is_noted_beside_the_blocks(inferencer, tmp_path):
    sample_to_files(inferencer, tmp_path / 'x.npz', 10, batch_size=2, rank=1, world_size=2)
    request = json.loads((tmp_path / 'x.npz.parts' / 'request.json').read_text())
    assert (request['num_images'], request['batch_size'], request['device']) == (10, 2, 'cpu')
    assert request['sampler']['type'] == 'MultistepSampler' and len(request['weights']) == 64


@pytest.mark.parametrize('changes, message', [
    (dict(num_images=0), 'num_images'),
    (dict(batch_size=0), 'batch_size'),
    (dict(labels=[3, 10]), 'label 10'),
    (dict(seed=2**62), 'seed'),  # fits, but the last image's does not
    (dict(seed=[1, 2]), r'one integer, got \[1, 2\]'),
    (dict(seed=1.5), 'an integer of 64 bits, got 1.5'),
    (dict(seed='a'), "an integer of 64 bits, got 'a'"),
    (dict(outs=[]), 'no output'),
    (dict(outs=['x.npz', './x.npz']), 'twice'),
    (dict(outs='.'), 'name a new folder'),
    (dict(columns=3), 'columns'),
    (dict(outs='x.xyz'), 'suffix'),
    (dict(num_images=10**14), 'TB are needed'),
])  # yapf: disable
def test_bad_request_is_refused_before_the_weights_are_read(inferencer, tmp_path, monkeypatch, changes, message):
    monkeypatch.chdir(tmp_path)
    inferencer.load = lambda: pytest.fail('the weights were read')
    with pytest.raises(InputError, match=message):
        sample_to_files(inferencer, **{**dict(outs='y.npz', num_images=10, labels='balanced'), **changes})
    assert [path.name for path in tmp_path.iterdir()] == ['model']


def test_log_gets_a_line_now_and_then(inferencer, tmp_path, monkeypatch, capsys):
    seconds, draw = [0.0], inferencer.sample

    def slow_draw(*args, **options):
        seconds[0] += 20
        return draw(*args, **options)

    inferencer.sample = slow_draw
    monkeypatch.setattr(bulk.time, 'monotonic', lambda: seconds[0])
    sample_to_files(inferencer, tmp_path / 'x.npz', 20, batch_size=2, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == 'sampling: 1 of 20 images in 0:00:20, 0.05 images/s, 0:06:20 left'
    assert len(lines) == 10


def test_overflow_leaves_nothing_behind_so_that_the_way_out_works(tmp_path, capsys):
    model = build()
    with torch.no_grad():
        model.denoiser.backbone.input_blocks[0][0].weight.mul_(1e6)
    torch.save(model.denoiser.backbone.state_dict(), tmp_path / 'large.pt')
    arguments = [
        '--model',
        str(write_config(tmp_path)),
        '--checkpoint',
        str(tmp_path / 'large.pt'),
        '--device',
        'cpu',
        '-n',
        '3',
        '--labels',
        '2',
        '--out',
        *(str(tmp_path / f'x.{suffix}') for suffix in ('npz', 'zip')),
    ]
    with pytest.raises(SystemExit) as error:
        main([*arguments, '--dtype', 'float16'])
    assert error.value.code == 2
    assert 'compute in another precision, --dtype bfloat16 or float32' in capsys.readouterr().err.splitlines()[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ['large.pt', 'tiny.py']
    main([*arguments, '--dtype', 'float32'])
    assert np.load(tmp_path / 'x.npz')['arr_0'].std() > 0


@pytest.mark.parametrize('seed', [np.int64(5), torch.tensor(5), 5], ids=['numpy', 'torch', 'python'])
def test_seed_of_a_run_may_be_of_any_library(inferencer, tmp_path, seed):
    sample_to_files(inferencer, tmp_path / 'x.npz', 4, seed=seed)
    assert np.load(tmp_path / 'x.npz')['arr_1'].tolist() == [1, 4, 7, 5] == inferencer(4, seed=5).labels


def test_output_names_the_precision_unless_it_is_float32(tiny, tmp_path):
    out = tmp_path / 'x.npz'
    origins = {}
    for dtype in ('float32', 'bfloat16'):
        inferencer = ConsistencyModelInferencer(tiny[0], str(tiny[1]), 'cpu', dtype=dtype)
        assert sample_to_files(inferencer, out, 2, 'balanced').written == [out]  # the other precision's are no match
        assert sample_to_files(inferencer, out, 2, 'balanced').written == []
        origins[dtype] = read_origin(out)
    assert 'dtype' not in origins['float32'] and origins['bfloat16']['dtype'] == 'bfloat16'
