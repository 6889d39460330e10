"""Tab that samples images."""

import math
from collections.abc import Generator
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.apis.sampling_result import SamplingResult
from mmcm.samplers import MultistepSampler, Sampler
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.finite import check_images
from mmcm.web.limits import Limits
from mmcm.web.model_pool import ModelPool, is_consistency_model
from mmcm.web.opening import Opening
from mmcm.web.streaming import DRAW, prioritized, shows_errors, streamed
from mmcm.web.texts import shortened
from mmcm.web.widgets import (
    check_seed,
    label_dropdown,
    labels_of,
    page_grid,
    sampler_of_steps,
    steps_range,
    time_in_words,
)

SENTENCE = 'The network turns noise into pictures, in one step or a few: choose a class and a seed, and press Draw.'
DEFAULT_LABEL = 'balanced'
COUNT, COLUMNS = 20, 10
MARGIN = 0.02  # between the level that can be chosen and those that cannot, in powers of ten
LARGEST_POWER = 18  # of which a level can be made
SHOW_LEVEL = '(power) => `Noise level of the second step: **${Number((10 ** power).toPrecision(3))}**`'


def sample_tab(pool: ModelPool, limits: Limits, opening: Opening) -> None:
    """Build the tab: a model, a class and a seed in, a grid of images out."""
    gr.Markdown(SENTENCE)
    inferencer = pool.get(pool.names[0])
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            model = gr.Dropdown(pool.names, value=pool.names[0], label='Model', elem_id='sample-model')
            label = label_dropdown(inferencer, DEFAULT_LABEL, label='Class', elem_id='sample-label')
            count = gr.Slider(
                1, limits.images, min(COUNT, limits.images), step=1, label='Pictures', elem_id='sample-count'
            )
            columns = gr.Slider(
                1,
                limits.images,
                min(COLUMNS, limits.images),
                step=1,
                label='Pictures in a row',
                elem_id='sample-columns',
            )
            seed = gr.Number(0, label='Seed', precision=0, minimum=0, maximum=limits.seed, elem_id='sample-seed')
            steps = gr.Slider(**steps_range(inferencer, limits), label='Steps', elem_id='sample-steps')
            power = gr.Slider(
                **power_range(inferencer),
                step=0.01,
                visible=inferencer.sampler.num_steps == 2,
                container=True,
                label='Second step: power of ten',
                elem_id='sample-sigma',
            )
            level = gr.Markdown(
                level_in_words(default_power(inferencer)),
                visible=inferencer.sampler.num_steps == 2,
                elem_id='sample-level',
            )
            live = gr.Checkbox(False, label='Show each step as it is drawn', elem_id='sample-live')
            with gr.Row():
                draw = gr.Button('Draw', variant='primary', min_width=100, elem_id='sample-run')
                stop = gr.Button('Stop', min_width=100, elem_id='sample-stop')
        with gr.Column(scale=2, min_width=320):
            drawn = gr.Image(
                label='Pictures',
                format='png',
                interactive=False,
                buttons=['download', 'fullscreen'],
                elem_id='sample-sheet',
                elem_classes='sheet',
            )
            words = gr.Markdown(elem_id='sample-words')

    @shows_errors
    def show_model(name: str) -> tuple[gr.Dropdown, gr.Slider, gr.Slider, gr.Markdown]:
        chosen = pool.get(name)
        two = chosen.sampler.num_steps == 2 and is_consistency_model(chosen)
        return (
            label_dropdown(chosen, DEFAULT_LABEL),
            gr.Slider(**steps_range(chosen, limits)),
            gr.Slider(**power_range(chosen), visible=two),
            gr.Markdown(level_in_words(default_power(chosen)), visible=two),
        )

    @shows_errors
    def show_level(name: str, num_steps: float) -> tuple[gr.Slider, gr.Markdown]:
        two = num_steps == 2 and is_consistency_model(pool.get(name))
        return gr.Slider(visible=two), gr.Markdown(visible=two)

    def run(
        name: str, label: str, num_images: int, num_steps: int, power: float, seed: int, columns: int, live: bool
    ) -> Generator[tuple[Any, str], None, None]:
        check_count('the number of pictures', num_images, most=limits.images)
        check_count('the pictures in a row', columns, most=limits.images)
        check_count('the number of steps', num_steps, most=limits.steps)
        check_seed(seed, limits)
        inferencer = pool.get(name)
        request = inferencer.request(
            num_images, labels_of(inferencer, label), seed, sampler=sampler_of(inferencer, num_steps, power)
        )
        steps = request.sampler.num_steps
        estimates = Estimates(inferencer, num_images, steps)

        def work(show: Any) -> SamplingResult:
            def on_step(step: int, sigma: float, x: Tensor, x0: Tensor) -> None:
                show(*(step, sigma, estimates.add(step, x0)) if live else ())

            pool.warm_up(name, num_images)
            return inferencer.sample(request, callback=on_step)

        def render(step: int, sigma: float, pixels: Tensor) -> tuple[Any, str]:
            text = f'Step {step + 1} of {steps}, from noise of level **{sigma:.3g}**.'
            return page_grid(pixels, columns, request.names), text

        result = yield from streamed(pool, work, render)
        words = time_in_words(num_images, result.seconds, result.nfe, inferencer.device)
        yield page_grid(result.pixels, columns, result.names), words

    opening.add(
        lambda: run(
            pool.names[0], label.value, count.value, steps.value, power.value, seed.value, columns.value, False
        ),
        [drawn, words],
    )
    model.change(show_model, model, [label, steps, power, level], queue=False, api_visibility='private')
    steps.change(show_level, [model, steps], [power, level], queue=False, api_visibility='private')
    power.change(None, power, level, js=SHOW_LEVEL)
    drawing = draw.click(
        prioritized(pool, run),
        [model, label, count, steps, power, seed, columns, live],
        [drawn, words],
        api_name='sample',
        show_progress='minimal',
        **DRAW,
    )
    stop.click(None, cancels=drawing)


