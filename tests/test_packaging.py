"""What a user installs: metadata, entry points, requirements, and the files of the wheel."""

import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from email import message_from_string
from importlib import import_module, metadata
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mmcm

TESTED = (
    'runtime',
    'tests',
    'tensorboard',
    'hub',
    'latents',
    'onnx',
    'lsun',
    'web',
    'docs',
    'coverage',
)  # with what make installs
ROOT = Path(__file__).parent.parent
SOURCES = (
    'mmcm',
    'configs',
    'demo',
    'tools',
    'requirements',
    'model-index.yml',
    'setup.py',
    'pyproject.toml',
    'README.md',
    'CHANGELOG.md',
    'CITATION.cff',
    'SECURITY.md',
    'LICENSE',
)


def build(hook, source, folder):
    """Call a PEP 517 hook of the project in `source`, without network, and return the file that it makes."""
    code = f'import sys; from setuptools.build_meta import {hook}; {hook}(sys.argv[1])'
    subprocess.run([sys.executable, '-c', code, folder], cwd=source, check=True, stdout=subprocess.DEVNULL)
    (artifact,) = folder.iterdir()
    return artifact


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """Return a copy of the project: a build writes files beside the sources."""
    folder = tmp_path_factory.mktemp('source')
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope='module')
def wheel(source, tmp_path_factory):
    with ZipFile(build('build_wheel', source, tmp_path_factory.mktemp('wheel'))) as archive:
        yield archive


def read_dist_info(wheel, name):
    return wheel.read(f'mmcm-{mmcm.__version__}.dist-info/{name}').decode()


def read_requirements(name):
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith('#')]


def read_pins():
    pins = read_requirements('constraints')
    return {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins}


def installed(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def test_metadata_holds_the_version_of_the_package(wheel):
    assert message_from_string(read_dist_info(wheel, 'METADATA'))['Version'] == mmcm.__version__


def test_metadata_claims_no_more_than_was_tested(wheel):
    classifiers = message_from_string(read_dist_info(wheel, 'METADATA')).get_all('Classifier')
    systems = [line for line in classifiers if line.startswith('Operating System')]
    pythons = [line.rpartition(' ')[2] for line in classifiers if line.startswith('Programming Language :: Python')]
    assert systems == ['Operating System :: POSIX :: Linux']
    tested = (ROOT / 'docs' / 'versions.md').read_text(encoding='utf-8')
    assert pythons and all(f'On CPython {python}, Linux' in tested for python in pythons)


def test_entry_points_lead_to_functions(wheel):
    entry_points = ConfigParser()
    entry_points.read_string(read_dist_info(wheel, 'entry_points.txt'))
    commands = dict(entry_points['console_scripts'])
    assert set(commands) == {'mmcm', 'mmagic_inference_demo', 'mmcm-train', 'mmcm-test'}
    for command in commands.values():
        module, function = command.split(':')
        assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize('name', TESTED)
def test_tested_versions_lie_in_the_declared_ranges(name):
    tested = read_pins()
    for requirement in read_requirements(name):
        assert requirement.specifier.contains(tested[canonicalize_name(requirement.name)]), requirement


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason='the pins are for Python 3.11')
def test_what_the_tested_versions_bring_is_pinned_too():
    pins = read_pins()
    brought = [requirement for name in TESTED for requirement in read_requirements(name)]
    seen, unpinned = set(), set()
    while brought:
        requirement = brought.pop()
        name, extras = canonicalize_name(requirement.name), ('', *sorted(requirement.extras))
        # What another version brings, such as torch's for a GPU, may be something else.
        if (name, extras) in seen or name == 'torch' or pins.get(name, installed(name)) != installed(name):
            continue
        seen.add((name, extras))
        unpinned |= {name} - set(pins)
        further = map(Requirement, metadata.requires(name) or ())
        brought += [
            other
            for other in further
            if other.marker is None or any(other.marker.evaluate({'extra': extra}) for extra in extras)
        ]
    assert unpinned == set()


def test_wheel_holds_the_data_of_the_package(wheel):
    for pattern in ('py.typed', 'datasets/data/*.npz', 'weights/*.safetensors'):
        files = {path.relative_to(ROOT).as_posix() for path in (ROOT / 'mmcm').glob(pattern)}
        assert files, pattern
        assert files <= set(wheel.namelist())


def test_wheel_holds_what_mim_looks_for(wheel):
    names = {name.removeprefix('mmcm/.mim/') for name in wheel.namelist() if name.startswith('mmcm/.mim/')}
    expected = {
        path.relative_to(ROOT).as_posix()
        for folder in ('configs', 'demo', 'tools')
        for path in (ROOT / folder).rglob('*')
        if path.is_file() and path.suffix != '.pyc'
    }
    assert names == expected | {'model-index.yml'}


def test_wheel_holds_no_more_than_the_package(wheel):
    assert {name.split('/')[0] for name in wheel.namelist()} == {'mmcm', f'mmcm-{mmcm.__version__}.dist-info'}


def test_wheel_from_the_source_distribution_is_the_same(source, wheel, tmp_path):
    sdist = build('build_sdist', source, tmp_path / 'sdist')
    shutil.unpack_archive(sdist, tmp_path)
    unpacked = tmp_path / sdist.name.removesuffix('.tar.gz')
    assert [name for name in SOURCES if not (unpacked / name).exists()] == []
    with ZipFile(build('build_wheel', unpacked, tmp_path / 'wheel')) as archive:
        assert sorted(archive.namelist()) == sorted(wheel.namelist())


DATA_BYTES = 16 * 2**20  # of data sets and weights in the wheel; others are downloaded
CODE_BYTES = 4 * 2**20


def test_wheel_holds_code_and_small_data_alone(wheel):
    files = {entry.filename: entry.file_size for entry in wheel.infolist()}
    data = {name: size for name, size in files.items() if name.startswith(('mmcm/datasets/data/', 'mmcm/weights/'))}
    rest = {name: size for name, size in files.items() if name not in data}
    assert sum(data.values()) < DATA_BYTES and sum(rest.values()) < CODE_BYTES
    kinds = {Path(name).suffix for name in rest if '.dist-info/' not in name} - {''}
    assert kinds <= {'.py', '.typed', '.md', '.yml', '.sh', '.ipynb', '.json', '.txt'}
    assert not [name for name in files if '__pycache__' in name or name.startswith('tests')]


def test_weights_and_data_of_the_wheel_are_listed_with_their_licences(wheel):
    names = [name for name in wheel.namelist() if name.startswith(('mmcm/datasets/data/', 'mmcm/weights/'))]
    text = '\n'.join(path.read_text(encoding='utf-8') for path in (ROOT / 'docs').glob('install.md'))
    assert names and [name for name in names if Path(name).name not in text] == []


@pytest.mark.parametrize('name', ['Dockerfile', 'Dockerfile.cuda'])
def test_dockerfile_parses_and_installs_extras_that_exist(name):
    text = (ROOT / 'docker' / name).read_text(encoding='utf-8').replace('\\\n', ' ')
    lines = [line for line in text.splitlines() if line and not line.startswith('#')]
    known = {'FROM', 'RUN', 'WORKDIR', 'COPY', 'ENV', 'USER', 'ENTRYPOINT'}
    assert lines[0].startswith('FROM ') and {line.split()[0] for line in lines} <= known
    extras = re.search(r'"\.\[([\w,]+)\]"', text)[1].split(',')
    assert all((ROOT / 'requirements' / f'{extra}.txt').is_file() for extra in extras)
    assert lines[-1] == 'ENTRYPOINT ["mmcm"]' and lines[-3] == 'USER mmcm'
