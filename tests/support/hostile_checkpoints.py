"""Files of weights whose config asks for more than a network, for tests that refuse them."""

import sys
from copy import deepcopy
from pathlib import Path

import torch
from mmengine.config import Config
from safetensors.torch import save_file

from support.digits import build, model_config, objective_config

# Places where a `type` can stand. Drawing needs the first; the second are left out, whatever they hold.
REFUSED = (
    'model',
    'model.denoiser',
    'model.denoiser.backbone',
    'model.sampler',
    'model.data_preprocessor',
    'model.requests',
    'model.denoiser.sigma_data',
    'model.denoiser.backbone.channel_mult',
    'model.denoiser.backbone.num_classes',
    'model.sampler.indices',
    'model.sampler.num_scales',
    'model.data_preprocessor.value_range',
    'model.requests.noise',
    'model.unheard_of',
    'model.denoiser.unheard_of',
    'model.denoiser.backbone.unheard_of',
    'model.sampler.unheard_of',
    'class_names',
    'custom_imports',
)
LEFT_OUT = (
    'model.objective',
    'model.objective.curriculum',
    'model.objective.distance',
    'model.objective.weighting',
    'model.objective.solver',
    'model.objective.tangent',
    'model.objective.levels',
    'model.objective.sigmas',
    'model.teacher',
    'model.teacher.denoiser',
    'model.teacher.denoiser.backbone',
    'model.teacher.checkpoint',
    'model.init_from',
    'model.ema_decays',
    'model.init_cfg',
    'model.denoiser.init_cfg',
    'model.denoiser.backbone.init_cfg',
    'checkpoint',
    'load_from',
    'samplers',
    'test_dataloader',
    'test_dataloader.collate_fn',
    'train_dataloader',
    'train_dataloader.dataset',
    'optim_wrapper',
    'custom_hooks',
    'default_hooks',
    'visualizer',
    'runner_type',
    'strategy',
    'test_evaluator',
    'log_processor',
    'default_scope',
)


class Traps:
    """Configs that would leave a trace if anything of them were imported or called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trace = folder / 'trace'
        text = f'import os\nos.makedirs({str(self.trace)!r}, exist_ok=True)\nclass Thing: pass\n'
        (folder / 'hostile_module.py').write_text(text)
        (folder / 'hostile_scope').mkdir()
        (folder / 'hostile_scope' / '__init__.py').write_text(text)
        (folder / 'hostile_scope' / 'registry.py').write_text(text)
        (folder / 'hostile_script.py').write_text(text)

    def configs(self):
        """Return a call, a script, a name whose look-up imports a module, and one whose scope does."""
        return dict(
            call=dict(type='os.mkdir', path=str(self.trace)),
            process=dict(type='subprocess.call', args=[sys.executable, str(self.folder / 'hostile_script.py')]),
            script=dict(type='runpy.run_path', path_name=str(self.folder / 'hostile_script.py')),
            name=dict(type='hostile_module.Thing'),
            scope=dict(type='hostile_scope.Thing'),
        )

    @property
    def sprung(self):
        """Whether anything of these has run."""
        return self.trace.exists() or any(name in sys.modules for name in ('hostile_module', 'hostile_scope'))


def config_with(place, value, size=8, boundary=True):
    """Return a whole training config, of images of `size` pixels, with `value` in one place.

    Without `boundary` the model is a diffusion model.
    """
    config = dict(
        default_scope='mmcm',
        model=deepcopy(model_config(objective=objective_config(), ema_decays=(0.5,))),
        train_dataloader=dict(batch_size=8),
        custom_hooks=[dict(type='AveragesHook')],
    )
    config['model']['denoiser']['backbone']['image_size'] = size
    config['model']['denoiser']['boundary'] = boundary
    *path, last = place.split('.')
    part = config
    if place.startswith('model.data_preprocessor.'):
        config['model']['data_preprocessor'] = dict(type='ImagePreprocessor')
    for key in path:
        part = part.setdefault(key, {})
    if place.endswith('unheard_of'):
        part['setting'] = value
    elif place == 'custom_imports':
        part[last] = dict(imports=['hostile_module'], allow_failed_imports=False)
    elif place in (
        'model.requests.noise',
        'model.teacher.checkpoint',
        'model.init_from',
        'checkpoint',
        'load_from',
        'test_dataloader.collate_fn',
        'default_scope',
        'runner_type',
    ):
        part[last] = value['type']
    elif place == 'custom_hooks':
        part[last] = [value]
    elif place == 'model':
        part[last] = {**part[last], 'type': value['type']}
    else:
        part[last] = value
    return config


def write(folder, name, config, form):
    """Write weights that carry `config`, and return what a user calls them: a file, or a work directory."""
    text = config if isinstance(config, str) else Config(config, format_python_code=False).pretty_text
    weights = WEIGHTS or WEIGHTS.update(build().denoiser.backbone.state_dict()) or WEIGHTS
    if form == '.safetensors':
        path = folder / f'{name}.safetensors'
        save_file(weights, path, dict(config=text))
        return path
    content = dict(
        meta=dict(cfg=text, iter=8, epoch=0),
        state_dict={
            f'{part}.backbone.{key}': value for part in ('denoiser', 'emas.0_5') for key, value in weights.items()
        },
    )
    if form == '.pth':
        torch.save(content, folder / f'{name}.pth')
        return folder / f'{name}.pth'
    run = folder / name
    run.mkdir()
    torch.save(content, run / 'iter_8.pth')
    (run / 'last_checkpoint').write_text(str(run / 'iter_8.pth'))
    return run


WEIGHTS: dict = {}
FORMS = ('.safetensors', '.pth', 'run')
