"""The package has floors, and a module imports only from those below its own, or from its own."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / 'mmcm'
# From the bottom to the top, one folder or file on each floor: no folder can import one that imports it.
FLOORS = [
    'version',
    'renamed',
    'utils',
    'structures',
    'visualization',
    'zoo',
    'registry',
    'checkpoints',
    'config',
    'noise',
    'backbones',
    'distances',
    'augmentations',
    'curricula',
    'denoisers',
    'samplers',
    'operators',
    'objectives',
    'datasets',
    'models',
    'evaluation',
    'engine',
    'apis',
    'mmagic',
    'web',
    'cli',
    '__main__',
]
FLOOR_OF = {name: floor for floor, name in enumerate(FLOORS)}
# The package itself only names the version.
MODULES = [path for path in sorted(PACKAGE.rglob('*.py')) if path != PACKAGE / '__init__.py']


def unit(path):
    """Return the folder or file right below the package that `path` belongs to."""
    return path.relative_to(PACKAGE).with_suffix('').parts[0]


def imports(path):
    """Yield what a module imports from `mmcm`, also within its functions, as lists of names below it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path} has a relative import'
            names = [f'{node.module}.{alias.name}' for alias in node.names]
        else:
            continue
        for name in names:
            package, *rest = name.split('.')
            if package == 'mmcm':
                yield rest


def packages(path):
    """Return the packages that a module imports, also within its functions."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split('.')[0] for name in names}


@pytest.mark.parametrize('path', MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_module_imports_from_no_floor_above(path):
    floor = FLOOR_OF[unit(path)]
    assert [name for name, *_ in imports(path) if name != '__version__' and FLOOR_OF[name] > floor] == []


def test_gradio_is_only_imported_by_the_web_demo():
    of_servers = {'gradio', 'gradio_client', 'fastapi', 'starlette', 'uvicorn'}
    assert {unit(path) for path in MODULES if packages(path) & of_servers} == {'web'}


def test_no_module_imports_itself_by_way_of_others():
    names = {path.relative_to(PACKAGE).with_suffix('').parts: path for path in MODULES}
    names = {parts[:-1] if parts[-1] == '__init__' else parts: path for parts, path in names.items()}
    graph = {}
    for parts, path in names.items():
        found = (tuple(name[:length]) for name in imports(path) for length in range(len(name), 0, -1))
        graph[parts] = {other for other in found if other in names and other != parts[: len(other)]}
    TopologicalSorter(graph).prepare()  # a CycleError names the modules


FOLDERS = sorted({path.parent for path in MODULES} - {PACKAGE})


@pytest.mark.parametrize('folder', FOLDERS, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_circle_between_the_files_and_folders_of_a_folder(folder):
    place = folder.relative_to(PACKAGE).parts
    graph = {}
    for path in MODULES:
        if folder in path.parents and path != folder / '__init__.py':
            child = path.relative_to(folder).with_suffix('').parts[0]
            found = {
                name[len(place)]
                for name in imports(path)
                if tuple(name[: len(place)]) == place and len(name) > len(place)
            }
            graph.setdefault(child, set()).update(found - {child})
    TopologicalSorter(graph).prepare()  # a CycleError names the files and folders


def test_every_floor_is_inhabited():
    assert {unit(path) for path in MODULES} == set(FLOOR_OF)


@pytest.mark.parametrize('module', ['mmcm', 'mmcm.zoo'])
def test_light_modules_import_neither_torch_nor_mmengine(module):
    code = f'import sys, {module}; print({{"torch", "mmengine", "cv2"}} & set(sys.modules))'
    process = subprocess.run([sys.executable, '-c', code], cwd=PACKAGE.parent, capture_output=True, text=True)
    assert process.stdout == 'set()\n', process.stdout + process.stderr


def test_listing_models_on_the_command_line_does_not_load_torch():
    code = 'import sys, mmcm.cli.demo; mmcm.cli.demo.main(["--print-supported-models"]); print("torch" in sys.modules)'
    process = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert process.stdout.splitlines()[-1] == 'False', process.stderr


# Calls by which torch makes tensors, and those of them that are of the default dtype where nobody names one.
MADE = {'arange', 'empty', 'eye', 'full', 'linspace', 'ones', 'rand', 'randint', 'randn', 'randperm', 'tensor', 'zeros'}
OF_DEFAULT_DTYPE = MADE - {'arange', 'randint', 'randperm'}


def calls_of_torch(path):
    """Yield the calls by which a module makes tensors: the name, the line, and the names of arguments."""
    for node in ast.walk(ast.parse(path.read_text())):
        function = getattr(node, 'func', None)
        if (
            isinstance(function, ast.Attribute)
            and isinstance(function.value, ast.Name)
            and (function.value.id == 'torch' and function.attr in MADE)
        ):
            yield function.attr, node.lineno, {keyword.arg for keyword in node.keywords}


@pytest.mark.parametrize('path', MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_number_depends_on_torchs_default_dtype_or_device(path):
    """Networks' own tensors, in backbones, distances and features, go where the rest of the network is made."""
    in_networks = {'distances', 'evaluation', 'noise'} & {unit(path)}
    found = []
    for name, line, arguments in calls_of_torch(path):
        if None in arguments:  # **settings
            continue
        if name in OF_DEFAULT_DTYPE and 'dtype' not in arguments:
            found.append(f'{name} in line {line} has no dtype')
        if 'device' not in arguments and not in_networks:
            found.append(f'{name} in line {line} has no device')
    assert found == []
