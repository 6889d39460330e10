import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmcm.cli.statistics import default_extractor, main
from mmcm.evaluation import image_statistics
from mmcm.registry import DATASETS, METRICS
from mmcm.structures import DataSample
from support.image_folders import write_transparent_folder

DIGITS = 'cd_1xb32_digits-8x8'
CLASSIFIER = dict(type='DigitsClassifier', checkpoint='package:weights/digits_classifier.safetensors')
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('MMCM_HOME', str(tmp_path / 'cache'))


def images_of_digits():
    dataset = DATASETS.build(dict(type='DigitsDataset'))
    return [dataset[index]['inputs'] for index in range(len(dataset))]


def distance_to(reference):
    metric = METRICS.build(dict(type='FrechetDistance', extractor=CLASSIFIER, reference=str(reference)))
    metric.process(None, [dict(fake_img=image) for image in images_of_digits()])
    return metric.evaluate()['frechet/distance']


def test_statistics_of_a_config_are_a_reference(tmp_path, capsys):
    main([DIGITS, '--out', str(tmp_path / 'new' / 'ref.npz')])
    assert f'1797 images of {DIGITS}, seen by DigitsClassifier, 64 features' in capsys.readouterr().out
    assert distance_to(tmp_path / 'new' / 'ref.npz') == pytest.approx(0, abs=1e-9)


def test_anyones_images_have_statistics(tmp_path, capsys):
    images = np.stack([image.permute(1, 2, 0).numpy() for image in images_of_digits()])
    np.savez(tmp_path / 'images.npz', images)  # without labels
    main([str(tmp_path / 'images.npz'), '--out', str(tmp_path / 'ref.npz'), '--features', '-n', '900', '--extractor',
          'DigitsClassifier', f'checkpoint={CLASSIFIER["checkpoint"]}'])  # yapf: disable
    assert '900 images' in capsys.readouterr().out
    with np.load(tmp_path / 'ref.npz') as file:
        assert file['features'].shape == (900, 64)
    metric = METRICS.build(dict(type='PrecisionRecall', extractor=CLASSIFIER, reference=str(tmp_path / 'ref.npz')))
    metric.process(None, [DataSample.of(fake_img=image).to_dict() for image in images_of_digits()])
    assert metric.evaluate()['manifold/recall'] == 1.0


def test_a_file_that_is_there_is_kept_unless_it_is_to_be_replaced(tmp_path, capsys):
    out = tmp_path / 'ref.npz'
    out.write_bytes(b'mine')
    with pytest.raises(SystemExit):
        main([DIGITS, '--out', str(out)])
    assert 'exists: give --force' in capsys.readouterr().err and out.read_bytes() == b'mine'
    main([DIGITS, '--out', str(out), '--force'])
    assert 'mu' in np.load(out)


def test_settings_of_the_config_may_be_changed(tmp_path, capsys):
    main([DIGITS, '--out', str(tmp_path / 'ref.npz'), '--cfg-options', 'train_dataloader.dataset.split=test'])
    number = len(DATASETS.build(dict(type='DigitsDataset', split='test')))
    assert f'{number} images' in capsys.readouterr().out and number < 1797


def test_network_has_settings_of_its_own(tmp_path, capsys):
    main(
        [
            DIGITS,
            '--out',
            str(tmp_path / 'ref.npz'),
            '--extractor',
            'NetworkFeatures',
            'network.type=torch.nn.AvgPool2d',
            'network.kernel_size=4',
            'rgb=False',
            'value_range=[0,1]',
        ]
    )
    assert 'seen by NetworkFeatures, 4 features' in capsys.readouterr().out


