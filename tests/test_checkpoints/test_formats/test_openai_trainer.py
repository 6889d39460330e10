import pytest
import torch

from mmcm.checkpoints.formats.openai_trainer import find_trainer_files, read_trainer_checkpoint
from mmcm.utils.errors import InputError
from support.digits import build
from support.openai_trainer_files import write_trainer_folder


@pytest.fixture(scope='module')
def checkpoint():
    """The content of a training checkpoint whose moments tell parameter from parameter."""
    model = build(ema_decays=(0.9999, 0.5))
    names = [key for key in model.state_dict() if key.startswith('denoiser.')]
    state = {
        index: dict(
            step=torch.tensor(7.0),
            exp_avg=torch.full_like(model.state_dict()[key], index),
            exp_avg_sq=torch.rand_like(model.state_dict()[key]),
        )
        for index, key in enumerate(names)
    }
    settings = dict(lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    return dict(state_dict=model.state_dict(), optimizer=dict(state=state, param_groups=[settings]))


def test_last_step_of_a_folder_is_meant_and_any_step_by_its_file(tmp_path, checkpoint):
    for step in (7, 20, 1000000):
        write_trainer_folder(tmp_path, checkpoint, step)
    (tmp_path / 'progress.csv').write_text('step\n')
    (tmp_path / 'ema_0.9999_best.pt').write_text('')
    last = find_trainer_files(tmp_path)
    assert last.step == 1000000 and last.averages == {
        rate: tmp_path / f'ema_{rate}_1000000.pt' for rate in (0.5, 0.9999)
    }
    assert last.parts == {part: tmp_path / f'{part}1000000.pt' for part in ('model', 'opt')}
    assert find_trainer_files(tmp_path / 'model000020.pt').step == 20
    assert find_trainer_files(str(tmp_path / 'model000007.pt')).parts['opt'] == tmp_path / 'opt000007.pt'


@pytest.mark.parametrize('name', ['model000020.pt', 'ema_0.9999_000020.pt', 'opt000020.pt', 'model.pt', 'x' * 5000])
def test_other_files_are_none_of_the_trainers(tmp_path, name):
    if len(name) < 100:
        torch.save({}, tmp_path / name)  # alone in its folder
    assert find_trainer_files(tmp_path / name) is None
    assert find_trainer_files('https://example.org/model000020.pt') is None


def test_empty_folder_is_none(tmp_path):
    assert find_trainer_files(tmp_path) is None


@pytest.mark.parametrize('half', [False, True])
def test_moments_are_those_of_the_parameter_of_the_name(tmp_path, checkpoint, half):
    write_trainer_folder(tmp_path, checkpoint, 7, half)
    content = read_trainer_checkpoint(find_trainer_files(tmp_path))
    assert {key: value.shape for key, value in content['state_dict'].items()} == {
        key: value.shape for key, value in checkpoint['state_dict'].items()
    }
    found = content['openai_trainer']
    assert found['step'] == 7
    assert found['optimizer']['settings'] == dict(lr=1e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0)
    names = [key[len('denoiser.backbone.') :] for key in checkpoint['state_dict'] if key.startswith('denoiser.')]
    assert set(found['optimizer']['state']) == set(names)
    for index, key in enumerate(names):
        state, expected = found['optimizer']['state'][key], checkpoint['optimizer']['state'][index]
        assert state['step'] == 7
        assert all(torch.equal(state[name], expected[name]) for name in ('exp_avg', 'exp_avg_sq'))


@pytest.mark.parametrize(
    'content',
    [
        {},
        dict(state={}, param_groups=[]),
        dict(state=[], param_groups=[dict(params=[0])]),
        [1, 2],
        dict(state={}, param_groups=[dict(params=[0, 1, 2])]),
        dict(state={}, param_groups=3),
        dict(state={0: dict(step=1)}, param_groups=[dict(params=[0, 1], lr=1, betas=(0, 0), eps=0, weight_decay=0)]),
        dict(
            state={0: dict(step=1, exp_avg=torch.zeros(3), exp_avg_sq=torch.zeros(3))},
            param_groups=[dict(params=[0, 1], lr=1, betas=(0, 0), eps=0, weight_decay=0)],
        ),
    ],
)
def test_other_state_of_an_optimiser_is_refused_with_the_way(tmp_path, checkpoint, content):
    write_trainer_folder(tmp_path, checkpoint, 7)
    torch.save(content, tmp_path / 'opt000007.pt')
    with pytest.raises(InputError, match=r'opt000007.pt is no state of the RAdam .* leave the file out of the folder'):
        read_trainer_checkpoint(find_trainer_files(tmp_path))


def test_files_of_two_networks_are_refused(tmp_path, checkpoint):
    write_trainer_folder(tmp_path, checkpoint, 7)
    torch.save({'out.2.bias': torch.zeros(1)}, tmp_path / 'ema_0.5_000007.pt')
    with pytest.raises(InputError, match='ema_0.5_000007.pt is of another network than model000007.pt'):
        read_trainer_checkpoint(find_trainer_files(tmp_path))
