"""What a run makes of what it is given to start from: the cells of the table in docs/training.md."""

from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

from mmcm.apis.publish import publish
from mmcm.checkpoints import resolve_checkpoint
from mmcm.checkpoints.formats.diffusers_folder import write_folder
from mmcm.checkpoints.weights import read_backbone, read_checkpoint
from mmcm.config import read_config
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from support.digits import BACKBONE, build, model_config, objective_config
from support.training_starts import OBJECTIVE, equal, loaded, part, run_config

pytestmark = [
    pytest.mark.filterwarnings('ignore:.*has been created'),  # runners of the same second share MMEngine's name
    pytest.mark.filterwarnings('ignore:Detected call of .scheduler.step'),
]
ROOT = Path(__file__).parents[3]
WAYS = ('resume', 'load_from', 'init_from')
CASES = (
    'same model',
    'other averages',
    'other objective',
    'other width',
    'other classes',
    'OpenAI file',
    'diffusers folder',
    'zoo name',
    'publish file',
)
# What the cells of the table say.
GOES_ON = 'goes on with all of it'
STARTS = 'starts from online weights, target and averages'
COPIES = 'starts from its weights; target and averages are copies'
FILLED = 'goes on; an average that it lacks is a copy of the online weights'
STARTS_FILLED = 'starts from it; an average that it lacks is a copy of the online weights'
ANEW = 'starts from it; the target is a copy, the objective starts in its initial state'
STATE = "refused where the objective's state is missing or another; else goes on, the target a copy"
OTHER = 'refused: keys and shapes'
ALONE = 'refused: weights alone'
TABLE = {
    'same model': (GOES_ON, STARTS, COPIES),
    'other averages': (FILLED, STARTS_FILLED, COPIES),
    'other objective': (STATE, ANEW, COPIES),
    'other width': (OTHER, OTHER, OTHER),
    'other classes': (OTHER, OTHER, OTHER),
    'OpenAI file': (ALONE, COPIES, COPIES),
    'diffusers folder': (ALONE, COPIES, COPIES),
    'zoo name': (ALONE, COPIES, COPIES),
    'publish file': (ALONE, COPIES, COPIES),
}


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The last checkpoint of a run of 4 iterations; online weights, target and averages differ."""
    folder = tmp_path_factory.mktemp('trained')
    Runner.from_cfg(run_config(folder, 4)).train()
    return folder / 'iter_4.pth'


def source_of(case, trained, folder):
    """Return what a run is given, and its weights where it is a network alone."""
    weights = build(seed=3).denoiser.backbone.state_dict()
    if case == 'OpenAI file':
        torch.save(weights, folder / 'edm.pt')
        return folder / 'edm.pt', weights
    if case == 'diffusers folder':
        write_folder(folder / 'diffusers', model_config(), weights)
        return folder / 'diffusers', weights
    if case == 'publish file':
        publish(trained, folder / 'published.safetensors', '0.9', torch.float32)
        return folder / 'published.safetensors', read_backbone(trained, '0.9')
    if case == 'zoo name':
        return 'edm_digits', read_backbone(resolve_checkpoint('edm_digits'))
    return trained, read_backbone(trained)


def model_of(case, objective=OBJECTIVE):
    """Return the config of the model that is to start."""
    if case == 'zoo name':
        denoiser = read_config('edm_1xb32_digits-8x8').model.denoiser.to_dict()
        return model_config(objective=objective, ema_decays=(0.5, 0.9), denoiser=denoiser)
    changes = {'other width': dict(base_channels=64), 'other classes': dict(num_classes=7)}.get(case, {})
    denoiser = dict(type='KarrasDenoiser', backbone=BACKBONE | changes)
    decays = (0.5, 0.99) if case == 'other averages' else (0.5, 0.9)
    return model_config(objective=objective, ema_decays=decays, denoiser=denoiser)


def start(way, source, model, folder):
    """Return the model of a run that is about to take its first step, and the line of its log."""
    if way == 'init_from':
        started = MODELS.build(model | dict(init_from=str(source)))
        started.init_weights()
        return started, ''
    runner, note = loaded(folder / 'run', source, resume=way == 'resume', model=model)
    assert runner.iter == (4 if way == 'resume' else 0)
    return runner.model, note


def networks(model):
    return {name: part(model, f'{name}.backbone.') for name in ('denoiser', 'target', 'emas.0_5')}


def is_all_copies(model, weights):
    return all(
        equal(part(model, f'{name}.backbone.'), weights)
        for name in ('denoiser', 'target', *(f'emas.{name}' for name in model.emas))
    )


@pytest.mark.parametrize('way, case', [(way, case) for case in CASES for way in WAYS])
def test_cell_of_the_table(tmp_path, trained, way, case):
    cell = TABLE[case][WAYS.index(way)]
    source, weights = source_of(case, trained, tmp_path)
    saved = read_checkpoint(trained)['state_dict']
    if cell in (OTHER, ALONE):
        with pytest.raises(InputError) as refused:
            start(way, source, model_of(case), tmp_path)
        expected = 'Leave out --resume' if cell == ALONE else 'is not a checkpoint of this ADMUNet: .*shapes differ'
        refused.match(expected)
        if case == 'other classes' and way != 'init_from':
            refused.match('label_emb.weight .*set model.denoiser.backbone.num_classes=10')
        return
    if case == 'other objective':
        starts_with_another_objective(way, source, weights, saved, tmp_path)
        return
    model, note = start(way, source, model_of(case), tmp_path)
    state = model.state_dict()
    if cell == COPIES:
        assert is_all_copies(model, weights)
    elif case == 'same model':
        assert equal(state, saved) and note == ''
    else:
        new = {key: value for key, value in state.items() if key.startswith('emas.0_99.')}
        assert equal({key.replace('emas.0_99', 'denoiser'): value for key, value in new.items()}, part_of_online(saved))
        rest = {key: value for key, value in state.items() if key not in new}
        assert equal(rest, {key: value for key, value in saved.items() if not key.startswith('emas.0_9.')})
        assert 'the average 0.99 starts as a copy' in note and 'the average 0.9 left out' in note


def part_of_online(saved):
    return {key: value for key, value in saved.items() if key.startswith('denoiser.')}


ADAPTIVE = dict(type='EDM', levels=dict(type='LossSecondMomentLevels', num_levels=4, history=2))


def starts_with_another_objective(way, source, weights, saved, folder):
    """From consistency training to EDM (no state, no target), and to EDM with learned noise levels."""
    if way == 'init_from':
        model = start(way, source, model_of('same model', ADAPTIVE), folder)[0]
        assert equal(part(model, 'denoiser.backbone.'), weights) and not model.objective.levels.counts.any()
        return
    model, note = start(way, source, model_of('same model', dict(type='EDM')), folder)
    assert equal(model.state_dict(), {key: value for key, value in saved.items() if not key.startswith('target.')})
    assert 'the target left out' in note
    if way == 'resume':
        assert "model.objective.type 'EDM' (was 'ConsistencyTraining')" in note
        with pytest.raises(
            InputError,
            match='state of the objective EDM of this run: 2 keys are missing: levels.losses.*model.init_from=',
        ):
            start(way, source, model_of('same model', ADAPTIVE), folder / 'again')
    else:
        model, note = start(way, source, model_of('same model', ADAPTIVE), folder / 'again')
        assert not model.objective.levels.counts.any()
        assert 'the state of the objective EDM starts anew' in note


@pytest.mark.parametrize('way', ['resume', 'load_from'])
def test_target_that_a_diffusion_model_has_not_is_a_copy(tmp_path, way):
    cfg = run_config(tmp_path / 'edm', 4)
    cfg.model = model_of('same model', dict(type='EDM'))
    Runner.from_cfg(cfg).train()
    model, note = start(way, tmp_path / 'edm' / 'iter_4.pth', model_of('same model'), tmp_path)
    assert equal(part(model, 'target.'), part(model, 'denoiser.')) and 'the target starts as a copy' in note


@pytest.mark.parametrize('way', ['resume', 'load_from'])
def test_state_of_an_objective_is_taken_where_it_is_the_same(tmp_path, way):
    cfg = run_config(tmp_path / 'edm', 4)
    cfg.model = model_of('same model', ADAPTIVE)
    Runner.from_cfg(cfg).train()
    source = tmp_path / 'edm' / 'iter_4.pth'
    model, note = start(way, source, model_of('same model', ADAPTIVE), tmp_path)
    assert model.objective.levels.counts.sum() == 4 * 8 and note == ''
    wider = dict(ADAPTIVE, levels=dict(ADAPTIVE['levels'], num_levels=5))
    if way == 'load_from':
        model, note = start(way, source, model_of('same model', wider), tmp_path / 'again')
        assert not model.objective.levels.counts.any() and 'the state of the objective EDM starts anew' in note
        return
    with pytest.raises(InputError, match=r'shapes differ: levels.losses \(4, 2\) instead of \(5, 2\)'):
        start(way, source, model_of('same model', wider), tmp_path / 'again')
    with pytest.raises(InputError, match='has the state of another objective, objective.levels.losses'):
        start(way, source, model_of('same model', dict(type='EDM')), tmp_path / 'plain')


def distillation(teacher):
    objective = objective_config('ConsistencyDistillation')
    return model_of('same model', objective) | dict(teacher=dict(checkpoint=str(teacher)))


def test_teacher_is_that_of_the_run_or_of_the_config(tmp_path):
    for seed in (1, 2):
        torch.save(build(seed=seed).denoiser.backbone.state_dict(), tmp_path / f'teacher{seed}.pt')
    first = {f'backbone.{key}': value for key, value in read_checkpoint(tmp_path / 'teacher1.pt').items()}
    cfg = run_config(tmp_path / 'cd', 4)
    cfg.model = distillation(tmp_path / 'teacher1.pt')
    Runner.from_cfg(cfg).train()
    source = tmp_path / 'cd' / 'iter_4.pth'

    def teacher_of(way, name, folder):
        return start(way, source, distillation(tmp_path / name), tmp_path / folder)

    with pytest.raises(InputError, match='teacher1.pt.*teacher2.pt.* has other weights'):
        teacher_of('resume', 'teacher2.pt', 'a')
    model, note = teacher_of('load_from', 'teacher2.pt', 'b')
    assert 'the teacher left out, as model.teacher names one' in note
    (tmp_path / 'teacher1.pt').write_bytes((tmp_path / 'teacher2.pt').read_bytes())  # trained on in the meantime
    model, note = teacher_of('resume', 'teacher1.pt', 'c')
    assert equal(part(model, 'teacher.'), first) and 'the teacher is the one in the checkpoint' in note


def test_network_in_part_or_of_another_shape_is_refused(tmp_path, trained):
    content = read_checkpoint(trained)
    del content['state_dict']['emas.0_5.backbone.out.2.bias']
    torch.save(content, tmp_path / 'part.pth')
    with pytest.raises(
        InputError, match='does not have all of the average 0.5 of this run: 1 keys are missing: backbone.out.2.bias'
    ):
        loaded(tmp_path / 'run', tmp_path / 'part.pth')


def test_init_from_is_told_where_load_from_overrules_it(tmp_path, trained):
    model = model_of('same model') | dict(init_from='edm_digits')
    assert "model.init_from='edm_digits' is not used" in start('load_from', trained, model, tmp_path)[1]
    model['init_from'] = dict(checkpoint='edm_digits', partial=True)
    assert "model.init_from='edm_digits' is not used" in start('load_from', trained, model, tmp_path / 'again')[1]


def test_resumed_run_ignores_where_it_started_from(tmp_path, trained):
    model = model_of('same model') | dict(init_from=dict(checkpoint='no such file', partial=True))
    assert start('resume', trained, model, tmp_path)[1] == ''


def test_table_of_the_documentation_says_so():
    lines = (ROOT / 'docs' / 'training.md').read_text().splitlines()
    rows = [tuple(cell.strip() for cell in line.strip('|').split('|')) for line in lines if line.startswith('| ')]
    assert {row[0]: row[1:] for row in rows if row[0] in TABLE} == TABLE
