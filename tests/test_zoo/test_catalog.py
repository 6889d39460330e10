import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mmcm.utils.errors import InputError
from mmcm.zoo import ZooModel, catalog, config_files, find, find_config, list_models, root

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = ('consistency_models', 'edm')
INDEX = 'Import:\n- configs/a/metafile.yml\n- configs/b/metafile.yml\n'
CD = """
- Name: cd
  In Collection: Consistency Models
  Config: configs/a/cd_64x64.py
  Sampler: {indices: [0, 22], num_scales: 40}
  Results:
  - {Task: conditional, Dataset: imagenet1k, Calls: 1, Metrics: {FID: 6.2}}
  Metadata: {Method: CD lpips, Resolution: 64, Classes: 1000}
  Weights: https://localhost/cd.pt
  Mirrors: [https://localhost/mirror/cd.pt]
  SHA256: abc
Collections:
- {Name: Consistency Models, Model Card: configs/a/MODEL_CARD.md}
"""


def make_root(folder, a=CD, b='\n- {Name: recipe, Config: configs/b/recipe.py}\n'):
    for name, models in {'a': a, 'b': b}.items():
        (folder / 'configs' / name).mkdir(parents=True)
        (folder / 'configs' / name / 'metafile.yml').write_text(f'Models:{models}', encoding='utf-8')
    for config in ('a/cd_64x64.py', 'b/recipe.py', 'a/twice.py', 'b/twice.py', '_base_/models/adm.py'):
        (folder / 'configs' / config).parent.mkdir(parents=True, exist_ok=True)
        (folder / 'configs' / config).touch()
    (folder / 'model-index.yml').write_text(INDEX)
    return folder


@pytest.fixture
def use_root(tmp_path, monkeypatch):

    def use(**metafiles):
        folder = make_root(tmp_path / 'zoo', **metafiles)
        monkeypatch.setattr(catalog, 'root', lambda: folder)
        monkeypatch.setattr(config_files, 'root', lambda: folder)
        return folder

    return use


@pytest.fixture
def small_zoo(use_root):
    return use_root()


def test_root_is_the_repository_in_a_checkout():
    assert root() == REPOSITORY


def test_root_is_the_mim_folder_in_a_wheel(tmp_path, monkeypatch):
    package = tmp_path / 'site-packages' / 'mmcm'
    package.mkdir(parents=True)
    monkeypatch.setattr(config_files, 'PACKAGE', package)
    with pytest.raises(InputError, match='install it again'):
        root()
    make_root(package / '.mim')
    assert root() == package / '.mim'


def test_metafile_entry_becomes_a_model(small_zoo):
    assert list_models() == [
        ZooModel(
            name='cd',
            config='configs/a/cd_64x64.py',
            weights='https://localhost/cd.pt',
            dataset='imagenet1k',
            collection='Consistency Models',
            sampler={'indices': (0, 22), 'num_scales': 40},
            results=({'Task': 'conditional', 'Dataset': 'imagenet1k', 'Calls': 1, 'Metrics': {'FID': 6.2}},),
            sha256='abc',
            mirrors=('https://localhost/mirror/cd.pt',),
            method='CD lpips',
            resolution=64,
            num_classes=1000,
            card='configs/a/MODEL_CARD.md',
        ),
        ZooModel(name='recipe', config='configs/b/recipe.py'),
    ]


def test_listed_models_cannot_be_changed(small_zoo):
    with pytest.raises(TypeError, match='does not support item assignment'):
        find('cd').sampler['num_scales'] = 2
    with pytest.raises(TypeError, match='does not support item assignment'):
        find('cd').results[0]['Metrics']['FID'] = 1.0
    list_models().clear()
    assert len(list_models()) == 2


def test_two_models_with_one_name_are_refused(use_root):
    use_root(b=CD)
    with pytest.raises(InputError, match="'cd' exists already"):
        list_models()


def test_model_without_config_is_refused(use_root):
    use_root(b='\n- Name: x\n')
    with pytest.raises(InputError, match="'x' has no 'Config'"):
        list_models()


def test_config_is_found_by_name_and_by_path(small_zoo, tmp_path, monkeypatch):
    expected = small_zoo / 'configs' / 'a' / 'cd_64x64.py'
    monkeypatch.chdir(tmp_path)
    assert find_config('cd_64x64') == find_config('cd_64x64.py') == expected
    assert find_config('configs/a/cd_64x64.py') == find_config(expected) == expected
    Path('own.py').touch()
    assert find_config('own.py') == Path('own.py')


