"""Consistency models as an MMEngine plugin: sample, train, distil and evaluate them from config files.

Importing the package is cheap on purpose: it pulls in neither torch nor MMEngine. Components live in the
registries of `mmcm.registry`, whose `locations` import them when the first one is asked for.
"""

from mmcm.renamed import install
from mmcm.version import __version__

__all__ = ['__version__']

install()
