"""Modules that were renamed: their old names still import, with a DeprecationWarning, for one release.

A new name for a module needs a row in `RENAMED`; `tests/test_renamed.py` imports each.
"""

import importlib
import sys
import warnings
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

RENAMED = {
    'mmcm.apis.analysis.dataset_sheet': 'mmcm.apis.analysis.dataset_grid',
    'mmcm.apis.analysis.figures': 'mmcm.visualization.figures',
    'mmcm.apis.analysis.network_calls': 'mmcm.apis.analysis.nfe',
    'mmcm.apis.bulk_sampling': 'mmcm.apis.sampling.bulk',
    'mmcm.apis.data_source': 'mmcm.apis.data.resolve_dataset',
    'mmcm.apis.drawing': 'mmcm.apis.sampling_result',
    'mmcm.apis.edit_scores': 'mmcm.apis.evaluation.edit_scores',
    'mmcm.apis.edited': 'mmcm.apis.editing.edit_result',
    'mmcm.apis.evaluation_cache': 'mmcm.apis.evaluation.evaluation_cache',
    'mmcm.apis.given_samples': 'mmcm.apis.evaluation.image_sets',
    'mmcm.apis.image_archives': 'mmcm.apis.sampling.image_archives',
    'mmcm.apis.interpolation': 'mmcm.apis.sampling.interpolation',
    'mmcm.apis.kept_samples': 'mmcm.apis.evaluation.saved_samples',
    'mmcm.apis.lsun_export': 'mmcm.apis.data.lsun_export',
    'mmcm.apis.mmagic_bridge': 'mmcm.mmagic.inferencer_bridge',
    'mmcm.apis.model_source': 'mmcm.apis.resolve_model',
    'mmcm.apis.named_samplers': 'mmcm.apis.evaluation.named_samplers',
    'mmcm.apis.pack_file': 'mmcm.apis.data.pack_file',
    'mmcm.apis.packing': 'mmcm.apis.data.packing',
    'mmcm.apis.scores': 'mmcm.apis.evaluation.scores',
    'mmcm.apis.testing': 'mmcm.apis.evaluation.tester',
    'mmcm.apis.timestep_search': 'mmcm.apis.evaluation.timestep_search',
    'mmcm.checkpoints.weight_checks': 'mmcm.checkpoints.weights',
    'mmcm.datasets.image_archive': 'mmcm.datasets.formats.image_archive',
    'mmcm.datasets.image_names': 'mmcm.datasets.formats.image_names',
    'mmcm.datasets.numpy_pickle': 'mmcm.datasets.formats.numpy_pickle',
    'mmcm.datasets.packed_names': 'mmcm.datasets.formats.packed_names',
    'mmcm.editing': 'mmcm.operators',
    'mmcm.editing.base': 'mmcm.operators.base',
    'mmcm.editing.colorization': 'mmcm.operators.colorization',
    'mmcm.editing.deblurring': 'mmcm.operators.deblurring',
    'mmcm.editing.guide': 'mmcm.operators.sdedit',
    'mmcm.editing.inpainting': 'mmcm.operators.inpainting',
    'mmcm.editing.known_kept': 'mmcm.models.editing',
    'mmcm.editing.pictures': 'mmcm.apis.editing.images',
    'mmcm.editing.super_resolution': 'mmcm.operators.super_resolution',
    'mmcm.editing.tasks': 'mmcm.apis.editing.tasks',
    'mmcm.editing.tiles': 'mmcm.operators.tiles',
    'mmcm.engine.autocast_optim_wrapper': 'mmcm.engine.optimizers.autocast_optim_wrapper',
    'mmcm.engine.deepspeed': 'mmcm.engine.optimizers.deepspeed',
    'mmcm.engine.fitted_weights': 'mmcm.engine.resuming.fitted_weights',
    'mmcm.engine.fsdp': 'mmcm.engine.strategies.fsdp',
    'mmcm.engine.last_checkpoint': 'mmcm.engine.resuming.last_checkpoint',
    'mmcm.engine.loaded_checkpoint': 'mmcm.engine.resuming.loaded_checkpoint',
    'mmcm.engine.loop_ends': 'mmcm.engine.loops.loop_ends',
    'mmcm.engine.micro_batch_train_loop': 'mmcm.engine.loops.micro_batch_train_loop',
    'mmcm.engine.resumable_sampler': 'mmcm.datasets.samplers.resumable_sampler',
    'mmcm.engine.resumed_optimizer': 'mmcm.engine.resuming.resumed_optimizer',
    'mmcm.engine.resumed_run': 'mmcm.engine.resuming.resumed_run',
    'mmcm.engine.resumed_settings': 'mmcm.engine.resuming.resumed_settings',
    'mmcm.engine.resumed_trainer': 'mmcm.engine.resuming.resumed_trainer',
    'mmcm.engine.safe_loading': 'mmcm.engine.resuming.safe_loading',
    'mmcm.engine.whole_batches': 'mmcm.datasets.samplers.whole_batches',
    'mmcm.evaluation.metrics.comparing_metric': 'mmcm.evaluation.metrics.pairwise_feature_metric',
    'mmcm.evaluation.metrics.counted_once': 'mmcm.evaluation.metrics.deduplicate',
    'mmcm.evaluation.metrics.extracting_metric': 'mmcm.evaluation.metrics.feature_metric',
    'mmcm.interop': 'mmcm.checkpoints',
    'mmcm.interop.config_text': 'mmcm.checkpoints.config_parser',
    'mmcm.interop.diffusers_folder': 'mmcm.checkpoints.formats.diffusers_folder',
    'mmcm.interop.diffusers_unet': 'mmcm.checkpoints.formats.diffusers_unet',
    'mmcm.interop.inception_names': 'mmcm.checkpoints.formats.inception_names',
    'mmcm.interop.mmagic_config': 'mmcm.checkpoints.formats.mmagic_config',
    'mmcm.interop.openai_trainer': 'mmcm.checkpoints.formats.openai_trainer',
    'mmcm.interop.trusted_config': 'mmcm.checkpoints.trusted_config',
    'mmcm.interop.weight_files': 'mmcm.checkpoints.write',
    'mmcm.models.mmagic_calls': 'mmcm.mmagic.consistency_model',
    'mmcm.utils.checkpoint_files': 'mmcm.checkpoints.read',
    'mmcm.utils.config_files': 'mmcm.zoo.config_files',
    'mmcm.utils.configs': 'mmcm.config',
    'mmcm.utils.external_bases': 'mmcm.zoo.external_bases',
    'mmcm.utils.file_kinds': 'mmcm.checkpoints.file_kinds',
    'mmcm.utils.foreign_weights': 'mmcm.checkpoints.formats.foreign_weights',
    'mmcm.utils.network_pickle': 'mmcm.checkpoints.read',
    'mmcm.utils.safe_globals': 'mmcm.checkpoints.safe_globals',
    'mmcm.utils.torch_files': 'mmcm.checkpoints.torch_files',
    'mmcm.utils.weight_checks': 'mmcm.checkpoints.weights',
    'mmcm.utils.weights': 'mmcm.checkpoints.weights',
    'mmcm.web.controls': 'mmcm.web.widgets',
    'mmcm.web.events': 'mmcm.web.streaming',
    'mmcm.web.guard': 'mmcm.web.request_filter',
    'mmcm.web.shelf': 'mmcm.web.model_pool',
    'mmcm.zoo.checkpoint_path': 'mmcm.checkpoints.locate',
    'mmcm.zoo.download': 'mmcm.checkpoints.download',
    'mmcm.zoo.hub': 'mmcm.checkpoints.hub',
    'mmcm.zoo.wholeness': 'mmcm.checkpoints.integrity',
    'mmcm.zoo.work_directory': 'mmcm.checkpoints.work_directory',
}
# Names that packages exported, and the modules that have them now.
MOVED_NAMES = {
    ('mmcm.checkpoints', 'backbone_config'): 'mmcm.checkpoints.formats.diffusers_unet',
    ('mmcm.checkpoints', 'config_text'): 'mmcm.checkpoints.checkpoint',
    ('mmcm.checkpoints', 'embedded_config'): 'mmcm.checkpoints.checkpoint',
    ('mmcm.checkpoints', 'from_diffusers'): 'mmcm.checkpoints.formats.diffusers_unet',
    ('mmcm.checkpoints', 'is_diffusers_folder'): 'mmcm.checkpoints.formats.diffusers_folder',
    ('mmcm.checkpoints', 'read_config'): 'mmcm.checkpoints.formats.diffusers_folder',
    ('mmcm.checkpoints', 'read_weights'): 'mmcm.checkpoints.formats.diffusers_folder',
    ('mmcm.checkpoints', 'to_diffusers'): 'mmcm.checkpoints.formats.diffusers_unet',
    ('mmcm.checkpoints', 'unet_config'): 'mmcm.checkpoints.formats.diffusers_unet',
    ('mmcm.checkpoints', 'write_folder'): 'mmcm.checkpoints.formats.diffusers_folder',
    ('mmcm.checkpoints.config_parser', 'config_text'): 'mmcm.checkpoints.checkpoint',
    ('mmcm.checkpoints.trusted_config', 'embedded_config'): 'mmcm.checkpoints.checkpoint',
    ('mmcm.checkpoints.weights', 'average_name'): 'mmcm.checkpoints.formats.training_checkpoint',
    ('mmcm.checkpoints.weights', 'kept_averages'): 'mmcm.checkpoints.formats.training_checkpoint',
    ('mmcm.checkpoints.weights', 'read_state_dict'): 'mmcm.checkpoints.formats.foreign_weights',
    ('mmcm.engine', 'ResumableSampler'): 'mmcm.datasets.samplers',
    ('mmcm.engine', 'WholeBatches'): 'mmcm.datasets.samplers',
    ('mmcm.models.consistency_model', 'evaluating'): 'mmcm.models.averages',
    ('mmcm.operators', 'editing_sampler'): 'mmcm.models.editing',
    ('mmcm.utils.finite', 'OutputCheck'): 'mmcm.models.output_check',
    ('mmcm.utils.finite', 'autocast_dtype'): 'mmcm.models.output_check',
    ('mmcm.utils.images', 'CAPTION_HEIGHT'): 'mmcm.visualization.grids',
    ('mmcm.utils.images', 'FONT'): 'mmcm.visualization.grids',
    ('mmcm.utils.images', 'GAP'): 'mmcm.visualization.grids',
    ('mmcm.utils.images', 'TILE_SIDE'): 'mmcm.visualization.grids',
    ('mmcm.utils.images', 'caption'): 'mmcm.visualization.grids',
    ('mmcm.utils.images', 'drawable'): 'mmcm.visualization.grids',
    ('mmcm.utils.images', 'grid'): 'mmcm.visualization.grids',
    ('mmcm.utils.images', 'named_grid'): 'mmcm.visualization.grids',
    ('mmcm.utils.images', 'on_square'): 'mmcm.visualization.grids',
    ('mmcm.utils.images', 'shortened'): 'mmcm.visualization.grids',
    ('mmcm.models.averages', 'check_decays'): 'mmcm.models.ema_decays',
    ('mmcm.zoo', 'addresses'): 'mmcm.checkpoints',
    ('mmcm.zoo', 'cache_folder'): 'mmcm.checkpoints',
    ('mmcm.zoo', 'cached_place'): 'mmcm.checkpoints',
    ('mmcm.zoo', 'checkpoints_in'): 'mmcm.checkpoints',
    ('mmcm.zoo', 'download'): 'mmcm.checkpoints',
    ('mmcm.zoo', 'holds_run'): 'mmcm.checkpoints',
    ('mmcm.zoo', 'last_checkpoint'): 'mmcm.checkpoints',
    ('mmcm.zoo', 'nearest'): 'mmcm.utils.nearest',
    ('mmcm.zoo', 'recorded_sha256'): 'mmcm.checkpoints',
}


