"""`model.init_from`: a name, or a dict, also for a part of a checkpoint; from every format."""

import logging

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger

from mmcm.checkpoints.formats.diffusers_folder import write_folder
from mmcm.checkpoints.write import write_safetensors
from mmcm.datasets.class_names import class_names
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from support.digits import BACKBONE, build, model_config, objective_config

FEW = dict(BACKBONE, num_classes=3)  # three of the ten digits


def denoiser(**changes):
    return dict(type='KarrasDenoiser', backbone=dict(FEW, **changes))


def initial(init_from, names=(), **changes):
    """Return a model of three classes whose weights are initialised."""
    torch.manual_seed(5)
    model = MODELS.build(
        model_config(**dict(dict(denoiser=denoiser(), objective=objective_config(), ema_decays=(0.9,)), **changes))
        | dict(init_from=init_from)
    )
    model.class_names = names
    model.start = None if model.num_classes is None else model.denoiser.backbone.label_emb.weight.detach().clone()
    model.init_weights()
    return model


def write(folder, name):
    """Write a checkpoint of ten classes in one format; return its path and the weights that it is to be read as."""
    model = build(seed=3, ema_decays=(0.99,))
    weights = model.denoiser.backbone.state_dict()
    averaged = {key: 2 * value for key, value in weights.items()}
    config = Config(dict(model=model_config())).pretty_text
    path = folder / name
    if name == 'openai.pt':
        torch.save(weights, path)
    elif name == 'nested.pt':
        torch.save(dict(model=weights, model_ema={f'module.{key}': value for key, value in averaged.items()}), path)
        return path, averaged
    elif name == 'published.safetensors':
        write_safetensors(path, weights, dict(config=config))
    elif name == 'folder':
        write_folder(path, model_config(), weights)
    else:
        state = {f'denoiser.backbone.{key}': value for key, value in weights.items()}
        state |= {f'emas.0_99.backbone.{key}': value for key, value in averaged.items()}
        torch.save(dict(meta=dict(cfg=config), state_dict=state), path)
        return path, averaged
    return path, weights


@pytest.mark.parametrize('name', ['openai.pt', 'nested.pt', 'published.safetensors', 'folder', 'run.pth'])
def test_every_format_starts_a_network_with_other_classes(tmp_path, name):
    path, expected = write(tmp_path, name)
    model = initial(dict(checkpoint=str(path), partial=True))
    for network in (model.denoiser, model.target, model.emas['0_9']):
        own = network.backbone.state_dict()
        assert all(torch.equal(own[key], value) for key, value in expected.items() if key != 'label_emb.weight')
        deviation, mean = torch.std_mean(expected['label_emb.weight'], 0, correction=0)
        torch.testing.assert_close(own['label_emb.weight'], mean + deviation * initial(None).start)
    report = model.initial_load
    assert report.ratio == 1 and list(report.adapted) == ['label_emb.weight'] and str(path) in report.source


def test_model_of_the_zoo_starts_a_network_of_colour_images_of_another_size():
    backbone = dict(  # as adm_digits-8x8, with 16 x 16 colour pixels and twelve classes
        dict(BACKBONE, attention_resolutions=(8,), channel_mult=(1, 2), num_head_channels=32, resblock_updown=True),
        image_size=16,
        in_channels=3,
        out_channels=3,
        num_classes=12,
    )
    model = initial(
        dict(checkpoint='edm_digits', partial=True), denoiser=dict(type='KarrasDenoiser', backbone=backbone)
    )
    report = model.initial_load
    assert report.ratio == 1 and not report.new and len(report.adapted) == 4
    assert '10 classes by number, 2 new ones' in report.adapted['label_emb.weight']


@pytest.mark.parametrize('size', [(8, 12), (24, 16), 32])
def test_network_for_images_of_other_proportions_takes_all_weights(tmp_path, size):
    path, expected = write(tmp_path, 'openai.pt')
    model = initial(dict(checkpoint=str(path), partial=True), denoiser=denoiser(image_size=size, num_classes=10))
    assert model.initial_load.ratio == 1 and not model.initial_load.adapted
    own = model.denoiser.backbone.state_dict()
    assert all(torch.equal(own[key], value) for key, value in expected.items())
    height, width = (size, size) if isinstance(size, int) else size
    assert model.sample(1, labels=2).shape == (1, 1, height, width)


