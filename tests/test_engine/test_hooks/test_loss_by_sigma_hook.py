import json
import math
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from mmengine.runner import Runner
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mmcm.engine import LossBySigmaHook
from mmcm.utils.errors import InputError
from support.patience import PATIENCE
from support.runs import config


def watched_config(folder, iterations=4, interval=2, **options):
    cfg = config(folder, iterations=iterations)
    cfg.default_hooks.logger.interval = interval
    cfg.default_hooks.loss_by_sigma = dict(type='LossBySigmaHook', **options)
    cfg.visualizer = dict(
        type='Visualizer', vis_backends=[dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')]
    )
    return cfg


def events(folder):
    """Return the scalars that TensorBoard shows: values by step, by tag."""
    (path,) = folder.rglob('events.out.tfevents.*')
    reader = EventAccumulator(str(path.parent))
    reader.Reload()
    return {tag: {event.step: event.value for event in reader.Scalars(tag)} for tag in reader.Tags()['scalars']}


def trained(cfg, note=None):
    """Train; `note` gets sigmas and losses of each pass."""
    runner = Runner.from_cfg(cfg)
    forward = runner.model.objective.forward

    def noted(*args):
        parts = forward(*args)
        if note is not None:
            note(parts['sigma'].tolist(), parts['loss'].tolist())
        return parts

    runner.model.objective.forward = noted
    runner.train()
    return runner


@pytest.mark.parametrize('train_cfg', [{}, dict(type='MicroBatchTrainLoop', micro_batch=4)])
def test_means_of_the_ranges_since_the_log_before(tmp_path, train_cfg):
    cfg = watched_config(tmp_path, edges=(0.1, 1.0))
    cfg.train_cfg.update(train_cfg)
    passes = []
    runner = trained(cfg, lambda sigmas, losses: passes.append(list(zip(sigmas, losses))))
    found = {tag: values for tag, values in events(tmp_path).items() if tag.startswith('loss_by_sigma/')}
    expected = defaultdict(dict)
    per_log = len(passes) // 2
    for log in (0, 1):
        entries = sum(passes[log * per_log : (log + 1) * per_log], [])
        assert len(entries) == 16
        for name, low, high in (('0-0.1', 0, 0.1), ('0.1-1', 0.1, 1), ('1-inf', 1, math.inf)):
            losses = [loss for sigma, loss in entries if low <= sigma < high]
            if losses:
                expected[f'loss_by_sigma/{name}'][2 * log + 2] = pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert found == expected and len(expected) == 3
    assert not runner.model.objective._forward_hooks


def test_text_of_the_log_stays_as_it_was(tmp_path):
    cfg = watched_config(tmp_path)
    trained(cfg)
    log = next(tmp_path.rglob('*.log')).read_text().split('Iter(train)')[-1]
    assert 'loss: ' in log and 'sigma' not in log


def test_curves_of_the_curriculum(tmp_path):
    """N and mu of the step before each log, unsmoothed."""
    cfg = watched_config(tmp_path, iterations=12, interval=2)
    cfg.model.objective.curriculum = dict(
        type='ProgressiveCurriculum', total_steps=12, start_scales=2, end_scales=20, start_decay=0.95
    )
    runner = trained(cfg)
    scalars = events(tmp_path)
    steps = [2, 4, 6, 8, 10, 12]
    values = [runner.model.objective.curriculum(step - 1) for step in steps]
    assert [scalars['num_scales'][step] for step in steps] == [stage.num_scales for stage in values]
    assert [scalars['target_decay'][step] for step in steps] == pytest.approx([stage.target_decay for stage in values])
    assert values[0].num_scales < values[-1].num_scales


@pytest.mark.slow
def test_two_processes_log_what_one_does(tmp_path):
    script = tmp_path / 'run.py'
    script.write_text(
        'import sys\n'
        f'sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}\n'
        'from pathlib import Path\n'
        'from mmengine.runner import Runner\n'
        'from mmcm.cli.runner import use_cpus\n'
        'from test_loss_by_sigma_hook import watched_config\n'
        'cfg = watched_config(Path(sys.argv[1]))\n'
        'cfg.launcher = "pytorch"\n'
        'use_cpus(cfg, cfg.launcher)\n'
        'cfg.train_dataloader.batch_size = 4\n'
        'Runner.from_cfg(cfg).train()\n'
    )
    result = subprocess.run(
        [
            sys.executable,
            '-m',
            'torch.distributed.run',
            '--standalone',
            '--nproc_per_node',
            '2',
            str(script),
            str(tmp_path / 'two'),
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert result.returncode == 0, result.stderr
    trained(watched_config(tmp_path / 'one'))
    one, two = (scalars(tmp_path / name) for name in ('one', 'two'))
    assert one.keys() == two.keys() and len(one) > 6
    assert two == {key: pytest.approx(value, rel=1e-4) for key, value in one.items()}


def scalars(folder):
    """Return the means that the LocalVisBackend wrote, by tag and step."""
    (path,) = folder.rglob('scalars.json')
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {(tag, line['step']): value for line in lines for tag, value in line.items() if 'sigma' in tag}


@pytest.mark.parametrize('edges', [(), (0.0, 1.0), (1.0, 0.5)])
def test_edges_have_to_ascend(edges):
    with pytest.raises(InputError, match='positive and ascending'):
        LossBySigmaHook(edges)
