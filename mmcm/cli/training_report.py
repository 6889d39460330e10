"""What a finished training has made."""

import shlex
import sys
from pathlib import Path

from mmengine.runner import FlexibleRunner, Runner

from mmcm.cli.runner import shown_path
from mmcm.engine import WholeCheckpointHook
from mmcm.utils.model_wrappers import unwrapped


def report(runner: Runner | FlexibleRunner, name: str, prog: str | None) -> None:
    """Print where the finished training of the config `name` is, its best checkpoint, and the command that samples.

    Args:
        runner (Runner | FlexibleRunner): The runner; only that of process 0 prints.
        name (str): The config.
        prog (str, optional): 'mmcm train', or None in a script.
    """
    if runner.rank != 0:
        return
    source = shown_path(runner.work_dir)
    print(f'Trained to iteration {runner.iter}; checkpoints, samples and logs are in {source}')
    for hook in runner.hooks:
        for key, path in hook.best_paths().items() if isinstance(hook, WholeCheckpointHook) else ():
            place = None if path is None else Path(runner.work_dir) / Path(path).name
            if place is not None and place.exists():
                source = shown_path(place)
                score = runner.message_hub.runtime_info.get('best_score')
                print(f'Best by {key}{"" if score is None else f", {score:.4g}"}: {source}')
    model = unwrapped(runner.model)
    if getattr(model, 'sampler', None) is None:
        return
    program = 'python tools/sample.py' if prog is None and sys.argv[0].endswith('.py') else 'mmcm sample'
    given = ['--model', source]
    if runner.cfg.get('custom_imports'):  # a checkpoint imports nothing
        given = ['--model', name, '--checkpoint', source]
    labels = [] if model.num_classes is None else ['--labels', 'balanced']
    print(f'To sample: {program} {shlex.join([*given, "-n", "16", *labels, "--out", "samples.png"])}')
