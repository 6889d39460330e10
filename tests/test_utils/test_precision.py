import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmcm.utils import precision
from support.patience import PATIENCE

CPU = torch.device('cpu')
ROOT = Path(__file__).parents[2]
AVX2 = dict(ATEN_CPU_CAPABILITY='avx2', ONEDNN_MAX_CPU_ISA='AVX2')  # whose bfloat16 is emulated on every x86 processor
X86 = pytest.mark.skipif(platform.machine() not in ('x86_64', 'AMD64'), reason='restricts the instruction sets of x86')


@pytest.fixture(autouse=True)
def forget():
    """Measure anew, and warn anew."""
    for function in (precision._measured, precision.warn_if_emulated, precision.tell_chosen):
        function.cache_clear()


def answers(monkeypatch, onednn, instructions, seconds):
    """Let oneDNN and torch give these answers, and a product take so many seconds in each precision."""
    timed = []
    monkeypatch.setattr(precision, '_answer', lambda module, name: onednn if 'mkldnn' in name else instructions)
    monkeypatch.setattr(
        precision,
        '_time_product',
        lambda dtype, size: timed.append((dtype, size)) or seconds[dtype] * (size / 256) ** 3,
    )
    return timed


@pytest.mark.parametrize(
    'onednn, instructions, native',
    [(True, True, True), (False, True, False), (False, False, False), (True, False, None), (None, None, None)],
)
def test_instructions_count_where_onednn_may_use_them(monkeypatch, onednn, instructions, native):
    answers(monkeypatch, onednn, instructions, {})
    monkeypatch.setattr(torch.backends.mkldnn, 'is_available', lambda: True)
    assert precision.is_native(torch.bfloat16) is native
    assert precision.is_native(torch.float32) is True


def test_no_answer_is_had_without_onednn(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, 'is_available', lambda: False)
    assert precision.is_native(torch.bfloat16) is None


def test_torch_without_these_functions_gives_no_answer():
    assert precision._answer(torch.cpu, '_is_nothing_supported') is None


def test_nothing_is_timed_where_there_are_instructions(monkeypatch):
    timed = answers(monkeypatch, True, True, {})
    assert not precision.is_emulated(torch.bfloat16, CPU) and timed == []


@pytest.mark.parametrize('onednn, instructions', [(False, False), (True, False), (None, None)])
def test_without_instructions_a_product_is_timed_once(monkeypatch, onednn, instructions):
    timed = answers(monkeypatch, onednn, instructions, {torch.float32: 1e-4, torch.bfloat16: 5e-3})
    for _ in range(2):
        assert precision.is_emulated(torch.bfloat16, CPU)
        assert precision.slowdown(torch.bfloat16) == pytest.approx(50)
    assert timed == [(torch.bfloat16, 64), (torch.bfloat16, 256), (torch.float32, 256)]


def test_large_product_is_left_out_where_it_would_take_long(monkeypatch):
    timed = answers(monkeypatch, False, False, {torch.float32: 1e-2, torch.bfloat16: 2.0})
    assert precision.slowdown(torch.bfloat16) == pytest.approx(200)
    assert timed == [(torch.bfloat16, 64), (torch.bfloat16, 64), (torch.float32, 64)]


def test_what_is_not_slow_needs_no_line(monkeypatch, capsys):
    answers(monkeypatch, None, None, {torch.float32: 1e-4, torch.bfloat16: 1.5e-4})
    precision.warn_if_emulated(torch.bfloat16, CPU)
    assert capsys.readouterr().err == ''


def test_one_line_in_a_process_names_the_factor(monkeypatch, capsys):
    answers(monkeypatch, False, False, {torch.float32: 1e-4, torch.bfloat16: 1.97e-2, torch.float16: 1e-3})
    for _ in range(2):
        precision.warn_if_emulated(torch.bfloat16, CPU)
    assert capsys.readouterr().err == (
        'warning: this processor emulates bfloat16: a matrix product takes 197 times as long as in float32. Use '
        'float32, unless memory is short.\n'
    )
    precision.warn_if_emulated(torch.float16, CPU)
    assert 'float16: a matrix product takes 10 times' in capsys.readouterr().err


def test_other_devices_are_not_judged(monkeypatch):
    timed = answers(monkeypatch, False, False, {})
    assert not precision.is_emulated(torch.float16, torch.device('cuda')) and timed == []


@X86
def test_command_warns_of_an_emulated_precision(tmp_path):
    result = subprocess.run(
        [
            sys.executable,
            '-m',
            'mmcm',
            'sample',
            '--model',
            'digits',
            '-n',
            '1',
            '--dtype',
            'bfloat16',
            '--out',
            str(tmp_path / 'x.png'),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, **AVX2, 'OMP_NUM_THREADS': '1'},
    )
    assert result.returncode == 0 and (tmp_path / 'x.png').exists(), result.stderr
    lines = [line for line in result.stderr.splitlines() if 'emulates' in line]
    assert len(lines) == 1, result.stderr
    assert re.match('warning: this processor emulates bfloat16: a matrix product takes [0-9]+ times as long', lines[0])


@pytest.mark.parametrize(
    'major, dtype', [(9, torch.bfloat16), (8, torch.bfloat16), (7, torch.float16), (6, torch.float32)]
)
def test_gpus_compute_in_what_their_tensor_cores_take(monkeypatch, major, dtype):
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device: (major, 0))
    assert precision.fastest_dtype(torch.device('cuda:0')) is dtype


@pytest.mark.parametrize('onednn, instructions, dtype', [(True, True, torch.bfloat16), (False, True, torch.float32)])
def test_cpus_compute_in_bfloat16_where_they_have_instructions(monkeypatch, onednn, instructions, dtype):
    timed = answers(monkeypatch, onednn, instructions, {})
    monkeypatch.setattr(torch.backends.mkldnn, 'is_available', lambda: True)
    assert precision.fastest_dtype(CPU) is dtype and timed == []


@pytest.mark.parametrize('seconds, dtype', [(0.5e-4, torch.bfloat16), (0.9e-4, torch.float32), (1e-2, torch.float32)])
def test_cpus_that_do_not_tell_are_timed(monkeypatch, seconds, dtype):
    answers(monkeypatch, None, None, {torch.float32: 1e-4, torch.bfloat16: seconds})
    assert precision.fastest_dtype(CPU) is dtype


def test_other_devices_stay_in_float32():
    assert precision.fastest_dtype(torch.device('mps')) is torch.float32


def test_small_networks_stay_in_float32_whatever_the_device_is(monkeypatch):
    monkeypatch.setattr(precision, 'fastest_dtype', lambda device: torch.bfloat16)
    assert precision.auto_dtype(CPU, precision.LARGE - 1) is torch.float32
    assert precision.auto_dtype(CPU, precision.LARGE) is torch.bfloat16


def test_choice_is_told_once_and_float32_not_at_all(capsys):
    precision.tell_chosen(torch.float32, CPU)
    assert capsys.readouterr().err == ''
    for _ in range(2):
        precision.tell_chosen(torch.bfloat16, CPU)
    assert capsys.readouterr().err.startswith('note: computing in bfloat16, which cpu has instructions for; --dtype')
