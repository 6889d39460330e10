"""Several configs in one training command: real processes, killed where it hurts."""

import re
import shlex
import signal
import subprocess
import sys
from argparse import Namespace
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from mmengine.config import Config

from mmcm.checkpoints.weights import read_checkpoint
from mmcm.checkpoints.work_directory import finished_goal, note_finished
from mmcm.cli.sample import main as sample
from mmcm.cli.train import main
from mmcm.cli.training_chain import goal_of, is_finished, link, stage_arguments
from mmcm.utils.errors import InputError
from support.interrupted_training import assert_same_end, end, start
from support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
STEPS = 4
# Runners of the same second in one process share MMEngine's name for them.
pytestmark = pytest.mark.filterwarnings('ignore:.*has been created')
NAMES = ('edm_1xb32_digits-8x8', 'cd_1xb32_digits-8x8')
TINY = [
    'model.denoiser.backbone.channel_mult=(1,)',
    'model.denoiser.backbone.attention_resolutions=()',
    'model.denoiser.backbone.dropout=0.1',
    'train_dataloader.batch_size=8',
    'val_dataloader.dataset.num_samples=10',
    'default_hooks.sample_grid=None',
    'default_hooks.trajectory=None',
    'default_hooks.checkpoint.interval=2',
    'default_hooks.logger.interval=1',
    'visualizer.vis_backends=[]',
    f'train_cfg.max_iters={STEPS}',
    'train_cfg.val_interval=2',
]


def arguments(folder, *more, options=(), names=NAMES):
    return [*names, '--work-dir', str(folder), *more, '--cfg-options', *TINY, *options]


def run(capsys, folder, *more, **settings):
    """Run the command in this process; return its exit code, stdout and stderr."""
    capsys.readouterr()
    try:
        main(arguments(folder, *more, **settings), 'mmcm train')
        code = 0
    except SystemExit as exit_:
        code = exit_.code
    return code, *capsys.readouterr()


