"""Tab that samples images."""

import math
from collections.abc import Generator
from typing import Any

import gradio as gr
import torch
from torch import Tensor

from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.apis.sampling_result import SamplingResult
from mmcm.noise.linear_path import PURE_NOISE
from mmcm.samplers import MultistepSampler, Sampler
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.finite import check_images
from mmcm.web import widgets
from mmcm.web.limits import Limits
from mmcm.web.model_pool import ModelPool, is_consistency_model
from mmcm.web.opening import Opening
from mmcm.web.streaming import sample_on_click, shows_errors, streamed
from mmcm.web.texts import shortened

SENTENCE = 'The network turns noise into images, in one step or a few: choose a class and a seed, and press Generate.'
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
            label = widgets.label_dropdown(inferencer, DEFAULT_LABEL, label='Class', elem_id='sample-label')
            count = widgets.images_slider(COUNT, limits.images, 'sample-count')
            columns = widgets.images_slider(COLUMNS, limits.images, 'sample-columns', 'Images per row')
            seed = widgets.seed_number(limits, 'sample-seed')
            steps = gr.Slider(**widgets.steps_range(inferencer, limits), label='Steps', elem_id='sample-steps')
            two = inferencer.sampler.num_steps == 2
            power = gr.Slider(
                **power_range(inferencer),
                step=0.01,
                visible=two,
                label='Second step: power of ten',
                elem_id='sample-sigma',
            )
            level = gr.Markdown(level_in_words(default_power(inferencer)), visible=two, elem_id='sample-level')
            guidance = widgets.guidance_slider(inferencer, label='Guidance', elem_id='sample-guidance')
            live = gr.Checkbox(False, label='Show each step', elem_id='sample-live')
            generate, stop = widgets.run_and_stop('sample')
        with gr.Column(scale=2, min_width=320):
            images = widgets.grid_image('Images', 'sample-sheet')
            words = gr.Markdown(elem_id='sample-words')

    @shows_errors
    def show_model(name: str) -> tuple[gr.Dropdown, gr.Slider, gr.Slider, gr.Markdown, gr.Slider]:
        chosen = pool.get(name)
        two = chosen.sampler.num_steps == 2 and is_consistency_model(chosen)
        return (
            widgets.label_dropdown(chosen, DEFAULT_LABEL),
            gr.Slider(**widgets.steps_range(chosen, limits)),
            gr.Slider(**power_range(chosen), visible=two),
            gr.Markdown(level_in_words(default_power(chosen)), visible=two),
            widgets.guidance_slider(chosen),
        )

    @shows_errors
    def show_level(name: str, num_steps: float) -> tuple[gr.Slider, gr.Markdown]:
        two = num_steps == 2 and is_consistency_model(pool.get(name))
        return gr.Slider(visible=two), gr.Markdown(visible=two)

    def run(
        name: str,
        label: str,
        num_images: int,
        num_steps: int,
        power: float,
        seed: int,
        columns: int,
        live: bool,
        scale: float,
    ) -> Generator[tuple[Any, str], None, None]:
        check_count('the number of images', num_images, most=limits.images)
        check_count('the images per row', columns, most=limits.images)
        check_count('the number of steps', num_steps, most=limits.steps)
        widgets.check_seed(seed, limits)
        inferencer = pool.get(name)
        request = inferencer.request(
            num_images,
            widgets.labels_of(inferencer, label),
            seed,
            sampler=sampler_of(inferencer, num_steps, power),
            guidance=widgets.guidance_of(inferencer, scale),
        )
        steps = request.sampler.num_steps
        estimates = Estimates(inferencer, num_images, steps)

        def work(show: Any) -> SamplingResult:
            def on_step(step: int, sigma: float, x: Tensor, x0: Tensor) -> None:
                show(*(step, sigma, estimates.add(step, x0)) if live else ())

            pool.warm_up(name, num_images)
            return inferencer.sample(request, callback=on_step)

        def render(step: int, sigma: float, pixels: Tensor) -> tuple[Any, str]:
            text = f'Step {step + 1} of {steps}, from {noise_in_words(sigma)}.'
            return widgets.page_grid(pixels, columns, request.names), text

        result = yield from streamed(pool, work, render)
        words = widgets.time_in_words(num_images, result.seconds, result.nfe, inferencer.device)
        yield widgets.page_grid(result.pixels, columns, result.names), words

    inputs = [model, label, count, steps, power, seed, columns, live, guidance]
    opening.add(lambda: run(*(each.value for each in inputs)), [images, words])
    model.change(show_model, model, [label, steps, power, level, guidance], queue=False, api_visibility='private')
    steps.change(show_level, [model, steps], [power, level], queue=False, api_visibility='private')
    power.change(None, power, level, js=SHOW_LEVEL)
    sample_on_click(generate, stop, run, inputs, [images, words], pool, 'sample')


class Estimates:
    """Estimates of all images of a request while its batches are sampled.

    Args:
        inferencer (ConsistencyModelInferencer): The model.
        num_images (int): Number of images; those that are not started yet are grey, and so are latents, which would
            have to be decoded in each step.
        num_steps (int): Steps of each batch.
    """

    def __init__(self, inferencer: ConsistencyModelInferencer, num_images: int, num_steps: int) -> None:
        self.destruct = inferencer.model.data_preprocessor.destruct
        self.pixels = torch.full((num_images, *inferencer.model.image_shape), 128, dtype=torch.uint8, device='cpu')
        self.are_latents = inferencer.model.autoencoder is not None
        self.num_steps = num_steps
        self.done = 0

    def add(self, step: int, x0: Tensor) -> Tensor:
        """Take the estimates of a step, (N, C, H, W), and return those of all images, uint8, on the CPU."""
        if not self.are_latents:
            self.pixels[self.done : self.done + len(x0)] = self.destruct(check_images(x0)).cpu()
        if step == self.num_steps - 1:
            self.done += len(x0)
        return self.pixels.clone()


def sampler_of(inferencer: ConsistencyModelInferencer, num_steps: int, power: Any) -> Sampler:
    """Return the sampler of a request: for two steps of a consistency model, the second level is 10 to the `power`."""
    if num_steps != 2 or not is_consistency_model(inferencer):
        return widgets.sampler_of_steps(inferencer, num_steps)
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
    sampler = widgets.sampler_of_steps(inferencer, 2)
    return round(math.log10(sampler.sigmas[1]), 2) if isinstance(sampler, MultistepSampler) else 0


def noise_in_words(sigma: float) -> str:
    """Return what a step starts from: flow maps begin at a level that stands for no image at all."""
    return 'noise alone' if sigma >= PURE_NOISE else f'noise of level **{sigma:.3g}**'


def level_in_words(power: float) -> str:
    """Return the text that `SHOW_LEVEL` makes of a power of ten in the page."""
    return f'Noise level of the second step: **{10**power:.3g}**'
