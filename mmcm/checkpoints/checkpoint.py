"""`Checkpoint`: one object from the name of a checkpoint to its file, its config and its weights."""

from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import nn

from mmcm.checkpoints.config_parser import parse_config, setting
from mmcm.checkpoints.formats.diffusers_folder import DiffusersFolder, is_diffusers_folder
from mmcm.checkpoints.formats.foreign_weights import describe, find_sets
from mmcm.checkpoints.formats.training_checkpoint import own_weights
from mmcm.checkpoints.locate import resolve_checkpoint
from mmcm.checkpoints.read import (
    is_safetensors_file,
    is_snapshot,
    read_checkpoint,
    read_safetensors_header,
    read_snapshot,
)
from mmcm.checkpoints.snapshots.edm_snapshot import Snapshot
from mmcm.checkpoints.trusted_config import CLASS_NAMES, checked_config, refuse_imports
from mmcm.checkpoints.weight_count import count_weights
from mmcm.checkpoints.weights import ChosenWeights, chosen_weights, load_weights
from mmcm.utils.errors import InputError


class Checkpoint:
    """A file or folder of weights. Each part is read when it is first used, and once.

    Args:
        source (str | Path): What `resolve_checkpoint` takes: a path, work directory, URL, zoo name or hub id.
        cache_dir (str | Path, optional): Where downloads are kept.
        sha256 (str, optional): Digest that the file must have.
    """

    def __init__(self, source: str | Path, cache_dir: str | Path | None = None, sha256: str | None = None) -> None:
        self.source = source
        self.cache_dir = cache_dir
        self.sha256 = sha256
        self._dtype: torch.dtype | None = None
        self._exact: tuple[str, ...] = ()

    @classmethod
    def open(
        cls, source: 'str | Path | Checkpoint', cache_dir: str | Path | None = None, sha256: str | None = None
    ) -> 'Checkpoint':
        """Return the checkpoint that `source` names, or `source` itself where it is one; nothing is read yet."""
        return source if isinstance(source, Checkpoint) else cls(source, cache_dir, sha256)

    def __str__(self) -> str:
        return str(self.source)

    @cached_property
    def path(self) -> Path:
        """The file or diffusers folder on this machine; see `resolve_checkpoint`."""
        return resolve_checkpoint(self.source, self.cache_dir, sha256=self.sha256)

    def locate(self) -> Path:
        """Find the checkpoint on this machine, or download it, before any of it is read; return its path."""
        return self.path

    @cached_property
    def diffusers(self) -> DiffusersFolder | None:
        """The diffusers folder that this is, None for a file."""
        return DiffusersFolder(self.path) if is_diffusers_folder(self.path) else None

    @cached_property
    def snapshot(self) -> Snapshot | None:
        """The snapshot of EDM or EDM2 that this is, None for another kind of file."""
        return read_snapshot(self.path) if is_snapshot(self.path) else None

    @cached_property
    def content(self) -> Any:
        """What `read` returns, with tensors that are mapped from the file. It is shared, and not to be changed."""
        return self.read(mapped=True) if self.snapshot is None else self.snapshot.weights

    def read(self, mapped: bool = False) -> Any:
        """Read the content of the file, or the weights of the folder, anew; see `read_checkpoint`."""
        if self.diffusers is not None:
            return self.diffusers.weights(self._dtype, self._exact)
        return read_checkpoint(self.path, mapped, self._dtype, self._exact)

    def read_as(self, dtype: torch.dtype, exact: Collection[str] = ()) -> None:
        """Convert the tensors of safetensors files to `dtype` as they are read, but those whose names end in `exact`.

        `content` that was read stays.
        """
        self._dtype, self._exact = dtype, tuple(exact)

    @cached_property
    def _header(self) -> tuple[dict[str, str], list[int]] | None:
        """Metadata and tensor sizes of a safetensors file, without its tensors; None for another kind of file."""
        return read_safetensors_header(self.path) if is_safetensors_file(self.path) else None

    @property
    def metadata(self) -> Mapping[str, str]:
        """The metadata of a safetensors file, without reading its tensors; empty for another kind of file."""
        return {} if self._header is None else self._header[0]

    @cached_property
    def meta(self) -> Mapping[str, Any]:
        """What MMEngine has written about a training checkpoint: `iter`, `cfg`, ...; empty for another kind of file."""
        content = self.content if self._header is None and self.diffusers is None else None
        meta = content.get('meta') if isinstance(content, Mapping) else None
        return meta if isinstance(meta, dict) else {}

    @cached_property
    def config_text(self) -> str:
        """The text of the config in the checkpoint, '' if there is none.

        Raises:
            InputError: If the checkpoint cannot be read, or its config is no text.
        """
        if self.diffusers is not None or self.snapshot is not None:
            return Config(self.config).pretty_text
        text = self.metadata.get('config') or self.meta.get('cfg')
        if text is not None and not isinstance(text, str):
            raise InputError(f'{self.path}: the config in it (meta.cfg) has to be text, got a {type(text).__name__}.')
        return text or ''

    @cached_property
    def num_weights(self) -> int:
        """Number of weights in the file. Weights that tensors share count once."""
        if self._header is not None:
            return sum(self._header[1])
        if self.snapshot is not None:
            return self.snapshot.num_weights
        weights = self.content.get('state_dict', self.content) if isinstance(self.content, Mapping) else None
        return count_weights(weights.values() if isinstance(weights, Mapping) else ())

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All settings of the config in the file, as they are; nothing may be built from them."""
        return parse_config(self.config_text, self.source)

    @cached_property
    def config(self) -> dict[str, Any]:
        """What sampling needs of the config: `model` and, if it has any, `class_names`.

        All else in it, such as data loaders and hooks, is left out. Empty if the file has no config of a model.

        Raises:
            InputError: If the file cannot be read, or asks for what a file may not ask for; nothing was run then.
        """
        if self.diffusers is not None:
            return self.diffusers.config()
        if self.snapshot is not None:
            return self.snapshot.config()
        if not isinstance(self.settings.get('model'), dict):
            return {}
        refuse_imports(self.settings, self.source)
        return checked_config(self.settings, self.source, self.num_weights)

    @property
    def denoiser(self) -> dict[str, Any] | None:
        """The config of the denoiser that the weights were trained with, None if the checkpoint has none to read.

        It tells kinds of denoisers apart, and nothing may be built from it.
        """
        try:
            if self.diffusers is None:
                found = setting(self.settings, 'model', 'denoiser')
            else:  # a network alone does not say what it is for
                found = setting(self.config, 'model', 'denoiser') if self.diffusers.is_pipeline else None
        except InputError:  # the reader of the weights says what is wrong with the file
            return None
        return found if isinstance(found, dict) else None

    @property
    def class_names(self) -> str | list[str] | None:
        """The names of the classes that the weights were trained with, or of a list of names; None where unknown."""
        try:
            found = setting(self.settings if self.diffusers is None else self.config, 'class_names')
            return found if found is None or isinstance(found, str) else list(CLASS_NAMES.check('class_names', found))
        except InputError:  # names are a help, and no reason to refuse weights
            return None

    def weights(self, average: str | None = None, network: nn.Module | None = None) -> ChosenWeights:
        """Return the weights of a network; see `chosen_weights`."""
        return chosen_weights(self.content, self.path, average, network)

    def similar_weights(self, network: nn.Module, average: str | None = None) -> ChosenWeights:
        """Return the weights of a network that need not be the same as `network`; see `chosen_weights`."""
        return chosen_weights(self.content, self.path, average, network, similar=True)

    def load_into(self, network: nn.Module, average: str | None = None) -> None:
        """Load the weights of `network` into it; an InputError says how the checkpoint differs from what it needs."""
        load_weights(network, self.weights(average, network).weights, self.path)

    def check_holds_weights(self) -> None:
        """Raise an InputError, which says what the file is, unless it holds weights of some network."""
        if own_weights(self.content) is None and not find_sets(self.content, None):
            raise InputError(f'{self.path} holds no state dict but {describe(self.content)}.')

    def release(self) -> None:
        """Free the content that was read; it is read again when it is used."""
        for name in ('content', 'snapshot'):
            vars(self).pop(name, None)


def config_text(path: str | Path) -> str:
    """Return `Checkpoint.open(path).config_text`."""
    return Checkpoint.open(path).config_text


def embedded_config(path: str | Path) -> dict[str, Any]:
    """Return `Checkpoint.open(path).config`."""
    return Checkpoint.open(path).config
