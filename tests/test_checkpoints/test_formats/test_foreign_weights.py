"""Checkpoints of other programs: nested, with prefixes, with averages, as NumPy arrays."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from mmcm.checkpoints.formats.foreign_weights import note
from mmcm.checkpoints.weights import load_weights, read_backbone
from mmcm.utils.errors import InputError


class Network(nn.Module):
    """A small network with names of two levels, one of them as a wrapper's."""

    def __init__(self, value=0.0):
        super().__init__()
        self.model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
        self.out = nn.Linear(2, 1)
        for parameter in self.parameters():
            nn.init.constant_(parameter, value)


def weights(value=1.0, prefix=''):
    return {prefix + key: tensor for key, tensor in Network(value).state_dict().items()}


def read(tmp_path, content, average=None):
    """Write a checkpoint, load it and return the one value of all weights, which is that of the set."""
    torch.save(content, tmp_path / 'x.pt')
    network = Network()
    load_weights(network, read_backbone(tmp_path / 'x.pt', average, network), tmp_path / 'x.pt')
    found = {value.item() for tensor in network.state_dict().values() for value in tensor.flatten()}
    assert len(found) == 1
    return found.pop()


@pytest.fixture(autouse=True)
def notes_anew():
    note.cache_clear()


@pytest.mark.parametrize(
    'prefix',
    [
        'module.',
        '_orig_mod.',
        'model.',
        'net.',
        'denoiser.',
        'unet.',
        'backbone.',
        'module._orig_mod.',
        'model.module.',
        '_orig_mod.module.model.unet.',
        'anything.of.theirs.',
    ],
)
def test_prefix_in_front_of_all_names_is_taken_off(tmp_path, capsys, prefix):
    assert read(tmp_path, weights(3.0, prefix)) == 3.0
    assert capsys.readouterr().err == ''


def test_names_of_wrapped_modules_within_are_taken_off(tmp_path):
    wrapped = {
        key.replace('model.', 'model._orig_mod.').replace('out.', 'out._checkpoint_wrapped_module.'): value
        for key, value in weights(3.0).items()
    }
    assert read(tmp_path, wrapped) == 3.0


@pytest.mark.parametrize(
    'content',
    [
        lambda: dict(
            model=weights(3.0), optimizer=dict(state={0: dict(exp_avg=torch.zeros(3))}, param_groups=[]), step=1
        ),
        lambda: dict(model_state_dict=weights(3.0), epoch=3),
        lambda: dict(
            state_dict=weights(3.0, 'model.'), hyper_parameters=dict(lr=1e-3), callbacks={}, loops=dict(a=dict())
        ),
        lambda: dict(ema=weights(3.0)),
        lambda: dict(ema=dict(decay=0.999, shadow=weights(3.0, 'module.'))),
        lambda: dict(trainer=dict(net=OrderedDict(weights(3.0, '_orig_mod.')))),
        lambda: {key: nn.Parameter(value) for key, value in weights(3.0).items()},
        lambda: {key: value.numpy() for key, value in weights(3.0).items()},
        lambda: dict(params_ema={key: value.half().numpy() for key, value in weights(3.0).items()}),
        lambda: {key: value.numpy().astype('>f8') for key, value in weights(3.0).items()},
        lambda: {**weights(3.0), 'step': torch.tensor(7)},
        lambda: AveragedModel(Network(3.0)).state_dict(),
    ],
)
def test_weights_are_found_without_a_word_where_there_is_no_choice(tmp_path, capsys, content):
    assert read(tmp_path, content()) == 3.0
    assert capsys.readouterr().err == ''


@pytest.mark.parametrize(
    'keys',
    [
        ('model', 'ema'),
        ('net', 'model_ema'),
        ('params', 'params_ema'),
        ('state_dict', 'ema_state_dict'),
        ('model', 'averaged_model'),
        ('unet', 'unet_ema'),
        ('model', 'ema_0.999'),
        ('teacher', 'ema'),
    ],
)
def test_average_is_taken_and_said_where_there_is_one(tmp_path, capsys, keys):
    online, average = keys
    content = {online: weights(1.0), average: weights(2.0, 'module.')}
    assert read(tmp_path, content) == 2.0
    said = capsys.readouterr().err
    assert f'the weights under {average}' in said and f'--ema {online}' in said and said.count('\n') == 1
    assert read(tmp_path, content, 'online') == 1.0 and read(tmp_path, content, online) == 1.0


