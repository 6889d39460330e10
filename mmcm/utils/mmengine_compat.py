"""Private names of MMEngine 0.10 that mmcm uses, all of them: a new MMEngine is checked against this module alone.

`tests/test_utils/test_mmengine_compat.py` has a test for each. It lies in `utils`, not in `engine`, since `zoo` and
`checkpoints` need some. MMEngine is imported within functions, as it loads torch.
"""

from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.dataset import InfiniteSampler
    from mmengine.hooks import CheckpointHook
    from mmengine.optim import OptimWrapper
    from mmengine.runner import BaseLoop, FlexibleRunner, Runner

BaseFinder = Callable[[str, str], tuple[str, str | None]]  # (base, config file) -> path, scope

# Keys that the state of a parameter scheduler changes as a run goes on; all other keys are settings.
SCHEDULER_STEP = '_global_step'
SCHEDULER_PROGRESS = frozenset(('last_step', SCHEDULER_STEP, '_last_value', 'verbose', 'optimizer'))


def find_base(base: str, config_file: str) -> tuple[str, str | None]:
    """Return the path of a `_base_` of a config file, and its scope."""
    from mmengine.config import Config

    return Config._get_cfg_path(base, config_file)


def replace_base_finder(finder: BaseFinder) -> BaseFinder:
    """Let MMEngine find the `_base_` of configs by `finder`; return the function that it used before."""
    from mmengine.config import Config

    before = Config._get_cfg_path
    Config._get_cfg_path = staticmethod(finder)
    return before


def content(config: 'Config') -> dict:
    """Return the dict of all settings in `config`, not a copy."""
    return config._cfg_dict


def resume_option(runner: 'Runner | FlexibleRunner') -> bool | str:
    """Return the option `resume` of a runner: whether to resume, or from which checkpoint."""
    return runner._resume


def load_option(runner: 'Runner | FlexibleRunner') -> str | None:
    """Return the option `load_from` of a runner, the checkpoint to load."""
    return runner._load_from


def built_loops(runner: 'Runner | FlexibleRunner') -> dict[str, 'BaseLoop']:
    """Return the loops that `runner` has built so far, by the names of their loaders in a config."""
    from mmengine.runner import BaseLoop

    names = dict(_train_loop='train_dataloader', _val_loop='val_dataloader', _test_loop='test_dataloader')
    loops = {loader: getattr(runner, name, None) for name, loader in names.items()}
    return {loader: loop for loader, loop in loops.items() if isinstance(loop, BaseLoop)}


def set_iteration(loop: 'BaseLoop', iteration: int) -> None:
    """Set the number of finished iterations of a training loop."""
    loop._iter = iteration


def accumulative_counts(wrapper: 'OptimWrapper') -> int:
    """Return how many backward passes accumulate gradients for a step of the optimiser."""
    return wrapper._accumulative_counts


def multiply_accumulative_counts(wrapper: 'OptimWrapper', factor: int) -> None:
    """Accumulate the gradients of `factor` times as many backward passes for a step of the optimiser."""
    wrapper._accumulative_counts *= factor


class CountedByDeepSpeed:
    """Mixin for a wrapper of DeepSpeed's engine, `model`, which counts backward passes itself."""

    model: Any

    @property
    def _accumulative_counts(self) -> int:
        return self.model.gradient_accumulation_steps()

    @property
    def _inner_count(self) -> int:
        return self.model.micro_steps

    def should_update(self) -> bool:
        """Return whether the last backward pass ended with a step."""
        return self._inner_count % self._accumulative_counts == 0


def save_checkpoint(hook: 'CheckpointHook', runner: 'Runner | FlexibleRunner') -> None:
    """Save a checkpoint of `runner` as `hook` does at its interval."""
    hook._save_checkpoint(runner)


class SavesStep:
    """Mixin for a CheckpointHook, whose methods write checkpoints in place of MMEngine's."""

    # Parts of names of metrics, by which the hook infers whether more or less is better.
    _default_greater_keys: ClassVar = ['acc', 'precision', 'recall', 'score', 'ssim', 'psnr']
    _default_less_keys: ClassVar = ['loss', 'distance', 'fid', 'kid', 'swd', 'lpips']

    def save_step(self, runner: 'Runner | FlexibleRunner', step: int, meta: dict[str, Any]) -> None:
        """Write the checkpoint of `step`."""
        raise NotImplementedError

    def save_best_checkpoint(self, runner: 'Runner | FlexibleRunner', metrics: dict[str, Any]) -> None:
        """Write a best checkpoint if one of `metrics` is better than before."""
        raise NotImplementedError

    def save_best_of(self, runner: 'Runner | FlexibleRunner', metrics: dict[str, Any]) -> None:
        """Save a best checkpoint if one of `metrics` is better than before, as MMEngine's hook does."""
        super()._save_best_checkpoint(runner, metrics)  # type: ignore[misc]

    def infer_rule(self, key: str) -> None:
        """Take `key` as the metric that decides, and infer whether less is better; a ValueError if it does not tell."""
        self._init_rule(self.rules, [key])  # type: ignore[attr-defined]

    def _save_best_checkpoint(self, runner: 'Runner | FlexibleRunner', metrics: dict[str, Any]) -> None:
        self.save_best_checkpoint(runner, metrics)

    def _save_checkpoint_with_step(self, runner: 'Runner | FlexibleRunner', step: int, meta: dict[str, Any]) -> None:
        self.save_step(runner, step, meta)


def indices_of_rank(sampler: 'InfiniteSampler') -> Iterator[int]:
    """Return the indices of this process in the order of `sampler`, without end and from the first on."""
    return sampler._indices_of_rank()


class SamplesFromStart:
    """Mixin for an InfiniteSampler, which iterates by `indices_from`."""

    def indices_from(self, position: int) -> Iterator[int]:
        """Iterate over the indices of this process, without end, from its image `position` on, counted from 0."""
        raise NotImplementedError

    def _indices_of_rank(self) -> Iterator[int]:
        return self.indices_from(0)


def strategies() -> ModuleType:
    """Return the module of MMEngine's strategies; importing it takes a torch with `torch.distributed`."""
    import mmengine._strategy

    return mmengine._strategy


def is_strategy(value: Any) -> bool:
    """Return whether `value` is a strategy of MMEngine's FlexibleRunner."""
    return any(kind.__module__.startswith('mmengine._strategy') for kind in type(value).__mro__)


def seed_strategy(strategy: Any, randomness: Mapping[str, Any]) -> None:
    """Seed the generators of all libraries with the setting `randomness`, as a strategy does."""
    strategy._set_randomness(**randomness)


def saves_whole_weights(strategy: Any) -> bool:
    """Return whether an FSDPStrategy writes weights whole, not as shards."""
    return strategy._is_full_state_dict()


def runner_modules() -> list[ModuleType]:
    """Return the modules in which MMEngine's runners look up `find_latest_checkpoint`."""
    import mmengine.runner
    import mmengine.runner._flexible_runner

    return [mmengine.runner, mmengine.runner.runner, mmengine.runner._flexible_runner]


def checkpoint_schemes() -> list[str]:
    """Return the beginnings of addresses by which MMEngine's CheckpointLoader chooses how to load."""
    from mmengine.runner.checkpoint import CheckpointLoader

    return list(CheckpointLoader._schemes)
