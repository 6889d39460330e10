"""Widgets and checks that the tabs of the web demo share, and their grids, captions and times."""

import math
from collections.abc import Sequence
from typing import Any

import gradio as gr
import numpy as np
from torch import Tensor

from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.datasets.labels import RULES
from mmcm.samplers import Sampler
from mmcm.utils.checks import check_count, check_number
from mmcm.utils.errors import InputError
from mmcm.utils.wording import counted
from mmcm.visualization.grids import grid
from mmcm.web.limits import Limits
from mmcm.web.model_pool import is_consistency_model
from mmcm.web.texts import shortened

GRID_WIDTH = 720  # pixels of a row of small images
SMALLEST_SIDE, LARGEST_SIDE = 64, 256  # pixels to which small images are enlarged, by whole numbers
FREE_STEPS = 2  # steps of consistency models with any schedule
SECOND_SIGMA = 0.8  # noise level of the second of these steps
LONGEST_LABEL = 200  # characters; the longest name of a class of ImageNet has 121
LARGEST_GUIDANCE = 10.0  # of the slider: published models use up to 8
LETTER_WIDTH = 8  # pixels of a caption


def label_choices(inferencer: ConsistencyModelInferencer, rules: Sequence[str] = RULES) -> list[tuple[str, str]]:
    """Return pairs of text and value: the `rules` for choosing labels, then the classes of a model."""
    if inferencer.model.num_classes is None:
        return []
    names = [name for name, *_ in inferencer.class_names]
    numbered = (f'{label} {name}' if name != str(label) else name for label, name in enumerate(names))
    shown = list(numbered) or map(str, range(inferencer.model.num_classes))
    return [(rule, rule) for rule in rules] + [(text, str(label)) for label, text in enumerate(shown)]


def label_dropdown(
    inferencer: ConsistencyModelInferencer, value: str, rules: Sequence[str] = RULES, **options: Any
) -> gr.Dropdown:
    """Return a dropdown of the model's classes, set to `value`; it is hidden for unconditional models.

    Visitors may type other names of a class, so the value can be any text; `labels_of` checks it.
    """
    choices = label_choices(inferencer, rules)
    return gr.Dropdown(choices, value=value, visible=bool(choices), allow_custom_value=True, **options)


def labels_of(inferencer: ConsistencyModelInferencer, label: Any) -> str | None:
    """Return the class that a visitor chose; None for unconditional models, whose dropdown is hidden."""
    if inferencer.model.num_classes is None:
        return None
    if not isinstance(label, str) or not label.strip() or len(label) > LONGEST_LABEL:
        raise InputError(f'a class has to be a number or a name, got {shortened(label)}.')
    return label


def grid_image(label: str, elem_id: str) -> gr.Image:
    """Return the widget of a grid of results."""
    buttons = ['download', 'fullscreen']
    return gr.Image(
        label=label, format='png', interactive=False, buttons=buttons, elem_id=elem_id, elem_classes='sheet'
    )


def images_slider(value: int, most: int, elem_id: str, label: str = 'Images', least: int = 1) -> gr.Slider:
    """Return a slider for a number of images, set to `value` if the limits permit it."""
    most = max(least, most)
    return gr.Slider(least, most, min(value, most), step=1, label=label, elem_id=elem_id)


def seed_number(limits: Limits, elem_id: str, value: int = 0, label: str = 'Seed', **options: Any) -> gr.Number:
    """Return the widget of a seed."""
    return gr.Number(value, label=label, precision=0, minimum=0, maximum=limits.seed, elem_id=elem_id, **options)


def guidance_slider(inferencer: ConsistencyModelInferencer, **options: Any) -> gr.Slider:
    """Return a slider for the scale of guidance, set to that of the model; it is hidden where there is no guidance."""
    own = float(inferencer.model.guidance.scale)
    ends = min(1.0, own), max(LARGEST_GUIDANCE, own)
    return gr.Slider(*ends, own, step=0.1, visible=inferencer.model.is_guidable, **options)


def guidance_of(inferencer: ConsistencyModelInferencer, scale: Any) -> float | None:
    """Return the scale that a visitor chose; None for models without guidance, whose slider is hidden."""
    if not inferencer.model.is_guidable:
        return None
    check_number('guidance', scale)
    return scale


def run_and_stop(tab: str, title: str = 'Generate') -> tuple[gr.Button, gr.Button]:
    """Return the two buttons below the controls of a tab."""
    with gr.Row():
        run = gr.Button(title, variant='primary', min_width=100, elem_id=f'{tab}-run')
        return run, gr.Button('Stop', min_width=100, elem_id=f'{tab}-stop')


def check_seed(seed: Any, limits: Limits, name: str = 'seed') -> None:
    """Raise an InputError unless `seed` is within the limits."""
    check_count(name, seed, 0, limits.seed)


def steps_range(inferencer: ConsistencyModelInferencer, limits: Limits) -> dict[str, int]:
    """Return the range of the number of steps of a model, and its default."""
    config = inferencer.sampler_config
    most = limits.steps
    if is_consistency_model(inferencer):
        most = min(most, max(FREE_STEPS, config.get('num_scales', 0) - 1))  # the last level has no noise
    return dict(minimum=1, maximum=most, value=min(most, inferencer.sampler.num_steps), step=1)


def sampler_of_steps(inferencer: ConsistencyModelInferencer, num_steps: int) -> Sampler:
    """Return the sampler with `num_steps`: at its own levels, those of its schedule, or for two steps at usual ones."""
    if num_steps == inferencer.sampler.num_steps:
        return inferencer.sampler
    if num_steps == 2 and is_consistency_model(inferencer) and not inferencer.sampler_config.get('num_scales'):
        return inferencer.choose_sampler(sigmas=(inferencer.sampler.first_sigma, SECOND_SIGMA))
    return inferencer.choose_sampler(num_steps)


def page_grid(
    pixels: Tensor, columns: int | None = None, captions: Sequence[str] | None = None, width: int = GRID_WIDTH
) -> np.ndarray:
    """Return a grid, (H, W, 3), of images (N, C, H, W), uint8, with small ones enlarged by a whole number."""
    columns = min(columns or math.ceil(math.sqrt(len(pixels))), len(pixels))
    side = min(max(SMALLEST_SIDE, width // columns), LARGEST_SIDE)
    height, shown_width = pixels.shape[-2:]
    side = side * height // max(height, shown_width)  # the height of an image as wide as it may be
    if captions is not None:
        letters = max(side * shown_width // height, shown_width) // LETTER_WIDTH
        captions = [text if len(text) <= letters else f'{text[: letters - 2]}..' for text in captions]
    return grid(pixels, columns, side, captions)


def time_in_words(num_images: int, seconds: float, nfe: int, device: Any) -> str:
    """Describe the time of images and their number of network evaluations."""
    cost = counted(nfe, 'network evaluation')
    if num_images == 1:
        return f'**{duration(seconds)}** for the image, {cost}, on {device}.'
    return (
        f'**{duration(seconds / num_images)} per image**: {num_images} images in {duration(seconds)}, {cost} '
        f'each, on {device}.'
    )


def duration(seconds: int | float) -> str:
    """Return a time with three digits, in milliseconds or seconds."""
    return f'{seconds:.3g} s' if seconds >= 1 else f'{seconds * 1e3:.3g} ms'
