"""Runs that start or resume from a checkpoint, up to the first step."""

import torch
from mmengine.runner import Runner

import mmcm.engine  # noqa: F401  (makes MMEngine read checkpoints by our loader)
from support.digits import model_config, objective_config
from support.runs import config

CURRICULUM = dict(type='ProgressiveCurriculum', start_scales=2, end_scales=20, total_steps=8, start_decay=0.5)
OBJECTIVE = objective_config() | dict(curriculum=CURRICULUM)


def run_config(work_dir, iterations, interval=None, decays=(0.5, 0.9), objective=OBJECTIVE, **changes):
    """A run of consistency training with OpenAI's optimiser; the learning rate falls."""
    cfg = config(work_dir, iterations, **changes)
    cfg.model = model_config(objective=objective, ema_decays=decays)
    cfg.optim_wrapper.optimizer = dict(type='RAdam', lr=1e-2)
    cfg.param_scheduler = dict(type='PolyLR', by_epoch=False, power=1.0, end=12)
    cfg.default_hooks.checkpoint.interval = interval or iterations
    return cfg


def loaded(work_dir, source, resume=False, model=None, **changes):
    """Return a runner that has read `source` and not trained yet, and what it logged of it."""
    cfg = run_config(work_dir, 8, **changes)
    cfg.model = model or cfg.model
    runner = Runner.from_cfg(cfg)
    runner._load_from, runner._resume = str(source), resume
    notes, info = [], runner.logger.info
    runner.logger.info = lambda text, *args, **kwargs: (notes.append(str(text)), info(text, *args, **kwargs))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    if runner.param_schedulers is not None:
        runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    runner.load_or_resume()
    return runner, next((note for note in notes if note.startswith(str(source))), '')


def part(model, prefix):
    return {key[len(prefix) :]: value for key, value in model.state_dict().items() if key.startswith(prefix)}


def equal(weights, others):
    return weights.keys() == others.keys() and all(torch.equal(value, others[key]) for key, value in weights.items())
