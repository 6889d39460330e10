"""The table that `mmcm new` prints: what was found, what was chosen, predicted time and memory, and what comes next."""

import shlex
from collections.abc import Iterator

from mmcm.apis.new.budget import in_words
from mmcm.apis.new.choose import LEAST_STEPS, WANTED_STEPS
from mmcm.apis.new.inspection import MOST_NAMED, named, rows_of
from mmcm.apis.new.measure import device_in_words
from mmcm.apis.new.networks import build_on_meta
from mmcm.apis.new.request import NewConfig, Request, Trained
from mmcm.apis.new.source import background_in_words
from mmcm.utils.errors import printable
from mmcm.utils.files import in_bytes

INDENT = 16


def lines_of(result: NewConfig, request: Request) -> Iterator[str]:
    """Yield the lines."""
    yield from named(result.findings)
    seen = set(result.findings.broken)
    more = [reason for reason in result.left_out if reason not in seen]
    for reason in more[:MOST_NAMED]:
        yield f'left out: {printable(reason)}'
    yield 'found'
    for name, value in rows_of(result.findings):
        yield row(name, value)
    yield 'chosen'
    for name, value in choices(result, request):
        yield row(name, value)
    for training in result.trainings:
        yield str(training.out)
        for name, value in predictions(training):
            yield row(name, value)
    yield f'together: about {in_words(sum(training.seconds for training in result.trainings))}'
    few = min(result.trainings, key=lambda training: training.plan.num_steps)
    if few.plan.num_steps < LEAST_STEPS:
        enough = request.budget * WANTED_STEPS / few.plan.num_steps
        yield (
            f'note: {few.plan.num_steps} steps are few, and images will be vague. {WANTED_STEPS} steps of this network '
            f'take about {in_words(enough)} in all: give a longer --budget, a smaller --size or a faster device.'
        )
    configs = shlex.join(str(training.out) for training in result.trainings)
    last = result.trainings[-1]
    run = shlex.join(['--model', f'work_dirs/{last.out.stem}'])
    yield 'next:'
    yield f'  mmcm train {configs}'
    yield f'  mmcm sample {run} -n 36 --out {shlex.quote(last.out.stem)}.png'


def row(name: str, value: str) -> str:
    """Return a row of the table."""
    return f'  {name:<{INDENT}}{value}'


def choices(result: NewConfig, request: Request) -> Iterator[tuple[str, str]]:
    """Yield what all trainings have in common."""
    plan, findings = result.trainings[0].plan, result.findings
    height, width = plan.data.size
    cut = any(h * width != w * height for h, w in zip(findings.heights, findings.widths))
    how = ', the middle of each image' if cut else ''
    if any(h < height or w < width for h, w in zip(findings.heights, findings.widths)):
        how += '; smaller images are enlarged'
    yield 'size', f'{height} x {width} pixels (height x width){how}'
    yield 'channels', '1, grey' if plan.data.channels == 1 else '3, RGB'
    if findings.num_transparent:
        yield 'background', background_in_words(request.source)
    yield 'classes', f'{len(plan.data.classes)}' if plan.data.classes else 'none'
    where = f'packed into {request.pack}' if result.is_packed else 'read from their source'
    yield 'data', f'{plan.data.num_images} images, {where}'
    if result.left_out and not result.is_packed:
        yield '', 'training stops at a broken file: remove those that are named above'
    held_out = f'{100 * plan.data.held_out:g} % of the images held out' if plan.data.held_out else 'on training images'
    yield 'validation', f'sliced Wasserstein distance of {plan.val_samples} samples, {held_out}'
    network = build_on_meta(plan.denoiser['backbone'])
    number = sum(weights.numel() for weights in network.parameters())
    yield 'network', f'{plan.network}, {number / 1e6:.3g} million parameters'
    yield 'augmentation', "EDM's, as each image is seen often" if plan.augmented else 'none'
    yield 'device', device_in_words(plan.threads)


def predictions(training: Trained) -> Iterator[tuple[str, str]]:
    """Yield the choices and predictions of a training."""
    plan = training.plan
    yield 'batch', f'{plan.batch_size} images'
    yield 'learning rate', f'{plan.lr:g}'
    yield 'steps', f'{plan.num_steps} of {training.step:.3g} s, validation every {plan.interval}'
    yield 'average', f'decay {plan.ema_decay:g}'
    yield 'time', f'about {in_words(training.seconds)}'
    if training.memory is not None:
        yield 'memory', f'about {in_bytes(training.memory)}'
