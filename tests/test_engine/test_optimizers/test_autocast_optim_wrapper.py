import pytest
from mmengine.runner import Runner

from mmcm.utils import precision
from support.runs import config


@pytest.mark.parametrize('native', [True, False])
def test_log_warns_where_bfloat16_is_emulated(tmp_path, monkeypatch, native):
    monkeypatch.setattr(precision, 'is_native', lambda dtype: native)
    monkeypatch.setattr(precision, '_measured', lambda dtype, num_threads: 68.2)
    cfg = config(tmp_path, 1)
    cfg.optim_wrapper.type = 'AutocastOptimWrapper'
    Runner.from_cfg(cfg).train()
    (log,) = tmp_path.rglob('*.log')
    warnings = [line for line in log.read_text(encoding='utf-8').splitlines() if 'emulates' in line]
    assert len(warnings) == (not native)
    assert native or warnings[0].endswith(
        'WARNING - this processor emulates bfloat16: a matrix product takes 68 times as long as in float32. Train '
        'without --amp (type OptimWrapper).'
    )