def test_sets_of_one_state_dict_are_told_by_their_prefixes(tmp_path, capsys):
    content = dict(state_dict={**weights(1.0, 'model.'), **weights(2.0, 'ema_model.'), 'loss.scale': torch.zeros(3)})
    assert read(tmp_path, content) == 2.0 and read(tmp_path, content, 'online') == 1.0
    assert '1 tensors of other networks are left out' in capsys.readouterr().err


def test_several_averages_are_chosen_by_their_decays(tmp_path):
    content = {'model': weights(1.0), 'ema_0.99': weights(2.0), 'ema_0.9999': weights(3.0)}
    assert [read(tmp_path, content, each) for each in (None, '0.9999', '0.99', 'online')] == [2.0, 3.0, 2.0, 1.0]
    with pytest.raises(InputError, match="has no average '0.5'; it has model, ema_0.99, ema_0.9999"):
        read(tmp_path, content, '0.5')


def test_average_that_is_not_of_this_network_is_not_taken(tmp_path):
    assert read(tmp_path, dict(model=weights(1.0), ema=dict(shadow=torch.zeros(3)))) == 1.0


def test_averages_of_mmengine_lie_where_its_hook_puts_them(tmp_path):
    content = dict(meta=dict(iter=3), state_dict=weights(2.0), ema_state_dict=weights(1.0, 'module.'))
    assert read(tmp_path, content) == 2.0


def test_log_of_mmengine_is_no_set_of_weights(tmp_path, capsys):
    log = {'train/lr': dict(values=torch.ones(3), count=3)}
    torch.save(dict(state_dict=weights(2.0), message_hub=dict(log_scalars=log)), tmp_path / 'x.pt')
    assert read_backbone(tmp_path / 'x.pt').keys() == weights().keys()  # of a network that is not known
    assert not capsys.readouterr().err


def test_own_checkpoint_with_prefixes_keeps_its_averages(tmp_path):
    content = {
        f'module.{part}.backbone.{key}': value
        for part, number in (('denoiser', 1.0), ('emas.0_9', 2.0))
        for key, value in weights(number).items()
    }
    for nested in (content, dict(state_dict=content), dict(model=content)):
        assert [read(tmp_path, nested, each) for each in (None, 'online', '0.9')] == [2.0, 1.0, 2.0]


def test_sets_without_names_of_averages_are_not_guessed(tmp_path):
    content = dict(first=weights(1.0), second=weights(2.0))
    with pytest.raises(InputError, match='2 sets of weights, .*choose one by --ema, first or second'):
        read(tmp_path, content)
    assert read(tmp_path, content, 'second') == 2.0
    assert read(tmp_path, dict(first=weights(1.0), second=weights(1.0))) == 1.0


@pytest.mark.parametrize(
    'content, match',
    [
        (dict(state={}, param_groups=[]), 'the state of an optimiser .*name the file of the weights beside it'),
        (dict(decay=0.9, shadow_params=[torch.zeros(2)]), 'an average without names .*save its state dict'),
        ([torch.zeros(2)], 'a list: tensors need the names'),
    ],
)
def test_what_has_no_names_is_called_what_it_is(tmp_path, content, match):
    with pytest.raises(InputError, match=match):
        read(tmp_path, content)


def test_part_of_the_names_behind_a_prefix_is_told(tmp_path):
    content = {key: value for key, value in weights(1.0, 'net.').items() if key != 'net.out.bias'}
    with pytest.raises(InputError, match='1 keys are missing: out.bias'):
        read(tmp_path, content)
    content['head.weight'] = torch.zeros(3)
    with pytest.raises(InputError, match="5 of its 6 names are there behind the prefix 'net.'"):
        read(tmp_path, content)


def test_arrays_that_are_no_numbers_are_refused(tmp_path):
    torch.save(dict(a=np.array(['text'])), tmp_path / 'x.pt')
    with pytest.raises(InputError):
        read_backbone(tmp_path / 'x.pt')


def test_choice_that_was_asked_for_is_not_said(tmp_path, capsys):
    assert read(tmp_path, dict(model=weights(1.0), ema=weights(2.0)), 'online') == 1.0
    assert capsys.readouterr().err == ''


def test_keys_of_a_file_are_shown_in_one_line(tmp_path, capsys):
    assert read(tmp_path, {'a\n\x1b[31m': weights(1.0), 'ema': weights(2.0)}) == 2.0
    said = capsys.readouterr().err
    assert said.count('\n') == 1 and '\\x1b[31m' in said


def test_dictionary_that_occurs_often_takes_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr('mmcm.checkpoints.formats.foreign_weights.MAX_TENSORS', 40)
    again = weights(1.0)
    with pytest.raises(InputError, match='more than 40 tensors under its keys'):
        read(tmp_path, {f'net{index}': again for index in range(9)})