class Estimates:
    """Estimates of all images of a request while its batches are sampled.

    Args:
        inferencer (ConsistencyModelInferencer): The model.
        num_images (int): Number of images; those that are not started yet are grey.
        num_steps (int): Steps of each batch.
    """

    def __init__(self, inferencer: ConsistencyModelInferencer, num_images: int, num_steps: int) -> None:
        self.destruct = inferencer.model.data_preprocessor.destruct
        self.pixels = torch.full((num_images, *inferencer.model.image_shape), 128, dtype=torch.uint8, device='cpu')
        self.num_steps = num_steps
        self.done = 0

    def add(self, step: int, x0: Tensor) -> Tensor:
        """Take the estimates of a step, (N, C, H, W), and return those of all images, uint8, on the CPU."""
        self.pixels[self.done : self.done + len(x0)] = self.destruct(check_images(x0)).cpu()
        if step == self.num_steps - 1:
            self.done += len(x0)
        return self.pixels.clone()


def sampler_of(inferencer: ConsistencyModelInferencer, num_steps: int, power: Any) -> Sampler:
    """Return the sampler of a request: for two steps of a consistency model, the second level is 10 to the `power`."""
    if num_steps != 2 or not is_consistency_model(inferencer):
        return sampler_of_steps(inferencer, num_steps)
    if not isinstance(power, (int, float)) or not math.isfinite(power) or abs(power) > LARGEST_POWER:
        raise InputError(f'the power of ten of the second level has to be a number, got {shortened(power)}.')
    return inferencer.choose_sampler(sigmas=(inferencer.sampler.first_sigma, 10**power))


def power_range(inferencer: ConsistencyModelInferencer) -> dict[str, float]:
    """Return the range of the second level and its default, in powers of ten; any range where there is none."""
    sampler = inferencer.sampler
    if not isinstance(sampler, MultistepSampler):
        return dict(minimum=-2, maximum=1, value=0)
    least = math.log10(sampler.sigma_min) if sampler.sigma_min > 0 else -3
    return dict(
        minimum=round(least + MARGIN, 2),
        maximum=round(math.log10(sampler.first_sigma) - MARGIN, 2),
        value=default_power(inferencer),
    )


def default_power(inferencer: ConsistencyModelInferencer) -> float:
    """Return the second level of two steps as a power of ten."""
    sampler = sampler_of_steps(inferencer, 2)
    return round(math.log10(sampler.sigmas[1]), 2) if isinstance(sampler, MultistepSampler) else 0


def level_in_words(power: float) -> str:
    """Return the text that `SHOW_LEVEL` makes of a power of ten in the page."""
    return f'Noise level of the second step: **{10**power:.3g}**'