def test_grey_pictures_have_statistics_of_the_classifier_of_digits(tmp_path):
    folder = tmp_path / 'pictures'
    folder.mkdir()
    for index, image in enumerate(images_of_digits()):
        cv2.imwrite(str(folder / f'{index:04d}.png'), image[0].numpy())
    main(
        [
            str(folder),
            '--out',
            str(tmp_path / 'ref.npz'),
            '--extractor',
            'DigitsClassifier',
            f'checkpoint={CLASSIFIER["checkpoint"]}',
        ]
    )
    assert distance_to(tmp_path / 'ref.npz') == pytest.approx(0, abs=1e-9)


def test_extractor_is_that_of_the_evaluation_else_inception(tmp_path):
    assert default_extractor(DIGITS) == default_extractor('digits') == CLASSIFIER
    assert default_extractor(str(tmp_path)) == dict(type='InceptionV3')


@pytest.mark.parametrize(
    'arguments, match',
    [
        (['nowhere.npz', '--out', 'ref.npz'], 'nowhere.npz'),
        (['nowhere', '--out', 'ref.npz'], 'nowhere is no data set'),
        ([DIGITS, '--out', 'ref.pt'], '--out has to be an npz file, got ref.pt'),
        ([DIGITS, '--out', 'ref.npz', '-n', '1'], 'num_images has to be an integer of at least 2'),
        ([DIGITS, '--out', 'ref.npz', '--workers', '-1'], 'num_workers'),
        ([DIGITS, '--out', 'ref.npz', '--extractor', 'Nobody'], "no model 'Nobody'"),
        ([DIGITS, '--out', 'ref.npz', '--extractor', 'InceptionV3', 'size=3'], "InceptionV3 takes no 'size'"),
        ([DIGITS, '--out', 'ref.npz', '--extractor', 'InceptionV3', 'checkpoint=no.pth'], 'no.pth'),
        ([DIGITS], 'required: --out'),
        ([DIGITS, '--out', 'ref.npz', '--size', '16'], f'--size is for images in files; {DIGITS} says what'),
        (
            [DIGITS, '--out', 'ref.npz', '--extractor', 'NetworkFeatures', 'network=torchvision.models.nosuch'],
            "there is no model 'torchvision.models.nosuch'",
        ),
        ([DIGITS, '--out', 'ref.npz', '--extractor', 'NetworkFeatures', 'network=3'], 'network has to be the config'),
        ([DIGITS, '--out', 'ref.npz', '--extractor', 'DigitsClassifier', 'checkpoint=5'], '5'),
        ([DIGITS, '--out', 'ref.npz', '--cfg-options', 'train_dataloder.x=5'], "reads a setting 'train_dataloder'"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(tmp_path, monkeypatch, capsys, arguments, match):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    error = capsys.readouterr().err
    assert stop.value.code == 2 and match in error and error.count('\n') == 1
    assert not Path('ref.npz').exists()


def test_script_has_help():
    script = ROOT / 'tools/dataset_converters/reference_statistics.py'
    result = subprocess.run([sys.executable, script, '--help'], capture_output=True, text=True, check=True)
    assert 'reference_statistics.py cd_1xb32_digits-8x8 --out digits.npz' in result.stdout


def test_transparent_images_are_composited_and_counted(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(image_statistics, 'print_log', lambda text, *_: lines.append(text))
    folder = write_transparent_folder(tmp_path / 'images', count=40)
    grey = ['--extractor', 'DigitsClassifier', f'checkpoint={CLASSIFIER["checkpoint"]}']
    for path in folder.glob('*/*.png'):  # without colours, as the digits
        cv2.imwrite(str(path), cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[..., [2, 2, 2, 3]])
    means = []
    for background in ('white', 'black', 'white'):
        main([str(folder), '--out', str(tmp_path / 'ref.npz'), '--force', '--background', background, *grey])
        with np.load(tmp_path / 'ref.npz') as file:
            means.append(file['mu'])
    assert np.array_equal(means[0], means[2]) and np.abs(means[0] - means[1]).max() > 0.1
    assert any('composited 40 of 40 images with transparency on black' in line for line in lines)