def run_until(condition, folder):
    """Run the command in a process of its own, which is killed at `condition`."""
    killing = [sys.executable, 'tests/support/kill_when.py', condition, 'tools/train.py']
    result = subprocess.run([*killing, *arguments(folder)], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == -signal.SIGKILL, result.stderr


def last(folder, name):
    return folder / name / f'iter_{STEPS}.pth'


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    """Train both without an interruption; return their folder and what was printed."""
    folder = tmp_path_factory.mktemp('chain') / 'whole'
    with redirect_stdout(StringIO()) as out:
        main(arguments(folder), 'mmcm train')
    return folder, out.getvalue()


def test_both_are_trained_and_the_first_is_the_teacher_of_the_second(whole):
    folder, _ = whole
    teacher = read_checkpoint(last(folder, NAMES[0]))['state_dict']
    student = read_checkpoint(last(folder, NAMES[1]))
    weights = {key: value for key, value in student['state_dict'].items() if key.startswith('teacher.')}
    average = next(key.split('.')[1] for key in teacher if key.startswith('emas.'))
    assert weights
    for key, value in weights.items():
        assert value.equal(teacher[f'emas.{average}.{key.removeprefix("teacher.")}']), key
    assert repr(str(folder / NAMES[0])) in student['meta']['cfg']


def test_end_names_the_best_checkpoint_and_a_command_that_samples_from_it(whole, tmp_path):
    folder, out = whole
    commands = re.findall('To sample: mmcm sample (.*)', out)
    assert len(commands) == 2
    for name, command in zip(NAMES, commands):
        (best,) = (folder / name).glob('best_sliced_wasserstein_distance_iter_*.pth')
        assert 'Best by sliced_wasserstein/distance, 0.' in out and str(best) in command
    sample([str(tmp_path / word) if word == 'samples.png' else word for word in shlex.split(commands[1])])
    assert (tmp_path / 'samples.png').exists()


# Where the process is killed: the file that it is about to write.
KILLS = {
    'in the first training': f'{NAMES[0]}/iter_2.pth',
    'between both': f'{NAMES[0]}/finished',
    'in the second training': f'{NAMES[1]}/iter_2.pth',
    'before the last validation of the second': f'{NAMES[1]}/iter_{STEPS}.pth',
}


PLACES = [pytest.param(place, marks=[] if place == 'in the second training' else pytest.mark.slow) for place in KILLS]


@pytest.mark.parametrize('place', PLACES)
def test_killed_command_goes_on_at_its_place_and_ends_as_if_it_was_not_killed(whole, tmp_path, capsys, place):
    expected, _ = whole
    run_until(f'Path({str(tmp_path / KILLS[place])!r}).exists()', tmp_path)
    code, out, error = run(capsys, tmp_path, '--resume')
    assert code == 0, error
    assert (f'{NAMES[0]} is trained already' in out) is (place != 'in the first training')
    for name in NAMES:
        assert_same_end(last(tmp_path, name), last(expected, name))
        best, there = ({path.name for path in (folder / name).glob('best_*')} for folder in (tmp_path, expected))
        assert best == there and len(best) == 1


@pytest.mark.slow
def test_ctrl_c_in_the_second_training_is_resumed(whole, tmp_path, capsys):
    process = start([sys.executable, 'tools/train.py', *arguments(tmp_path)])
    for line in process.stdout:
        if f'Training {NAMES[1]}' in line:
            process.send_signal(signal.SIGINT)
            break
    code, _, error = end(process)
    assert code == 130, error
    code, out, error = run(capsys, tmp_path, '--resume')
    assert code == 0 and f'{NAMES[0]} is trained already' in out, error
    assert_same_end(last(tmp_path, NAMES[1]), last(whole[0], NAMES[1]))


def test_nothing_is_left_to_do_for_a_finished_command(whole, capsys):
    folder, _ = whole
    before = last(folder, NAMES[1]).stat().st_mtime_ns
    code, out, _ = run(capsys, folder, '--resume')
    assert code == 0 and out.count('is trained already') == 2
    assert last(folder, NAMES[1]).stat().st_mtime_ns == before
    code, _, error = run(capsys, folder)
    assert code == 2 and 'holds a run already' in error


@pytest.mark.parametrize(
    'text, message',
    [
        ("model = dict(objective=dict(type='Unknown'))", 'Unknown'),
        ("optim_wrapper = dict(optimizer=dict(weight_decay='a'))", 'weight_decay'),
        ('train_dataloader = dict(dataset=dict(split=3))', 'split'),
        ("train_dataloader = dict(dataset=dict(_delete_=True, type='PhotoPatches'))", 'the images have no label'),
        ("model = dict(teacher=dict(checkpoint='nowhere'))", "no checkpoint 'nowhere'"),
        ("val_evaluator = dict(reference='held_out')", 'holds no images out of the training'),
    ],
)
def test_mistakes_in_the_second_config_are_found_before_the_first_is_trained(tmp_path, capsys, text, message):
    second = tmp_path / 'second.py'
    second.write_text(f"_base_ = '{ROOT}/configs/digits/{NAMES[1]}.py'\n{text}\n")
    code, out, error = run(capsys, tmp_path / 'runs', names=(NAMES[0], str(second)))
    assert code == 2 and message in error, error
    assert not [path for path in (tmp_path / 'runs').rglob('*') if path.is_file()] and 'Iter(train)' not in out


def test_work_directories_are_named_by_the_configs_below_the_given_one():
    args = Namespace(config=['a.py', 'configs/b.py'], work_dir='runs', resume=True)
    assert [(stage.config, stage.work_dir) for stage in stage_arguments(args)] == [
        ('a.py', 'runs/a'),
        ('configs/b.py', 'runs/b'),
    ]
    assert all(stage.resume for stage in stage_arguments(args))
    (only,) = stage_arguments(Namespace(config=['a.py'], work_dir='runs'))
    assert only.config == 'a.py' and only.work_dir == 'runs'


@pytest.mark.parametrize(
    'model, expected',
    [
        (dict(teacher=dict(checkpoint='work_dirs/a')), 'runs/a'),
        (dict(teacher=dict(checkpoint='./work_dirs/a/')), 'runs/a'),
        (dict(teacher=dict(checkpoint='work_dirs/a/iter_3.pth')), 'runs/a/iter_3.pth'),
        (dict(teacher=dict(checkpoint='work_dirs/ab')), 'work_dirs/ab'),
        (dict(teacher=dict(checkpoint='digits')), 'digits'),
        (dict(teacher=dict(checkpoint='work_dirs/b')), 'work_dirs/b'),  # its own: no earlier one
    ],
)
def test_name_of_an_earlier_work_directory_is_where_this_command_trains_it(model, expected):
    configs = [Config(dict(work_dir='runs/a', model={})), Config(dict(work_dir='runs/b', model=model))]
    link(configs, ['x/a.py', 'b'])
    assert configs[1].model.teacher.checkpoint == expected


@pytest.mark.parametrize('start_', ['work_dirs/a', dict(checkpoint='work_dirs/a', partial=True)])
def test_initial_weights_are_linked_in_both_forms(start_):
    configs = [
        Config(dict(work_dir='out', model={})),
        Config(dict(work_dir='b', load_from='work_dirs/a', model=dict(init_from=start_))),
    ]
    link(configs, ['a.py', 'b.py'])
    found = configs[1].model.init_from
    assert (found if isinstance(found, str) else found.checkpoint) == configs[1].load_from == 'out'


def test_two_trainings_in_one_folder_are_refused():
    configs = [Config(dict(work_dir='x', model={})), Config(dict(work_dir='./x', model={}))]
    with pytest.raises(InputError, match=r'a.py and c/a.py would both be trained in ./x'):
        link(configs, ['a.py', 'c/a.py'])


@pytest.mark.parametrize(
    'goal, expected',
    [
        (('iteration', 3), True),
        (('iteration', 4), True),
        (('iteration', 2), False),
        (('epoch', 3), False),
        (None, False),
    ],
)
def test_training_is_finished_if_it_has_reached_the_end_of_its_config(tmp_path, goal, expected):
    (tmp_path / 'last_checkpoint').write_text('x')
    note_finished(tmp_path, goal)
    config = Config(dict(work_dir=str(tmp_path), train_cfg=dict(max_iters=3)))
    assert goal_of(config) == ('iteration', 3) and is_finished(config) is expected


@pytest.mark.parametrize('content', [b'', b'iteration', b'iteration x', b'a b c', b'\xff\xfe', b'x' * 1000])
def test_damaged_record_of_the_end_says_nothing(tmp_path, content):
    (tmp_path / 'finished').write_bytes(content)
    assert finished_goal(tmp_path) is None


def test_validation_is_left_out_by_one_setting(tmp_path, capsys):
    code, out, error = run(capsys, tmp_path, options=['val_cfg=None'], names=NAMES[:1])
    assert code == 0 and 'Validation:' not in out and not list(tmp_path.glob('best_*')), error
    assert f'To sample: mmcm sample --model {tmp_path} -n 16' in out
