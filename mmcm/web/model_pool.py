"""Models of the web demo, and the one thread that samples with them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, RLock

from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.checkpoints.locate import PACKAGE_PREFIX
from mmcm.registry import SAMPLERS
from mmcm.renamed import moved_name
from mmcm.samplers import FlowMapSampler, MultistepSampler
from mmcm.utils.errors import InputError
from mmcm.utils.nearest import nearest
from mmcm.web.texts import shortened
from mmcm.zoo import list_models


class ModelPool:
    """Models that visitors can choose, each built at its first use.

    Args:
        models (Sequence[str]): Values of `model` for `ConsistencyModelInferencer`; by default the models of the zoo
            whose weights come with the package.
        device, dtype: See `ConsistencyModelInferencer`.
        checkpoint (str, optional): The weights of the one model in `models`, if they are not its own.

    Attributes:
        names (list[str]): Names of the models for visitors: as given, of paths the last part.
        worker (ThreadPoolExecutor): Its only thread does all sampling: PyTorch keeps a pool of threads for each
            thread that computes, and a measured time is that of one request.
        requested (Event): Set at the first request of a visitor; sampling for the opening of the page then waits.
        closing (Event): Set when the server is about to end; sampling then stops at its next step.
    """

    def __init__(
        self, models: Sequence[str] = (), device: str | None = None, dtype: str = 'auto', checkpoint: str | None = None
    ) -> None:
        models = list(dict.fromkeys(map(str, models))) or shipped_models()
        if checkpoint is not None and len(models) != 1:
            raise InputError(f'a checkpoint is for one model, and there are {len(models)}: name the one with --model.')
        self.sources = dict(zip(shown_names(models), models))
        self.names = list(self.sources)
        self.checkpoint = checkpoint
        self.device = device
        self.dtype = dtype
        self.worker = ThreadPoolExecutor(1, 'sampling')
        self.requested = Event()
        self.closing = Event()
        self._built: dict[str, ConsistencyModelInferencer] = {}
        self._warm: set[tuple[str, int]] = set()
        self._lock = RLock()

    def get(self, name: str) -> ConsistencyModelInferencer:
        """Return a model, whose weights are not read yet; an InputError if there is none, or it cannot be built."""
        if name not in self.names:
            raise InputError(
                f'no model {shortened(name)} here{nearest(str(name), self.names)}; there are {", ".join(self.names)}'
            )
        with self._lock:
            if name not in self._built:
                self._built[name] = ConsistencyModelInferencer(
                    self.sources[name], self.checkpoint, self.device, dtype=self.dtype
                )
            return self._built[name]

    def check(self) -> None:
        """Build all models and find their weights, downloading where needed; an InputError if one is missing."""
        for name in self.names:
            self.get(name).weights.locate()

    def close(self) -> None:
        """Stop sampling at its next step, and start no more."""
        self.closing.set()
        self.worker.shutdown(wait=False, cancel_futures=True)

    def consistency_models(self) -> list[str]:
        """Return the names of the models that sample in one step, or few."""
        return [name for name in self.names if is_few_step_model(self.get(name))]

    def diffusion_models(self) -> list[str]:
        """Return the names of the other models, whose samplers solve a differential equation."""
        return [name for name in self.names if not is_few_step_model(self.get(name))]

    def warm_up(self, name: str, num_images: int) -> ConsistencyModelInferencer:
        """Return a model that has read its weights and sampled `num_images` once, outside of measured times."""
        inferencer = self.get(name)
        if (name, num_images) not in self._warm:
            inferencer(num_images, num_steps=1)
            self._warm.add((name, num_images))
        return inferencer


def shown_names(models: Sequence[str]) -> list[str]:
    """Return the names of models for visitors: the last part of a path or an address, numbered where two are alike."""
    names = []
    for model in models:
        is_place = '://' in model or Path(model).expanduser().exists() or Path(model).is_absolute()
        parts = [part for part in model.partition('?')[0].replace('\\', '/').split('/') if part not in ('', '.', '..')]
        name = Path(parts[-1]).stem if is_place and parts else model
        if is_place and Path(model).is_dir():
            name = Path(model).resolve().name
        number = 2
        while name in names:
            name, number = f'{name.partition(" (")[0]} ({number})', number + 1
        names.append(name)
    return names


def shipped_models() -> list[str]:
    """Return the names of the models whose weights come with the package."""
    return [model.name for model in list_models() if (model.weights or '').startswith(PACKAGE_PREFIX)]


def is_consistency_model(inferencer: ConsistencyModelInferencer) -> bool:
    """Return whether a model samples as consistency models do, at noise levels that can be chosen freely."""
    return issubclass(SAMPLERS.get(inferencer.sampler_config['type']), MultistepSampler)


def is_few_step_model(inferencer: ConsistencyModelInferencer) -> bool:
    """Return whether a model samples in one step, or few: a consistency model or a flow map."""
    kind = SAMPLERS.get(inferencer.sampler_config['type'])
    return issubclass(kind, FlowMapSampler) or is_consistency_model(inferencer)


def __getattr__(name: str) -> object:
    return moved_name(__name__, name)
