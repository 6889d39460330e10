"""From nothing to the first image: fresh processes, ours against diffusers."""

import sys

import peers
from measure import Row, run

OURS = 'from mmcm.apis import ConsistencyModelInferencer as Model; Model({!r}, device={!r})(num_images=1)'
THEIRS = """
from diffusers import ConsistencyModelPipeline as Model
model = Model.from_pretrained({!r}).to({!r})
model.set_progress_bar_config(disable=True)
model(1)
"""
MODELS = {'digits': ('digits', '<= 0.55'), 'ImageNet 64x64': (peers.IMAGENET, '<= 0.6')}


def measure(args) -> list[Row]:
    """Measure seconds, processor seconds, which other programs hardly change, and peak memory."""
    rows = []
    for title, (name, goal) in MODELS.items():
        with peers.folder(name) as path:
            commands = [
                [sys.executable, '-W', 'ignore', '-c', code.format(path, args.device)] for code in (OURS, THEIRS)
            ]
            pairs = [[run(command) for command in commands] for _ in range(args.rounds + 1)][1:]
        for attribute, what, unit, wanted in (
            ('wall', 'time', 's', goal),
            ('cpu', 'processor time', 's', goal),
            ('peak', 'peak memory', 'MB', '<= 0.75'),
        ):
            values = [tuple(getattr(each, attribute) for each in pair) for pair in pairs]
            text = f'from nothing to one image, {title}, {what}'
            rows.append(Row.paired('start', text, unit, values, 'ConsistencyModelPipeline', wanted))
    return rows