# Names that changed: the new one in the same module, or with the path of another module.
RENAMED_NAMES = {
    ('mmcm.apis.editing', 'Edited'): 'mmcm.apis.editing.edit_result.EditResult',
    ('mmcm.apis.editing', 'MOST_CALLS'): 'mmcm.apis.editing.request.MAX_CALLS',
    ('mmcm.apis.editing', 'as_picture'): 'mmcm.apis.editing.images.open_image',
    ('mmcm.apis.editing.edit_result', 'Edited'): 'EditResult',
    ('mmcm.apis.editing.images', 'decode_picture'): 'decode_image',
    ('mmcm.apis.editing.images', 'fit_picture'): 'fit_image',
    ('mmcm.apis.editing.images', 'read_picture'): 'open_image',
    ('mmcm.apis.editing.images', 'scaled_mask'): 'scale_mask',
    ('mmcm.apis.editing.images', 'scaled_picture'): 'scale_image',
    ('mmcm.apis.export', 'DrawingGraph'): 'SamplingGraph',
    ('mmcm.apis.evaluation.image_sets', 'GivenSamples'): 'ImageSetSamples',
    ('mmcm.apis.evaluation.image_sets', 'given_config'): 'image_set_config',
    ('mmcm.apis.evaluation.image_sets', 'measure_given'): 'measure_image_sets',
    ('mmcm.apis.evaluation.saved_samples', 'KeptSamples'): 'SaveSamplesHook',
    ('mmcm.apis.evaluation.saved_samples', 'check_keepable'): 'check_saving',
    ('mmcm.apis.sampling_result', 'Drawing'): 'SamplingResult',
    ('mmcm.checkpoints', 'cached_file'): 'mmcm.checkpoints.resolve_checkpoint',
    ('mmcm.checkpoints.locate', 'cached_file'): 'resolve_checkpoint',
    ('mmcm.evaluation.features.shared', 'drawn_images'): 'generated_images',
    ('mmcm.evaluation.metrics.deduplicate', 'Counted'): 'Entries',
    ('mmcm.evaluation.metrics.deduplicate', 'CountedOnce'): 'Deduplicator',
    ('mmcm.evaluation.metrics.feature_metric', 'ExtractingMetric'): 'FeatureMetric',
    ('mmcm.evaluation.metrics.pairwise_feature_metric', 'ComparingMetric'): 'PairwiseFeatureMetric',
    ('mmcm.models.consistency_model', 'drawing_config'): 'inference_config',
    ('mmcm.models.consistency_model', 'follow'): 'mmcm.models.averages.update_ema',
    ('mmcm.models.editing', 'known_kept'): 'constrain',
    ('mmcm.operators', 'Guide'): 'mmcm.operators.sdedit.SDEdit',
    ('mmcm.operators', 'known_kept'): 'mmcm.models.editing.constrain',
    ('mmcm.operators.sdedit', 'Guide'): 'SDEdit',
    ('mmcm.operators.tiles', 'around'): 'mmcm.apis.editing.tiling.tiles_around',
    ('mmcm.operators.tiles', 'count_tiles'): 'mmcm.apis.editing.tiling.count_tiles',
    ('mmcm.operators.tiles', 'whole_picture'): 'mmcm.apis.editing.tiling.covering_tiles',
    ('mmcm.utils.images', 'SHEET_SIDE'): 'mmcm.visualization.grids.GRID_SIDE',
    ('mmcm.utils.images', 'check_picture_path'): 'check_image_path',
    ('mmcm.utils.images', 'write_picture'): 'write_image',
    ('mmcm.visualization.grids', 'SHEET_SIDE'): 'GRID_SIDE',
    ('mmcm.web.model_pool', 'Shelf'): 'ModelPool',
    ('mmcm.web.request_filter', 'Guard'): 'RequestFilter',
    ('mmcm.zoo', 'cached_file'): 'mmcm.checkpoints.resolve_checkpoint',
}


