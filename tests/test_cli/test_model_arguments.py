from argparse import Namespace

import pytest

from mmcm.apis.resolve_model import resolve_model
from mmcm.cli.model_arguments import model_and_out, settle_measured
from mmcm.cli.parser import CommandParser
from mmcm.utils.errors import InputError
from mmcm.zoo import find
from mmcm.zoo.config_files import own_config

RECIPE = 'cd_1xb32_digits-8x8'


def settled(config=None, weights=None, model=None, checkpoint=None):
    args = Namespace(config=config, weights=weights, model=model, checkpoint=checkpoint)
    settle_measured(args)
    return args.config, args.checkpoint


@pytest.fixture
def run(tmp_path):
    """Return a work directory as MMEngine leaves it, of one of our recipes."""
    folder = tmp_path / 'run'
    folder.mkdir()
    (folder / 'last_checkpoint').write_text('iter_5.pth')
    (folder / f'{RECIPE}.py').write_text('raise SystemExit("run")')
    return folder


def test_config_and_checkpoint_are_told_from_a_model():
    digits = (str(find('digits').config_file), 'digits')
    assert settled(model='digits') == settled(config='digits') == digits
    assert settled(model='digits', checkpoint='x.pth') == (str(find('digits').config_file), 'x.pth')
    assert settled(model=RECIPE) == settled(config=RECIPE) == (RECIPE, None)
    assert settled(config=RECIPE, weights='digits') == settled(config=RECIPE, model='digits') == (RECIPE, 'digits')


def test_run_of_a_recipe_is_measured_by_the_recipe_not_by_the_copy_in_its_folder(run, capsys):
    config, checkpoint = settled(model=str(run))
    assert config == str(own_config(RECIPE)) and checkpoint == str(run)
    assert capsys.readouterr().err.startswith(f'note: {run} is measured as our config {RECIPE} says')
    assert settled(config='edm_1xb32_digits-8x8', model=str(run)) == ('edm_1xb32_digits-8x8', str(run))


def test_what_does_not_say_how_to_measure_is_one_line(run):
    (run / f'{RECIPE}.py').rename(run / 'mine.py')
    with pytest.raises(InputError, match='does not say how to measure. Name the config, too: CONFIG --model'):
        settled(model=str(run))
    with pytest.raises(InputError, match='--model digits for example'):
        settled()
    with pytest.raises(InputError, match=f'two configs are named, {RECIPE} and other.py'):
        settled(config=RECIPE, model='other.py')
    with pytest.raises(InputError, match='two checkpoints are named, a.pth and b.pth'):
        settled(config=RECIPE, weights='a.pth', checkpoint='b.pth')


def test_model_and_output_are_words_or_options():
    assert model_and_out(None, ['digits', 'x.pt'], None) == ('digits', 'x.pt')
    assert model_and_out('digits', ['x.pt'], None) == model_and_out('digits', [], 'x.pt') == ('digits', 'x.pt')
    with pytest.raises(InputError, match='one model and one output are needed.* got 3: a b c'):
        model_and_out('a', ['b'], 'c')
    with pytest.raises(InputError, match='got 0'):
        model_and_out(None, [], None)


@pytest.mark.parametrize(
    'command, old, new',
    [
        ('test', '--num-samples', '--num-images'),
        ('search', '--num-samples', '--num-images'),
        ('lsun', '--max-images', '--num-images'),
    ],
)
def test_former_names_of_options_are_taken_with_a_note(command, old, new, capsys):
    from importlib import import_module

    parse = import_module(f'mmcm.cli.{command}').parse_args
    words = ['data', 'out'] if command == 'lsun' else ['digits']
    assert parse([*words, old, '5']).num_images == 5
    assert capsys.readouterr().err == f'note: {old} is deprecated, use {new}\n'
    assert parse([*words, '-n', '5']).num_images == parse([*words, new, '5']).num_images == 5
    assert capsys.readouterr().err == ''


def test_deprecated_option_is_not_in_the_help():
    parser = CommandParser('')
    parser.add_argument('--new', type=int, help='a number')
    parser.add_deprecated('--old', '--new')
    assert '--old' not in parser.format_help() and parser.parse_args([]).new is None


@pytest.mark.parametrize('name', ['setup.py.py', 'mine.py.py', 'mine.py'])
def test_files_in_a_run_name_no_config_but_ours(run, name, monkeypatch):
    (run / f'{RECIPE}.py').rename(run / name)
    (run / 'mine.py').write_text('raise SystemExit("run")')
    monkeypatch.chdir(run)
    with pytest.raises(InputError, match='does not say how to measure'):
        settled(model=str(run))


def test_working_directory_does_not_hide_our_configs(tmp_path, monkeypatch):
    ours = find('digits')
    other = tmp_path / ours.config
    other.parent.mkdir(parents=True)
    other.write_text('raise SystemExit("run")')
    monkeypatch.chdir(tmp_path)
    assert settled(model='digits')[0] == str(ours.config_file) != str(other)
    config, _ = resolve_model('digits', None, None)
    assert config.model.type == 'ConsistencyModel'
