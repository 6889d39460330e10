import importlib.util
import io
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from mmcm.utils.errors import InputError

TOOL = Path(__file__).parents[2] / 'tools' / 'dataset_converters' / 'emoji.py'
ICONS = {
    'twemoji': ['red-heart', 'flag-chad', 'flag-in-hole', 'grinning-face', 'cat-face', 'airplane', 'one-oclock'],
    'noto-v1': ['red-heart', 'waving-hand', 'waving-hand-medium-dark-skin-tone', 'police-car', 'police-car-light'],
}


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('emoji_tool', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def packages(tmp_path):
    """Return a folder with two of the packages, of few icons."""
    for name, icons in ICONS.items():
        folder = tmp_path / 'node_modules' / '@iconify-json' / name
        folder.mkdir(parents=True)
        content = dict(width=36, icons={icon: dict(body=f'<g id="{icon}"/>') for icon in icons})
        (folder / 'icons.json').write_text(json.dumps(content))
    return tmp_path / 'node_modules'


@pytest.fixture
def drawn(monkeypatch):
    """Replace resvg by a renderer of empty images, and return the drawings that it gets."""
    drawings = []

    def svg_to_bytes(svg_string, width, height, **options):
        drawings.append(svg_string)
        file = io.BytesIO()
        Image.new('RGBA', (width, height)).save(file, 'png')
        return list(file.getvalue())

    module = ModuleType('resvg_py')
    module.svg_to_bytes = svg_to_bytes
    monkeypatch.setitem(sys.modules, 'resvg_py', module)
    return drawings


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob('*.*')}


def test_each_emoji_of_a_class_becomes_a_file(tool, packages, drawn, tmp_path, capsys):
    tool.main([str(packages), '--out', str(tmp_path / 'out'), '--size', '24'])
    assert files(tmp_path / 'out') == {
        'heart/twemoji_red-heart.png',
        'heart/noto-v1_red-heart.png',
        'flag/twemoji_flag-chad.png',
        'face/twemoji_grinning-face.png',
        'animal/twemoji_cat-face.png',
        'clock/twemoji_one-oclock.png',
        'hand/noto-v1_waving-hand.png',
        'hand/noto-v1_waving-hand-medium-dark-skin-tone.png',
        'vehicle/noto-v1_police-car.png',
    }
    with Image.open(tmp_path / 'out' / 'heart' / 'noto-v1_red-heart.png') as image:
        assert image.size == (24, 24)
    printed = capsys.readouterr().out
    assert printed.startswith('9 images in') and 'heart 2' in printed and 'twemoji (CC-BY-4.0)' in printed
    # 16 is the default of the format.
    assert all('width="1" height="1" viewBox="0 0 36 16"' in drawing for drawing in drawn)


def test_second_run_renders_nothing_again(tool, packages, drawn, tmp_path):
    for _ in range(2):
        assert sum(tool.convert(packages, tmp_path / 'out', list(ICONS)).values()) == 9
    assert len(drawn) == 9


def test_large_classes_are_thinned_out_evenly(tool):
    assert tool.evenly(list(range(10)), 4) == [0, 2, 5, 7]
    assert tool.evenly([1, 2], 4) == [1, 2]


@pytest.mark.parametrize(
    'icon, label',
    [
        ('smiling-cat-with-heart-eyes', 'animal'),
        ('smiling-face-with-heart-eyes', 'face'),
        ('face-with-tears-of-joy', 'face'),
        ('flag-for-flag-germany', 'flag'),
        ('new-moon-face', 'moon'),
        ('sun-with-face', None),
        ('couple-with-heart', None),
        ('oncoming-taxi', 'vehicle'),
        ('thumbs-up-medium-light', 'hand'),
        ('person-facepalming', None),
    ],
)
def test_class_follows_from_the_name(tool, icon, label):
    assert tool.class_of(icon) == label


def test_missing_packages_are_an_error_with_the_command(tool, tmp_path, capsys):
    with pytest.raises(SystemExit):
        tool.main([str(tmp_path), '--out', str(tmp_path / 'out')])
    assert 'npm install @iconify-json/twemoji @iconify-json/noto' in capsys.readouterr().err


@pytest.mark.parametrize('content', [b'{', b'\xff\xfe'])
def test_damaged_package_is_an_error(tool, packages, drawn, tmp_path, content):
    (packages / '@iconify-json' / 'noto-v1' / 'icons.json').write_bytes(content)
    with pytest.raises(InputError, match='icons.json cannot be read: .* npm install @iconify-json/noto-v1'):
        tool.convert(packages, tmp_path / 'out', list(ICONS))
    assert not (tmp_path / 'out').exists()


def test_missing_renderer_is_an_error_with_the_command(tool, packages, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'resvg_py', None)
    with pytest.raises(InputError, match='pip install resvg-py'):
        tool.convert(packages, tmp_path / 'out', list(ICONS))


def test_drawing_that_cannot_be_rendered_is_an_error(tool, packages, drawn, tmp_path, monkeypatch):
    def refuse(**options):
        raise ValueError('unexpected end')

    monkeypatch.setattr(sys.modules['resvg_py'], 'svg_to_bytes', refuse)
    with pytest.raises(InputError, match='twemoji_cat-face.png cannot be rendered: unexpected end'):
        tool.convert(packages, tmp_path / 'out', list(ICONS))
