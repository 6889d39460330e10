import subprocess
import sys
from pathlib import Path

import pytest

from mmcm.apis.new import new_config as module
from mmcm.apis.new import planner
from mmcm.apis.new.budget import Costs
from mmcm.apis.new.choose import Data, augments, step_operations
from mmcm.apis.new.measure import Measurement, TooLarge
from mmcm.apis.new.methods import stages_of
from mmcm.apis.new.networks import NETWORKS
from mmcm.apis.new.new_config import new_config
from mmcm.apis.new.report import lines_of
from mmcm.apis.new.request import Request
from mmcm.apis.new.source import Source
from mmcm.config import read_config
from mmcm.utils.errors import InputError
from support.own_pictures import write_flawed, write_icons, write_photo_crops

RATE = 1e11  # operations per second of the machine that is simulated


class Machine:
    """A machine of a known speed and memory, in place of `measure`.

    Attributes:
        texts (list[str]): The configs that were measured.
    """

    def __init__(self, most=64, pause=1.0):
        self.texts, self.most, self.pause = [], most, pause

    def __call__(self, text, work_dir, limit, threads=None, seconds=6.0):
        self.texts.append(text)
        (work_dir / 'run').mkdir(parents=True)
        path = work_dir / 'probe.py'
        path.write_text(text)
        config = read_config(path)
        batch = config.train_dataloader.batch_size
        if batch > self.most:
            raise TooLarge('it is simulated')
        width = config.model.denoiser.backbone.base_channels
        (network,) = (network for network in NETWORKS if network.base_channels == width)
        operations = batch * step_operations(network, self.data(config))
        return Measurement(Costs(5.0, operations / RATE, self.pause, 1.0), (threads or [1])[0], 10**6 * batch)

    @staticmethod
    def data(config):
        backbone = config.model.denoiser.backbone
        classes = ('x',) * (backbone.get('num_classes') or 0)
        return Data({}, 10**5, (backbone.image_size,) * 2, backbone.in_channels, classes)


@pytest.fixture
def machine(monkeypatch):
    machine = Machine()
    monkeypatch.setattr(planner, 'measure', machine)
    monkeypatch.setattr(planner, 'augments', lambda *numbers: False)
    return machine


def request(folder, tmp_path, method='edm+cd', budget=600, start=None, size=(16, 16), **kwargs):
    outs = [tmp_path / f'own_{stage}.py' for stage, _ in stages_of(method, start is not None)[:-1]]
    source = Source(str(folder), size, **kwargs)
    return Request(source, (*outs, tmp_path / 'own.py'), tmp_path / 'own.npz', method, budget, start)


def test_chain_fills_the_budget_and_names_the_first_run(machine, tmp_path):
    asked = request(write_icons(tmp_path / 'images', 30, 24), tmp_path)
    result = new_config(asked, lambda line: None)
    assert [training.plan.stage for training in result.trainings] == ['edm', 'cd']
    first, second = (read_config(training.out) for training in result.trainings)
    assert second.model.teacher.checkpoint == 'work_dirs/own_edm'
    assert first.model.denoiser.backbone == second.model.denoiser.backbone
    assert sum(training.seconds for training in result.trainings) == pytest.approx(600, rel=0.05)
    text = '\n'.join(lines_of(result, asked))
    assert f'mmcm train {asked.outs[0]} {asked.outs[1]}' in text and 'work_dirs/own -n 36' in text
    assert '30 of 30 images' in text and 'about 10 min' in text.replace('about 9 min 59 s', 'about 10 min')


def test_distillation_is_measured_with_the_checkpoint_of_the_first_measurement(machine, tmp_path):
    new_config(request(write_icons(tmp_path / 'images', 6, 16), tmp_path), lambda line: None)
    named = machine.texts[-1].split('checkpoint=')[-1].split(')')[0].strip("'")
    assert Path(named).name == 'run' and 'work_dirs' not in named


def test_batch_is_halved_until_it_fits(machine, tmp_path):
    machine.most = 4
    result = new_config(request(write_photo_crops(tmp_path / 'images', 40, (16, 16)), tmp_path), lambda line: None)
    assert {training.plan.batch_size for training in result.trainings} == {4}
    assert all(training.memory == 4 * 10**6 for training in result.trainings)


