"""MMagicInferencer draws with our models what our own inferencer draws."""

import cv2
import pytest
import torch
from mmengine.config import Config

from mmcm.apis import ConsistencyModelInferencer
from mmcm.utils.errors import InputError
from mmcm.zoo import list_models
from support.digits import BACKBONE, build, model_config, write_config
from support.pictures import pixels

FAMILY = 'consistency_models'
CONFIG = 'configs/digits/cd_1xb32_digits-8x8.py'
pytestmark = pytest.mark.filterwarnings('ignore:.* is overridden by')


def same(images, drawing):
    """Return whether MMagic's result, RGB in [0, 1], is what a drawing of ours has."""
    return torch.equal((images * 255).round().to(torch.uint8), drawing.pixels.expand(-1, 3, -1, -1))


def test_models_are_listed(inferencer):
    assert FAMILY in inferencer.get_inference_supported_models()
    assert 'conditional' in inferencer.get_inference_supported_tasks()
    assert inferencer.get_task_supported_models('conditional') == [FAMILY]
    assert len(inferencer.get_task_supported_models('Conditional GANs')) > 1  # theirs are still there


def test_config_and_checkpoint(inferencer, tmp_path):
    editor = inferencer(FAMILY, model_config=CONFIG, model_ckpt='digits', device='cpu')
    result, images = editor.infer(label=3, result_out_dir=str(tmp_path / 'three.png'))
    drawing = ConsistencyModelInferencer('digits', device='cpu')(4, 3, seed=2022)
    assert same(images, drawing)
    assert result['fake_img'].shape == (3, 8, 8) and result['gt_label'].tolist() == [3]
    drawing.save(tmp_path / 'ours.png')
    assert pixels(tmp_path / 'three.png') == pixels(tmp_path / 'ours.png')


@pytest.mark.parametrize(
    'named',
    [
        dict(config_name='digits'),
        dict(model_setting=[model.name for model in list_models()].index('digits')),
        dict(model_config='digits'),
        dict(model_config='cd_1xb32_digits-8x8'),
    ],
)
def test_ways_to_name_a_model(inferencer, named):
    editor = inferencer(FAMILY, device='cpu', seed=5, extra_parameters=dict(num_batches=6), **named)
    _, images = editor.infer(label=[3, 1, 4])
    assert same(images, ConsistencyModelInferencer('digits', device='cpu')(6, [3, 1, 4], seed=5))


def test_name_alone_is_the_first_model_of_the_zoo(inferencer, tmp_path, monkeypatch):
    monkeypatch.setenv('MMCM_HOME', str(tmp_path))
    monkeypatch.setattr(
        'mmcm.checkpoints.checkpoint.resolve_checkpoint', lambda source, *_, **__: pytest.fail(f'reads {source}')
    )
    with pytest.raises(pytest.fail.Exception, match=f'reads {list_models()[0].name}$'):
        inferencer(FAMILY, device='cpu')


def test_random_labels_and_names_of_files(inferencer, tmp_path):
    editor = inferencer(FAMILY, config_name='digits', device='cpu', extra_parameters=dict(num_batches=5))
    editor.infer(result_out_dir=str(tmp_path / 'images'))
    drawing = ConsistencyModelInferencer('digits', device='cpu')(5, seed=2022)
    assert sorted(path.name for path in (tmp_path / 'images').iterdir()) == [
        f'00000{index}_label{label}.png' for index, label in enumerate(drawing.labels)
    ]


def test_settings_of_the_sampler(inferencer):
    sampler = dict(indices=(0, 6), num_scales=18)
    editor = inferencer(FAMILY, config_name='digits', device='cpu', extra_parameters=dict(sampler=sampler))
    _, images = editor.infer(label=3)
    assert same(images, ConsistencyModelInferencer('digits', device='cpu', sampler=sampler)(4, 3, seed=2022))


