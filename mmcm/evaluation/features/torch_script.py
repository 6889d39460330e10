"""Feature extractor around a TorchScript archive."""

import warnings
from pathlib import Path
from typing import Any

import torch

from mmcm.checkpoints import resolve_checkpoint
from mmcm.checkpoints.download import digests
from mmcm.evaluation.features.network_features import NetworkFeatures
from mmcm.registry import MODELS
from mmcm.utils.bounded import Unreadable, open_directory
from mmcm.utils.errors import InputError
from mmcm.utils.stand_ins import stand_in


@MODELS.register_module()
class TorchScriptFeatures(NetworkFeatures):
    """Features of a TorchScript archive. It contains code, which `extract` runs: use only archives that you trust.

    NVIDIA's InceptionV3, for example, takes uint8 images of any size:

        dict(type='TorchScriptFeatures', checkpoint='inception-2015-12-05.pt', arguments=dict(return_features=True))

    Args:
        checkpoint (str | Path): The archive, or its http or https address; see `mmcm.checkpoints.resolve_checkpoint`.
        sha256 (str, optional): Digest that the file must have, in hexadecimal digits.
        **kwargs: Input and output of the network; see `NetworkFeatures`.
    """

    def __init__(self, checkpoint: str | Path, sha256: str | None = None, **kwargs: Any) -> None:
        super().__init__(None, checkpoint=checkpoint, sha256=sha256, **kwargs)

    def make_network(self) -> torch.jit.ScriptModule:
        """Return the network in the archive."""
        assert self.checkpoint is not None
        path = resolve_checkpoint(self.checkpoint, sha256=self.sha256)
        self.settings['network'] = digests(path)[1]  # equal weights may come with other code
        return load_script(path)


def is_script(path: Path) -> bool:
    """Return whether a file is a TorchScript archive."""
    try:
        return any(entry.filename.split('/')[1:] == ['constants.pkl'] for entry in open_directory(path))
    except (OSError, Unreadable):
        return False


def load_script(path: Path) -> torch.jit.ScriptModule:
    """Return the network in a TorchScript archive, on the CPU.

    Raises:
        InputError: If the file is no such archive, or damaged.
    """
    if not is_script(path):
        found = stand_in(path)
        instead = f', but {found}' if found else ''
        raise InputError(
            f'{path} is no TorchScript archive, as torch.jit.save writes it{instead}. Name one, or, for a '
            "network whose class is importable, use the extractor 'NetworkFeatures'."
        )
    try:
        with warnings.catch_warnings():
            # torch 2.13 deprecates TorchScript in favour of torch.export; archives as old as these stay as they are.
            warnings.filterwarnings('ignore', '.*torch.jit', DeprecationWarning)
            return torch.jit.load(str(path), map_location='cpu')
    except RuntimeError as error:
        reason = next(iter(str(error).strip().splitlines()), '')
        raise InputError(f'{path} cannot be read as a TorchScript archive: {reason}') from error
