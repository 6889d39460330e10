"""Catalogue of the released models and of recipes without weights, with their configs and scores.

Nothing is listed here: `model-index.yml` names the `metafile.yml` files, and these describe the models, both in the
format of OpenMMLab, so that MIM reads the same entries. Keys of our own are

- of a model: `Sampler`, the two-step points of the checkpoint; `Mirrors`, further addresses of its file; `SHA256`, the
  digest of the file where one is known; `Source`, where its scores were published; `Released`, the model that was
  trained by a recipe, and has its scores;
- of a result: `NFE`, the network evaluations per image;
- of a collection: `Model Card`;
- of both: `License` of the weights, by its SPDX identifier; that of a model comes before that of its collection.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from mmcm.utils.errors import InputError
from mmcm.utils.nearest import nearest
from mmcm.zoo.config_files import INDEX, root

LOADER = getattr(
    yaml, 'CSafeLoader', yaml.SafeLoader
)  # that of libyaml, where PyYAML has it, takes a seventh of the time


@dataclass(frozen=True)
class ZooModel:
    """One model of the zoo, which all callers share: nothing in it can be changed.

    Args:
        name (str): What it is called, `cd_imagenet64_l2` for example.
        config (str): The config that draws from it, as a path below `root()`.
        weights (str, optional): URL, or `package:` and a path inside the installed package. None where a recipe comes
            without weights.
        dataset (str, optional): What it was trained on.
        collection (str, optional): The method, as the metafile's `Collections` names it.
        sampler (Mapping, optional): The checkpoint's own points for `MultistepSampler`, such as
            `{'indices': (0, 22), 'num_scales': 40}`.
        results (tuple[Mapping]): Task, dataset, metrics and NFE (network evaluations per image), as in the metafile.
        sha256 (str, optional): Digest of the weights in hexadecimal digits.
        mirrors (tuple[str]): Further addresses of the weights, in the order in which to try them.
        method (str, optional): How it was trained, 'CD lpips' for example.
        resolution (int, optional): Height and width of its images, in pixels.
        num_classes (int, optional): How many classes it was trained with; None for unconditional models.
        card (str, optional): The model card, as a path below `root()`.
        parameters (int, optional): How many parameters the network has.
        source (str, optional): Where the results were published; 'measured here' where they were not.
        released (str, optional): For a recipe, the model of the zoo that was trained by it.
        license (str, optional): Licence of the weights, by its SPDX identifier.
    """

    name: str
    config: str
    weights: str | None = None
    dataset: str | None = None
    collection: str | None = None
    sampler: Mapping[str, Any] | None = None
    results: tuple[Mapping[str, Any], ...] = ()
    sha256: str | None = None
    mirrors: tuple[str, ...] = ()
    method: str | None = None
    resolution: int | None = None
    num_classes: int | None = None
    card: str | None = None
    parameters: int | None = None
    source: str | None = None
    released: str | None = None
    license: str | None = None

    @property
    def is_non_commercial(self) -> bool:
        """Whether the licence of the weights excludes commercial use, as those with NC of Creative Commons do."""
        return 'NC' in (self.license or '').split('-')

    @property
    def config_file(self) -> Path:
        """The config as a file, whatever lies in the working directory."""
        return root() / self.config


def list_models() -> list[ZooModel]:
    """List the models of the zoo that have weights, in the order of the metafiles. These are read once per process.

    Raises:
        InputError: If a metafile is incomplete or two models bear the same name.
    """
    return [model for model in _read_models(root()) if model.weights]


def list_recipes() -> list[ZooModel]:
    """List the entries of the metafiles without weights: recipes to train, with the scores that were published."""
    return [model for model in _read_models(root()) if not model.weights]


def lookup(name: str | Path) -> ZooModel | None:
    """Return the model that has this name or whose weights have this address, None if there is none."""
    return next((model for model in list_models() if str(name) in (model.name, model.weights)), None)


def find(name: str) -> ZooModel:
    """Look up a model or a recipe by its name.

    Args:
        name (str): Name of a model, `cd_imagenet64_l2` for example.

    Returns:
        ZooModel: The model.

    Raises:
        InputError: If no model bears that name; the message gives the nearest ones.
    """
    models = {model.name: model for model in (*list_models(), *list_recipes())}
    if name not in models:
        raise InputError(f'no model {name!r} in the zoo{nearest(name, models)}; mmcm zoo lists all')
    return models[name]


def released_sampler(checkpoint: str) -> dict[str, Any]:
    """Return the settings of `MultistepSampler` that belong to a checkpoint, given by its name or address.

    Checkpoints that share a config differ in the schedule that they were trained with.

    Returns:
        dict: `num_scales`, and `indices` of the two-step points; empty where nothing is known.
    """
    model = lookup(checkpoint)
    return dict(model.sampler or {}) if model else {}


@cache
def _read_models(folder: Path) -> tuple[ZooModel, ...]:
    """Read the index in `folder` and every metafile that it imports."""
    models: dict[str, ZooModel] = {}
    for metafile in _read_yaml(folder / INDEX)['Import']:
        content = _read_yaml(folder / metafile)
        collections = {collection['Name']: collection for collection in content.get('Collections', ())}
        for entry in content['Models']:
            model = _parse(entry, folder / metafile, collections)
            if model.name in models:
                raise InputError(f'{folder / metafile}: a model named {model.name!r} exists already')
            models[model.name] = model
    return tuple(models.values())


def _read_yaml(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(encoding='utf-8'), LOADER)


def _parse(entry: dict[str, Any], metafile: Path, collections: dict[str, dict[str, Any]]) -> ZooModel:
    for key in ('Name', 'Config'):
        if key not in entry:
            raise InputError(f'{metafile}: the model {entry.get("Name", entry)!r} has no {key!r}')
    results = _read_only(entry.get('Results', ()))
    collection, metadata = entry.get('In Collection', ''), entry.get('Metadata', {})
    shared = collections.get(collection, {})
    license = entry.get('License', shared.get('License')) if entry.get('Weights') else None
    return ZooModel(
        name=entry['Name'],
        config=entry['Config'],
        weights=entry.get('Weights'),
        dataset=results[0].get('Dataset') if results else None,
        collection=collection or None,
        sampler=_read_only(entry.get('Sampler')),
        results=results,
        sha256=entry.get('SHA256'),
        mirrors=tuple(entry.get('Mirrors', ())),
        method=metadata.get('Method'),
        resolution=metadata.get('Resolution'),
        num_classes=metadata.get('Classes'),
        card=shared.get('Model Card'),
        parameters=metadata.get('Parameters'),
        source=entry.get('Source'),
        released=entry.get('Released'),
        license=license,
    )


def _read_only(value: Any) -> Any:
    """Return a value of YAML with mappings that cannot be changed, and with tuples, as configs write points."""
    if isinstance(value, dict):
        return MappingProxyType({key: _read_only(each) for key, each in value.items()})
    return tuple(map(_read_only, value)) if isinstance(value, (list, tuple)) else value