def test_average_is_chosen_by_name(tmp_path):
    path, averaged = write(tmp_path, 'run.pth')
    model = initial(dict(checkpoint=str(path), average='online', partial=True))
    assert torch.equal(model.denoiser.backbone.out[2].weight, averaged['out.2.weight'] / 2)
    with pytest.raises(InputError, match=r"no average '0.5'; it has online, 0.99"):
        initial(dict(checkpoint=str(path), average='0.5', partial=True))
    whole = initial(dict(checkpoint=str(path), average='online'), denoiser=denoiser(num_classes=10))
    assert torch.equal(whole.denoiser.backbone.out[2].weight, averaged['out.2.weight'] / 2)
    assert whole.initial_load is None


def test_names_of_the_data_choose_the_rows(tmp_path):
    weights = build(seed=3).denoiser.backbone.state_dict()
    config = Config(dict(model=model_config(), class_names=[f'digit {number}' for number in range(10)])).pretty_text
    write_safetensors(tmp_path / 'x.safetensors', weights, dict(config=config))
    start = dict(checkpoint=str(tmp_path / 'x.safetensors'), partial=True)
    table = initial(start, class_names(['Digit 7', 'letter', 'digit 2'])).denoiser.backbone.label_emb.weight.detach()
    theirs = weights['label_emb.weight']
    new = theirs.mean(0) + theirs.std(0, correction=0) * initial(None).start
    torch.testing.assert_close(table, torch.stack([theirs[7], new[1], theirs[2]]))
    table = initial(dict(start, classes=['digit 1', 4, None])).denoiser.backbone.label_emb.weight.detach()
    torch.testing.assert_close(table, torch.stack([theirs[1], theirs[4], new[2]]))


def test_log_has_the_report_in_a_line(tmp_path, caplog):
    path, _ = write(tmp_path, 'openai.pt')
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.INFO, logger.name):
            model = initial(dict(checkpoint=str(path), partial=True))
    finally:
        logger.removeHandler(caplog.handler)
    assert f'{model.initial_load}.' in caplog.messages


def test_whole_weights_that_do_not_fit_are_refused_with_the_way_to_a_part(tmp_path):
    path, _ = write(tmp_path, 'openai.pt')
    for start in (str(path), dict(checkpoint=str(path)), dict(checkpoint=str(path), partial=False)):
        with pytest.raises(InputError, match=r'shapes differ: label_emb.weight|partial=True'):
            initial(start)
    assert initial(dict(checkpoint=str(path)), denoiser=denoiser(num_classes=10)).initial_load is None


def test_teacher_is_a_start_for_a_student_of_another_shape(tmp_path):
    path, weights = write(tmp_path, 'openai.pt')
    model = initial(
        dict(checkpoint='teacher', partial=True),
        denoiser=denoiser(num_classes=10, augment_dim=9),
        objective=objective_config('ConsistencyDistillation'),
        teacher=dict(checkpoint=str(path), denoiser=dict(backbone=dict(augment_dim=None))),
    )
    assert model.initial_load.new == {'augment_emb.weight': ''}
    assert torch.equal(model.denoiser.backbone.out[2].weight, weights['out.2.weight'])


@pytest.mark.parametrize(
    'init_from, message',
    [
        (3, 'has to be the name of a checkpoint or dict'),
        (dict(partial=True), 'needs a checkpoint'),
        (dict(checkpoint='x', parital=True), "got 'parital', nearest: partial"),
        (dict(checkpoint='x', partial='yes'), 'partial has to be True or False'),
        (dict(checkpoint='x', average=0.9), "average has to be text, such as '0.999'"),
        (dict(checkpoint='x', partial=True, classes=3), 'classes has to be a list'),
        (dict(checkpoint='x', classes=[0]), 'needs model.init_from.partial=True'),
        (dict(checkpoint='teacher', partial=True), 'the objective has no use for one'),
    ],
)
def test_settings_that_cannot_be_used_are_refused_at_once(init_from, message):
    with pytest.raises(InputError, match=message):
        MODELS.build(model_config(objective=objective_config(), init_from=init_from))


def test_classes_for_a_network_without_classes_are_refused(tmp_path):
    path, _ = write(tmp_path, 'openai.pt')
    with pytest.raises(InputError, match='the model or the checkpoint has no classes'):
        initial(dict(checkpoint=str(path), partial=True, classes=[1]), denoiser=denoiser(num_classes=None))


def test_weights_of_another_kind_of_network_are_refused_with_their_names(tmp_path):
    torch.save({'enc.8x8_conv.weight': torch.zeros(2), 'enc.8x8_conv.bias': torch.zeros(2)}, tmp_path / 'x.pt')
    with pytest.raises(InputError, match=r'hardly anything of .*: 0.0%.*It has enc.8x8_conv.weight'):
        initial(dict(checkpoint=str(tmp_path / 'x.pt'), partial=True))