def test_network_that_does_not_fit_is_refused_and_nothing_is_written(machine, tmp_path):
    machine.most = 0
    asked = request(write_photo_crops(tmp_path / 'images', 20, (16, 16)), tmp_path)
    with pytest.raises(InputError, match='does not fit into memory with a single image'):
        new_config(asked, lambda line: None)
    assert not any(out.exists() for out in asked.outs)


def test_more_time_takes_a_larger_network(machine, tmp_path):
    folder = write_photo_crops(tmp_path / 'images', 40, (16, 16))
    widths = []
    for budget in (300, 10**5):
        result = new_config(request(folder, tmp_path, budget=budget), lambda line: None)
        widths.append(read_config(result.trainings[0].out).model.denoiser.backbone.base_channels)
    assert widths == [16, 32]  # 40 images allow no wider one


def test_few_images_that_are_seen_often_are_augmented(machine, tmp_path, monkeypatch):
    monkeypatch.setattr(planner, 'augments', augments)
    folder = write_icons(tmp_path / 'images', 30, 16)
    first, second = (
        read_config(training.out).model
        for training in new_config(request(folder, tmp_path, budget=3600), lambda line: None).trainings
    )
    assert first.augmentation.type == 'EDMAugmentation' and 'augmentation' not in second
    assert first.denoiser.backbone.augment_dim == second.denoiser.backbone.augment_dim == 9


@pytest.mark.parametrize('budget, batch_size', [(60, 16), (3600, 32)])
def test_batch_is_halved_where_the_time_is_for_few_steps(machine, tmp_path, budget, batch_size):
    folder = write_photo_crops(tmp_path / 'images', 40, (16, 16))
    result = new_config(request(folder, tmp_path, 'ict', budget), lambda line: None)
    assert result.trainings[0].plan.batch_size == batch_size


def test_tuning_starts_from_a_model_of_the_zoo(machine, tmp_path):
    folder = write_photo_crops(tmp_path / 'images', 20, (32, 32))
    asked = request(folder, tmp_path, 'ect', start='photo_patches', size=(32, 32))
    result = new_config(asked, lambda line: None)
    (training,) = result.trainings
    assert any('that of photo_patches, 1.9' in line for line in lines_of(result, asked))
    config = read_config(training.out)
    assert config.model.init_from == dict(checkpoint='photo_patches', partial=True)
    assert config.optim_wrapper.optimizer.lr == 1e-4


def test_broken_files_and_duplicates_are_named(machine, tmp_path):
    folder, files = write_flawed(tmp_path / 'images', 20)
    asked = request(folder, tmp_path, 'ict')
    text = '\n'.join(lines_of(new_config(asked, lambda line: None), asked))
    assert all(str(file) in text for file in files)
    assert text.count(str(files[2])) == 1  # once, although both the look and the packing have seen it


def test_images_that_are_slow_to_pack_are_decoded_while_training(machine, tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'pays_to_pack', lambda *arguments: False)
    folder = write_icons(tmp_path / 'images', 120, 16)
    asked = request(folder, tmp_path, 'ict')
    result = new_config(asked, lambda line: None)
    config = read_config(result.trainings[0].out)
    assert config.train_dataloader.dataset.type == 'ImageFolder' and not asked.pack.exists()


@pytest.mark.slow
def test_command_makes_a_chain_that_trains_and_samples(tmp_path):
    write_icons(tmp_path / 'icons', 12, 16)

    def run(*arguments):
        command = [sys.executable, '-m', 'mmcm', *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    told = run('new', 'icons', '--size', '8', '--budget', '10m', '--out', 'own.py')
    assert 'mmcm train own_edm.py own.py' in told
    short = ['--cfg-options', 'train_cfg.max_iters=3']
    run('train', 'own_edm.py', 'own.py', *short)
    run('sample', '--model', 'work_dirs/own', '--labels', 'star', '--out', 'star.png')
    assert (tmp_path / 'star.png').exists()
