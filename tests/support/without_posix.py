"""Import every module of mmcm, pack a data set and sample from a model, without what only POSIX systems have.

    python -W ignore tests/support/without_posix.py FOLDER

It stands in for a run on such a system, as far as mmcm itself is concerned: other packages are imported first, since
the builds for this system may use what is taken away.
"""

import importlib
import os
import pkgutil
import signal
import sys
from pathlib import Path

MODULES = ('fcntl', 'grp', 'pwd', 'resource')
FUNCTIONS = (
    'fork',
    'forkpty',
    'geteuid',
    'getuid',
    'killpg',
    'posix_fallocate',
    'pread',
    'pwrite',
    'register_at_fork',
    'sched_getaffinity',
    'setsid',
    'O_DIRECTORY',
    'O_NOFOLLOW',
    'O_NONBLOCK',
)
SIGNALS = ('SIGALRM', 'SIGHUP', 'SIGKILL', 'SIGUSR1')
OTHERS = (
    'anyio',
    'cv2',
    'fastapi',
    'gradio',
    'h11',
    'huggingface_hub',
    'lmdb',
    'mmagic',
    'mmcv',
    'mmengine.runner',
    'onnx',
    'onnxruntime',
    'onnxscript',
    'safetensors.torch',
    'sklearn',
    'starlette',
    'tensorboard',
    'torch.distributed',
    'torch.onnx',
    'torch.utils.data',
    'uvicorn',
)


def take_away():
    for name in MODULES:
        sys.modules[name] = None  # so that importing it fails
    for name in OTHERS:
        try:
            importlib.import_module(name)
        except ImportError:
            print(f'{name} is not installed')
    for owner, names in ((os, FUNCTIONS), (signal, SIGNALS)):
        for name in names:
            if hasattr(owner, name):
                delattr(owner, name)


def import_all():
    import mmcm

    def fail(name):
        raise  # what the import of a package has raised

    # MMagic itself, which the bridge to it imports, needs such modules.
    names = [
        module.name
        for module in pkgutil.walk_packages(mmcm.__path__, 'mmcm.', fail)
        if not module.name.endswith(('__main__', '.mmagic_bridge'))
    ]
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name in MODULES or error.name not in OTHERS:
                raise
    print(f'{len(names)} modules are imported')


def main(folder):
    from mmcm.cli.main import main as mmcm

    pack, images = str(folder / 'digits.npz'), str(folder / 'images')
    mmcm(['pack', 'digits', '--out', pack, '--workers', '1'])
    mmcm(['pack', '--verify', pack])
    mmcm(['sample', '--model', 'digits', '-n', '3', '--out', images])
    mmcm(['sample', '--model', 'digits', '-n', '3', '--out', str(folder / 'images.npz')])


if __name__ == '__main__':
    take_away()
    import_all()
    main(Path(sys.argv[1]))
