"""Build mmcm, with its configs and tools inside the wheel, where `mim` looks for them (`mmcm/.mim`)."""

from itertools import chain
from pathlib import Path
from runpy import run_path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

PAGES = ('CHANGELOG.md', 'CITATION.cff', 'CONTRIBUTING.md', 'SECURITY.md')
EXTRAS = (
    'tests',
    'tensorboard',
    'deepspeed',
    'hub',
    'latents',
    'onnx',
    'lsun',
    'mnist',
    'web',
    'completion',
    'docs',
    'coverage',
)


class BuildWithMim(build_py):
    """Copy `mim_sources` to `mmcm/.mim` of the build. An editable install has no such folder."""

    mim_sources = ('configs', 'demo', 'tools', 'model-index.yml')

    def run(self) -> None:
        """Build the package, then add the copies."""
        super().run()
        for target, source in self.mim_mapping().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(source, target)

    def mim_mapping(self) -> dict[str, str]:
        """Return {file of the build: file of the source tree}."""
        if self.editable_mode:
            return {}
        mim = Path(self.build_lib, 'mmcm', '.mim')
        return {str(mim / source): source for source in self.list_mim_sources()}

    def list_mim_sources(self) -> list[str]:
        """Return the files in `mim_sources`, relative to the source tree."""
        paths = (
            path
            for source in map(Path, self.mim_sources)
            for path in (source.rglob('*') if source.is_dir() else [source])
        )
        return sorted(str(path) for path in paths if not path.is_dir() and '__pycache__' not in path.parts)

    def get_source_files(self) -> list[str]:
        """Return the files of an sdist: all that a wheel is built from, and the pages for users of the source."""
        requirements = sorted(map(str, Path('requirements').iterdir()))
        return [*super().get_source_files(), *self.list_mim_sources(), *requirements, *PAGES]

    def get_output_mapping(self) -> dict[str, str]:
        """Return {file of the build: file of the source tree} for every file."""
        return {**super().get_output_mapping(), **self.mim_mapping()}

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Return every file of the build."""
        return super().get_outputs(include_bytecode) + list(self.mim_mapping())


def read_requirements(name: str) -> list[str]:
    """Return the requirements in `requirements/<name>.txt`."""
    lines = Path('requirements', f'{name}.txt').read_text(encoding='utf-8').splitlines()
    requirements = (line.split('#')[0].strip() for line in lines)
    return [requirement for requirement in requirements if requirement]


extras = {name: read_requirements(name) for name in EXTRAS}

setup(
    name='mmcm',
    version=run_path('mmcm/version.py')['__version__'],
    description='Consistency models for MMEngine: sample, edit, train, distil and evaluate them from config files',
    long_description=Path('README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author='mmcm authors',
    license='MIT',
    license_files=['LICENSE'],
    keywords='consistency models, diffusion models, image generation, MMEngine, MMagic',
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        # Only what the tests run on: docs/versions.md.
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3.11',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Typing :: Typed',
    ],
    python_requires='>=3.10',
    install_requires=read_requirements('runtime'),
    extras_require={**extras, 'all': sorted(set(chain(*extras.values())))},
    packages=find_packages(include=['mmcm', 'mmcm.*']),
    include_package_data=False,
    package_data={'mmcm': ['py.typed', 'datasets/data/*', 'weights/*.safetensors']},
    entry_points={
        'console_scripts': [
            'mmcm = mmcm.cli.main:main',
            'mmagic_inference_demo = mmcm.cli.main:demo',
            'mmcm-train = mmcm.cli.main:train',
            'mmcm-test = mmcm.cli.main:test',
        ]
    },
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False,
)