def test_colours_and_models_without_classes(inferencer, tmp_path):
    coloured = dict(type='KarrasDenoiser', backbone=dict(BACKBONE, in_channels=3, out_channels=3, num_classes=None))
    torch.save(build(denoiser=coloured).denoiser.backbone.state_dict(), tmp_path / 'tiny.pt')
    config = write_config(tmp_path, model=model_config(denoiser=coloured))
    editor = inferencer(FAMILY, model_config=str(config), model_ckpt=str(tmp_path / 'tiny.pt'), device='cpu')
    result, images = editor.infer(result_out_dir=str(tmp_path / 'x.png'))
    drawing = ConsistencyModelInferencer(config, str(tmp_path / 'tiny.pt'), device='cpu')(4, seed=2022)
    assert same(images, drawing) and result['gt_label'] is None
    assert (cv2.imread(str(tmp_path / 'x.png'))[..., ::-1] == drawing.sheet()).all()
    assert (drawing.pixels[:, 0] != drawing.pixels[:, 2]).any()


def test_configs_of_their_own_implementation(inferencer, tmp_path):
    network = dict(
        type='ConsistencyUNetModel', in_channels=3, model_channels=32, num_res_blocks=1, num_head_channels=32
    )
    model = dict(
        type='ConsistencyModel',
        unet=network,
        denoiser=dict(type='KarrasDenoiser'),
        image_size=16,
        channel_mult='1,2',
        attention_resolutions='8',
        class_cond=True,
        num_classes=10,
        sampler='multistep',
        ts='0,22,39',
        model_path=str(tmp_path / 'tiny.pt'),
        seed=42,
        generator='determ-indiv',
    )
    Config(dict(model=model, default_scope='mmagic')).dump(tmp_path / 'theirs.py')
    from mmcm.checkpoints.formats.mmagic_config import translate_model
    from mmcm.registry import MODELS as OURS

    translated = OURS.build(translate_model(model)[0])
    torch.save(translated.denoiser.backbone.state_dict(), tmp_path / 'tiny.pt')

    editor = inferencer(FAMILY, model_config=str(tmp_path / 'theirs.py'), device='cpu')
    _, images = editor.infer(label=7)
    assert same(images, ConsistencyModelInferencer(tmp_path / 'theirs.py', device='cpu')(4, 7, seed=2022))

    from mmagic.registry import MODELS

    built = MODELS.build(model)
    images, labels = built.infer(class_id=7)
    assert labels.tolist() == [7] * 4
    answered = built(dict(num_batches=4, labels=7, sample_model='orig'))
    assert (torch.stack([sample.fake_img for sample in answered]).flip(1).permute(0, 2, 3, 1).numpy() == images).all()


@pytest.mark.parametrize(
    'label, named, expected',
    [
        (10, dict(config_name='digits'), 'label 10'),
        (0, dict(model_config='digits', model_ckpt='digitz'), 'digitz'),
        (0, dict(model_config='diggits'), 'diggits'),
        (0, dict(config_name='digits', extra_parameters=dict(num_batch=3)), "'num_batch', nearest: num_batches"),
        (0, dict(config_name='digits', extra_parameters=dict(num_batches=0)), 'num_batches'),
        (0, dict(config_name='digits', extra_parameters=dict(sample_model='emma')), 'emma'),
    ],
)
def test_bad_input(inferencer, label, named, expected):
    with pytest.raises(InputError, match=expected):
        inferencer(FAMILY, device='cpu', **named).infer(label=label)


def test_file_that_cannot_be_written_is_told_before_drawing(inferencer, tmp_path):
    editor = inferencer(FAMILY, config_name='digits', device='cpu')
    with pytest.raises(InputError, match='suffix'):
        editor.infer(label=3, result_out_dir=str(tmp_path / 'x.xyz'))
    with pytest.raises(InputError, match='sampler'):
        editor.infer(label=3, extra_parameters=dict(sampler=dict(indices=(0,))))