def test_unknown_config_names_the_nearest(small_zoo):
    with pytest.raises(InputError, match='nearest: cd_64x64$'):
        find_config('cd_64x46.py')
    with pytest.raises(InputError, match="no config 'adm'"):
        find_config('adm')  # a base is no config that one can run
    with pytest.raises(InputError, match='configs/a/twice.py, configs/b/twice.py'):
        find_config('twice')


def released():
    entries = []
    for folder in FOLDERS:
        metafile = (REPOSITORY / 'configs' / folder / 'metafile.yml').read_text(encoding='utf-8')
        entries += yaml.safe_load(metafile)['Models']
    return entries


def test_the_zoo_lists_every_released_checkpoint():
    models = {model.name: model for model in list_models()}
    assert len(released()) == 12
    for entry in released():
        assert models[entry['Name']].weights == entry['Weights']
    assert models['ct_imagenet64'].sampler == {'indices': (0, 106), 'num_scales': 201}
    assert models['edm_cat256_ema'].sampler is None


def test_every_model_of_the_zoo_names_a_config_that_exists():
    assert [model.config for model in list_models() if not (root() / model.config).is_file()] == []


def test_resolution_and_classes_of_the_zoo_are_those_of_the_configs():
    from mmcm.config import read_config

    for model in list_models():
        backbone = read_config(model.config).model.denoiser.backbone
        assert (model.resolution, model.num_classes) == (backbone.image_size, backbone.get('num_classes')), model.name


def test_every_packaged_weight_of_the_zoo_exists():
    packaged = [model.weights for model in list_models() if (model.weights or '').startswith('package:')]
    assert [weights for weights in packaged if not (config_files.PACKAGE / weights[len('package:') :]).is_file()] == []


def test_unknown_model_names_the_nearest_in_one_line():
    with pytest.raises(InputError, match="no model 'cd_imagenet64-L2'.* nearest: cd_imagenet64_l2,") as caught:
        find('cd_imagenet64-L2')
    assert '\n' not in str(caught.value)


def test_listing_the_zoo_needs_no_torch():
    code = 'import sys, mmcm.zoo as zoo; zoo.list_models(); print({"torch", "mmengine", "rich"} & set(sys.modules))'
    listed = subprocess.run([sys.executable, '-c', code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert listed.stdout.strip() == 'set()'


def table_rows(readme):
    """Return name, data, metric, files of the configs, two-step points and address of each row of the table."""
    rows = []
    for line in readme.read_text(encoding='utf-8').splitlines():
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        if not line.startswith('| `'):
            continue
        points = tuple(map(int, re.findall(r'\d+', cells[4]))) or None
        configs = tuple(re.findall(r'\]\((?:\./|\.\./edm/)([^)]+)\)', cells[3]))
        url = re.fullmatch(r'\[(.+)\.pt\]\((.+)\)', cells[-1])
        assert url[1] == cells[0].strip('`')
        rows.append((cells[0].strip('`'), cells[1], cells[2].strip('-'), configs, points, url[2]))
    return rows


@pytest.mark.parametrize('name', ['README.md', 'README_zh-CN.md'])
def test_tables_say_what_the_metafiles_say(name):
    rows = table_rows(REPOSITORY / 'configs' / 'consistency_models' / name)
    expected = []
    for entry in released():
        config, sampler = Path(entry['Config']).name, entry.get('Sampler')
        configs = (config, config.replace('onestep', 'multistep')) if sampler else (config,)
        points = (*sampler['indices'], sampler['num_scales']) if sampler else None
        metric = entry['Metadata']['Method'].partition(' ')[2]
        expected.append((entry['Name'], entry['Results'][0]['Dataset'], metric, configs, points, entry['Weights']))
    assert sorted(rows, key=repr) == sorted(expected, key=repr)
    assert len(rows) == 12


@pytest.mark.parametrize('folder', FOLDERS)
def test_links_of_the_readmes_lead_to_files(folder):
    for readme in (REPOSITORY / 'configs' / folder).glob('README*.md'):
        links = re.findall(r'\]\(([^)]+)\)', readme.read_text(encoding='utf-8'))
        local = [link for link in links if not link.startswith('https://')]
        assert [link for link in local if not (readme.parent / link.split('#')[0]).is_file()] == []