class RenamedModules(MetaPathFinder, Loader):
    """Import a module of `RENAMED` by its old name: the same module object as by its new one."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Return how to load `fullname`, None if it was not renamed."""
        return ModuleSpec(fullname, self) if fullname in RENAMED else None

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to Python to make a placeholder, which `exec_module` replaces."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the module that bears the new name in place of `module`."""
        new = RENAMED[module.__name__]
        warnings.warn(f'{module.__name__} is {new} now.', DeprecationWarning, stacklevel=2)
        sys.modules[module.__name__] = importlib.import_module(new)


def moved_name(package: str, name: str) -> object:
    """Return what `package` exported as `name`: the `__getattr__` of modules whose names moved or changed.

    Raises:
        AttributeError: If it never exported it.
    """
    if (package, name) in RENAMED_NAMES:
        new = RENAMED_NAMES[package, name]
        module, _, new_name = new.rpartition('.')
        warnings.warn(f'{package}.{name} is {new} now.', DeprecationWarning, stacklevel=3)
        return getattr(importlib.import_module(module or package), new_name)
    if (package, name) not in MOVED_NAMES:
        raise AttributeError(f'module {package!r} has no attribute {name!r}')
    new = MOVED_NAMES[package, name]
    warnings.warn(f'{package}.{name} is {new}.{name} now.', DeprecationWarning, stacklevel=3)
    return getattr(importlib.import_module(new), name)


def old_names(module: str) -> Callable[[str], object]:
    """Return the `__getattr__` of a `module` whose names moved or changed; see `moved_name`."""

    def find(name: str) -> object:
        return moved_name(module, name)

    return find


def renamed_member(old: str, new: str) -> Any:
    """Return the attribute `old` of a class, which warns and returns the attribute or method `new`."""

    def find(owner: Any) -> Any:
        warnings.warn(f'{old} is {new} now.', DeprecationWarning, stacklevel=2)
        return getattr(owner, new)

    return property(find, doc=f'`{new}`. Deprecated.')


def install() -> None:
    """Let Python find renamed modules, before it looks for files: an old package has the path of the new one."""
    if not any(isinstance(finder, RenamedModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, RenamedModules())
