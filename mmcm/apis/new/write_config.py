"""Text of the configs of `mmcm new`: bases of ours, and each choice with its reason."""

import pprint
from typing import Any

from mmcm.apis.new.choose import AUGMENT_DIM, AUGMENTATION, FEW_PASSES, Plan
from mmcm.apis.new.methods import STAGES
from mmcm.utils.errors import printable

WIDTH = 110


def config_text(plan: Plan) -> str:
    """Return the config of a plan."""
    stage, data = STAGES[plan.stage], plan.data
    height, width = data.size
    classes = f'{len(data.classes)} classes' if data.classes else 'no classes'
    kind = 'grey' if data.channels == 1 else 'RGB'
    lines = [
        f'# {stage.does[0].upper()}{stage.does[1:]}: {data.num_images} images of {height} x {width} pixels (height x '
        'width),',
        f'# {kind}, {classes}. Written by `mmcm new`{f" for {plan.budget}" if plan.budget else ""}; every line may be '
        'changed.',
        '_base_ = [',
        *(f"    'mmcm::_base_/{base}'," for base in bases(plan)),
        ']',
        "_base_.model.merge(_base_.pop('method'))  # objective and sampler",
        '',
        *steps_lines(plan),
        '',
        *data_lines(plan),
        '',
        *model_lines(plan),
        *thread_lines(plan),
    ]
    return '\n'.join(lines) + '\n'


def bases(plan: Plan) -> list[str]:
    """Return the bases of a config."""
    loader = 'image_files' if plan.data.encoded else 'in_memory'
    return [
        'models/adm_own-pictures.py',
        f'datasets/{loader}.py',
        f'objectives/{STAGES[plan.stage].objective}',
        'evaluation/validation.py',
        'schedules/digits.py',
    ]


def steps_lines(plan: Plan) -> list[str]:
    """Return the lines on the length, the learning rate and the pauses of the training."""
    passes = plan.num_steps * plan.batch_size / plan.data.num_images
    return [
        f'# As many steps as the time allows; each image is seen {passes:.4g} times.',
        f'max_iters = {plan.num_steps}',
        f'interval = {plan.interval}  # steps between checkpoints, grids of samples and validations',
        'train_cfg = dict(max_iters=max_iters, val_interval=interval)',
        f'optim_wrapper = dict(optimizer=dict(lr={plan.lr:g}))  # falls to 0; halve it if the loss is unsteady',
        'default_hooks = dict(',
        '    checkpoint=dict(interval=interval),',
        f'    sample_grid=dict(interval=interval, max_cost={plan.grid_cost}),',
        f'    trajectory=dict(interval=interval, max_cost={plan.grid_cost}),',
        ')',
    ]


def data_lines(plan: Plan) -> list[str]:
    """Return the lines on the images."""
    data = plan.data
    config = dict(data.config)
    # Mirror images are right for most photographs and wrong for letters; augmented training knows which they are.
    config['flip'] = False
    lines = [
        'train_dataloader = dict(',
        f'    batch_size={plan.batch_size},  # the largest that fits into memory and leaves enough steps',
    ]
    if data.held_out:
        lines += [
            '    dataset=dict(',
            "        type='ImageSplit',",
            "        split='train',",
            f'        held_out={data.held_out:g},  # fraction of the images that is kept for validation',
            '        # flip=True adds mirror images: for most photographs, but not for letters.',
            *assigned('dataset', config, 8),
            '    ),',
        ]
    else:
        lines += [
            '    # Too few images to hold some out. flip=True adds mirror images: for most photographs, no letters.',
            *assigned('dataset', config, 4),
        ]
    lines += [
        ')',
        f'auto_scale_lr = dict(base_batch_size={plan.batch_size})  # of the learning rate, for --auto-scale-lr',
        f'val_dataloader = dict(dataset=dict(num_samples={plan.val_samples}))',
    ]
    if not data.held_out:
        lines.append("val_evaluator = dict(reference='train')  # falls, too, where images are only memorised")
    if data.classes:
        lines.append(f'class_names = {plain(data.classes, 14)}')
    return lines


def model_lines(plan: Plan) -> list[str]:
    """Return the lines on the model."""
    stage = STAGES[plan.stage]
    parts: dict[str, Any] = dict(denoiser=plan.denoiser)
    settings = stage.settings(plan.num_steps, plan.data.channels * plan.data.size[0] * plan.data.size[1])
    lines = [
        f'# The network: {printable(plan.network)}. The table in docs/own_pictures.md has the others.',
        'model = dict(',
        *assigned('denoiser', parts['denoiser'], 4),
    ]
    if settings:
        lines += assigned('objective', settings, 4)
    if plan.augmented and stage.augmented:
        lines += [
            f'    # Each image is seen more than {FEW_PASSES} times. The network gets the changes as labels, so',
            '    # that samples are not changed (Karras et al., 2022, Appendix F.2).',
            *assigned('augmentation', dict(type='EDMAugmentation', probability=AUGMENTATION), 4),
        ]
    if plan.start is not None and stage.start == 'teacher':
        lines += assigned('teacher', dict(checkpoint=plan.start), 4)
    elif plan.start is not None:
        start: Any = dict(checkpoint=plan.start, partial=True) if plan.partial else plan.start
        lines += assigned('init_from', start, 4)
    lines += [f'    ema_decays=({plan.ema_decay:g},),  # half-life: a twentieth of the steps', ')']
    return lines


def thread_lines(plan: Plan) -> list[str]:
    """Return the lines on CPU threads."""
    if plan.threads is None:
        return []
    return [
        '# The fastest number of CPU threads when this was measured.',
        f"custom_hooks = [dict(type='NumThreadsHook', num_threads={plan.threads})]",
    ]


def with_augmentation(denoiser: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a denoiser whose network takes augmentation labels."""
    return {**denoiser, 'backbone': {**denoiser['backbone'], 'augment_dim': AUGMENT_DIM}}


def assigned(name: str, value: Any, indent: int) -> list[str]:
    """Return the lines of an argument, indented by `indent` blanks, with a comma."""
    blanks = ' ' * indent
    if not isinstance(value, dict):
        return [f'{blanks}{name}={plain(value, indent)},']
    inner = ', '.join(f'{key}={call_text(part)}' for key, part in value.items())
    line = f'{blanks}{name}=dict({inner}),'
    if len(line) <= WIDTH:
        return [line]
    return [
        f'{blanks}{name}=dict(',
        *(line for key, part in value.items() for line in assigned(key, part, indent + 4)),
        f'{blanks}),',
    ]


def call_text(value: Any) -> str:
    """Return a value in one line, with dicts as calls of `dict`."""
    if isinstance(value, dict):
        return f'dict({", ".join(f"{key}={call_text(part)}" for key, part in value.items())})'
    if isinstance(value, (list, tuple)):
        parts = ', '.join(map(call_text, value))
        return f'[{parts}]' if isinstance(value, list) else f'({parts}{"," if len(value) == 1 else ""})'
    return repr(value).replace('{{', '{\\x7b')  # MMEngine replaces names in double braces


def plain(value: Any, indent: int) -> str:
    """Return a value, over several lines if it is long."""
    text = call_text(value)
    if len(text) <= WIDTH - indent:
        return text
    text = pprint.pformat(value, width=WIDTH - indent, compact=True).replace('\n', '\n' + ' ' * indent)
    return text.replace('{{', '{\\x7b')
