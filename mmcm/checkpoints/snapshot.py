"""Snapshots of EDM and EDM2 (.pkl): the average of a network, beside the loss, the augmentation or the encoder."""

from pathlib import Path
from typing import Any

from torch import Tensor

from mmcm.checkpoints.persistent_pickle import PersistentObject, read_persistent_pickle, state_dict
from mmcm.checkpoints.trusted_config import shown
from mmcm.utils.bounded import Unreadable

NETWORK = 'ema'


class Snapshot:
    """The content of a snapshot, of which nothing was run.

    Args:
        path (str | Path): The file.

    Attributes:
        objects (dict[str, Any]): Its content by key: networks and other parts are `PersistentObject`s.
        network (PersistentObject): The network.
        weights (dict[str, dict[str, Tensor]]): The weights of the network, under its key.

    Raises:
        ForeignName: If it names a function or class that no snapshot needs.
        Unreadable: If it is damaged, asks for more than it holds, or is no snapshot.
        OSError: If it cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        found = read_persistent_pickle(Path(path))
        if not isinstance(found, dict) or not isinstance(found.get(NETWORK), PersistentObject):
            keys = shown(list(found)) if isinstance(found, dict) else f'a {type(found).__name__}'
            raise Unreadable(f'it holds no network under the key {NETWORK!r} but {keys}')
        self.objects: dict[str, Any] = found
        self.network: PersistentObject = found[NETWORK]
        self.weights: dict[str, dict[str, Tensor]] = {NETWORK: state_dict(self.network)}

    @property
    def num_weights(self) -> int:
        """Number of weights of the network."""
        return sum(value.numel() for value in self.weights[NETWORK].values())
