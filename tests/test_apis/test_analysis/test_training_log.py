import json
import math

import pytest

from mmcm.apis.analysis.training_log import described, draw_logs, panels_of, read_log
from mmcm.utils.errors import InputError


def write_start(run, stamp, records, max_iters=None, tail=''):
    folder = run / stamp / 'vis_data'
    folder.mkdir(parents=True)
    (folder / 'scalars.json').write_text('\n'.join(map(json.dumps, records)) + '\n' + tail)
    if max_iters is not None:
        (folder / 'config.py').write_text(f"train_cfg = dict(type='IterBasedTrainLoop', max_iters={max_iters})\n")


def record(step, loss, **more):
    return dict(loss=loss, lr=1e-3, num_scales=5, time=0.5, step=step, iter=step, **more)


@pytest.fixture
def run(tmp_path):
    run = tmp_path / 'ict'
    first = [record(100, 4.0), record(200, 3.0), record(300, 2.5)]
    write_start(run, '20260101_000000', first, 1000)
    second = [record(300, 2.0), {'loss_by_sigma/1-3': 2.0, 'step': 300}, record(400, float('nan'))]
    second.append({'fid/distance': 9.0, 'time': 60.0, 'data_time': 1.0, 'step': 400})
    write_start(run, '20260102_000000', second, 1000, tail='{"loss": 1')  # killed while it wrote
    return run


def test_iterations_that_a_resumed_run_computed_again_are_those_of_the_later_start(run):
    log = read_log(run)
    steps, losses = log.scalars['loss']
    assert steps == [100, 200, 300, 400] and losses[:3] == [4.0, 3.0, 2.0] and math.isnan(losses[3])
    assert log.scalars['fid/distance'] == ([400], [9.0])


def test_eta_is_the_time_of_the_remaining_iterations_and_leaves_validations_out(run):
    log = read_log(run)
    assert (log.iteration, log.max_iters, log.seconds_per_iteration) == (400, 1000, 0.5)
    assert log.eta == 600 * 0.5
    assert 'iteration 400 of 1000' in described(log) and 'ETA 0:05:00' in described(log)
    (run / 'finished').write_text('iteration 1000\n')
    assert read_log(run).eta == 0 and described(read_log(run)).endswith('finished')


def test_numbers_are_plain_json(run):
    numbers = json.loads(json.dumps(read_log(run).numbers(), allow_nan=False))
    assert numbers['scalars']['loss'] == dict(iterations=[100, 200, 300, 400], values=[4.0, 3.0, 2.0, None])


def test_figure_has_a_panel_for_each_kind_of_number(run, tmp_path):
    log = read_log(run)
    titles = ['loss', 'learning rate', 'N, number of noise levels', 'loss by sigma', 'validation: fid/distance']
    assert list(panels_of([log])) == [*titles, 'seconds per iteration']
    alone, both = draw_logs([log]), draw_logs([log, read_log(run / '20260101_000000')])
    assert alone.shape == both.shape and (alone != both).any()
    assert alone.shape[0] == pytest.approx(3 * 340, abs=1) and alone.shape[1:] == (2 * 620, 3)  # as matplotlib rounds


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        ('{"loss": 1}\n{"step": 1}\n', 'line 1: it has no step'),
        ('[1, 2]\n{"step": 1}\n', 'line 1: it has no step'),
        ('no JSON\n{"step": 1}\n', 'line 1: it is no JSON'),
        ('{"step": 1}\n', 'logged nothing yet'),
        (json.dumps({'step': 1, 'a' * 201: 1}) + '\n' + '{"step": 2}\n', 'line 1: a name in it has more than 200'),
        (json.dumps({'step': 1, **{f'a{index}': 1 for index in range(600)}}) + '\n', '600 names of numbers'),
    ],
)
def test_other_files_are_refused(tmp_path, content, reason):
    (tmp_path / 'vis_data').mkdir()
    (tmp_path / 'vis_data' / 'scalars.json').write_text(content)
    with pytest.raises(InputError, match=reason):
        read_log(tmp_path)


def test_folder_without_a_log_is_refused(tmp_path):
    with pytest.raises(InputError, match='holds no log'):
        read_log(tmp_path / 'nothing')


def test_config_beside_the_log_is_not_run(tmp_path):
    write_start(tmp_path, '20260101_000000', [record(1, 1.0)])
    config = tmp_path / '20260101_000000' / 'vis_data' / 'config.py'
    config.write_text(f"train_cfg = dict(max_iters=open({str(tmp_path / 'ran')!r}, 'w'))")
    assert read_log(tmp_path).max_iters is None and not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('seconds', [float('nan'), 1e30])
def test_eta_that_is_no_time_is_unknown(tmp_path, seconds):
    write_start(tmp_path / 'run', '20260101_000000', [dict(loss=1.0, time=seconds, step=1)], 1000)
    log = read_log(tmp_path / 'run')
    assert log.eta is None and 'ETA' not in described(log)


def test_names_of_a_log_cannot_write_to_the_terminal(tmp_path):
    write_start(tmp_path / 'run', '20260101_000000', [{'loss': 1.0, 'a/\x1b]0;b\x07': 2.0, 'step': 1}])
    assert described(read_log(tmp_path / 'run')).isprintable()
