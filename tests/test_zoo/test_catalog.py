import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mmcm.utils.errors import InputError
from mmcm.zoo import ZooModel, catalog, config_files, find, find_config, list_models, list_recipes, root

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDERS = ('consistency_models', 'edm', 'edm2')
METHODS = (
    'consistency_distillation',
    'consistency_training',
    'ect',
    'edm',
    'edm2',
    'ict',
    'imf',
    'meanflow',
    'photo_patches',
    'pmf',
    'progressive_distillation',
    'scm',
    'shortcut',
    'soflow',
    'tcm',
)
DEPRECATED = '_deprecation_'  # in a config: it only notes its new name
INDEX = 'Import:\n- configs/a/metafile.yml\n- configs/b/metafile.yml\n'
CD = """
- Name: cd
  In Collection: Consistency Models
  Config: configs/a/cd_64x64.py
  Sampler: {indices: [0, 22], num_scales: 40}
  Results:
  - {Task: conditional, Dataset: imagenet1k, NFE: 1, Metrics: {FID: 6.2}}
  Metadata: {Method: CD lpips, Resolution: 64, Classes: 1000}
  Weights: https://localhost/cd.pt
  Mirrors: [https://localhost/mirror/cd.pt]
  SHA256: abc
Collections:
- {Name: Consistency Models, Model Card: configs/a/MODEL_CARD.md, License: MIT}
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
            results=({'Task': 'conditional', 'Dataset': 'imagenet1k', 'NFE': 1, 'Metrics': {'FID': 6.2}},),
            sha256='abc',
            mirrors=('https://localhost/mirror/cd.pt',),
            method='CD lpips',
            resolution=64,
            num_classes=1000,
            card='configs/a/MODEL_CARD.md',
            license='MIT',
        )
    ]


def test_listed_models_cannot_be_changed(small_zoo):
    with pytest.raises(TypeError, match='does not support item assignment'):
        find('cd').sampler['num_scales'] = 2
    with pytest.raises(TypeError, match='does not support item assignment'):
        find('cd').results[0]['Metrics']['FID'] = 1.0
    list_models().clear()
    assert len(list_models()) == 1


def test_entry_without_weights_is_a_recipe_and_no_model(small_zoo):
    recipe = ZooModel(name='recipe', config='configs/b/recipe.py')
    assert list_recipes() == [recipe] and find('recipe') == recipe
    assert [model.name for model in list_models()] == ['cd']


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
        entries += [entry for entry in yaml.safe_load(metafile)['Models'] if 'Weights' in entry]
    return entries


def test_the_zoo_lists_every_released_checkpoint():
    models = {model.name: model for model in list_models()}
    assert len(released()) == 31
    for entry in released():
        assert models[entry['Name']].weights == entry['Weights']
    assert models['ct_imagenet64'].sampler == {'indices': (0, 106), 'num_scales': 201}
    assert models['edm_cat256_ema'].sampler is None


def test_every_model_of_the_zoo_names_a_config_that_exists():
    assert [model.config for model in list_models() if not (root() / model.config).is_file()] == []


def test_resolution_and_classes_of_the_zoo_are_those_of_the_configs():
    from mmcm.config import read_config

    for model in (*list_models(), *list_recipes()):
        settings = read_config(model.config).model
        backbone = settings.denoiser.backbone
        side = backbone.image_size * (settings.autoencoder.get('downscale', 8) if 'autoencoder' in settings else 1)
        assert (model.resolution, model.num_classes) == (side, backbone.get('num_classes')), model.name


def test_parameters_of_the_zoo_are_those_of_the_networks():
    import torch

    from mmcm.config import read_config
    from mmcm.denoisers import without_velocity_head
    from mmcm.registry import MODELS

    sizes = {}
    for model in (*list_models(), *list_recipes()):
        config = without_velocity_head(read_config(model.config).model.denoiser)['backbone']
        if str(config) not in sizes:
            with torch.device('meta'):
                network = MODELS.build(config)
            sizes[str(config)] = sum(parameter.numel() for parameter in network.parameters())
        assert model.parameters == sizes[str(config)], model.name


def test_every_recipe_of_a_method_stands_in_its_metafile():
    listed = {model.config for model in (*list_models(), *list_recipes())}
    for folder in METHODS:
        configs = [
            path for path in (REPOSITORY / 'configs' / folder).glob('*.py') if DEPRECATED not in path.read_text()
        ]
        assert configs and {str(path.relative_to(REPOSITORY)) for path in configs} <= listed


def test_every_folder_of_configs_has_a_metafile_in_the_index():
    folders = sorted(path.parent.name for path in (REPOSITORY / 'configs').glob('[!_]*/README.md'))
    index = yaml.safe_load((REPOSITORY / 'model-index.yml').read_text(encoding='utf-8'))['Import']
    assert sorted(index) == [f'configs/{folder}/metafile.yml' for folder in folders]


def test_scores_have_a_source_and_a_number_of_evaluations():
    for model in (*list_models(), *list_recipes()):
        for result in model.results:
            assert not result['Metrics'] or (result['NFE'] > 0 and model.source), model.name


def test_recipe_of_a_released_model_is_the_config_that_samples_from_it():
    from mmcm.config import read_config

    recipes = [recipe for recipe in list_recipes() if recipe.released]
    assert len(recipes) == 9
    for recipe in recipes:
        assert find(recipe.released).weights and read_config(recipe.config).checkpoint == recipe.released


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


def test_catalogue_is_the_same_without_libyaml(monkeypatch):
    monkeypatch.setattr(catalog, 'LOADER', yaml.SafeLoader)
    assert catalog._read_models.__wrapped__(root()) == (*catalog._read_models(root()),)
