"""Tab that samples images between two images."""

from collections.abc import Generator
from typing import Any

import gradio as gr

from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.apis.sampling.interpolation import interpolation_request
from mmcm.apis.sampling_result import SamplingResult
from mmcm.utils.checks import check_count
from mmcm.web.limits import Limits
from mmcm.web.model_pool import ModelPool
from mmcm.web.opening import Opening
from mmcm.web.streaming import DRAW, prioritized, shows_errors, streamed
from mmcm.web.widgets import (
    check_seed,
    label_dropdown,
    labels_of,
    page_grid,
    sampler_of_steps,
    steps_range,
    time_in_words,
)

SENTENCE = (
    'Noise between that of two seeds becomes pictures between theirs, and classes change on the way: choose '
    'both ends, and press Draw.'
)
COUNT, COLUMNS = 10, 10
SEEDS = (4, 7)  # of the first and of the last picture
LABELS = (3, 8)  # of these, where a model has so many classes


def interpolate_tab(pool: ModelPool, limits: Limits, opening: Opening) -> None:
    """Build the tab: two seeds and two classes in, a strip of images out."""
    gr.Markdown(SENTENCE)
    inferencer = pool.get(pool.names[0])
    seeds, labels = [], []
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            model = gr.Dropdown(pool.names, value=pool.names[0], label='Model', elem_id='interpolate-model')
            for which, label, seed in zip(('first', 'last'), end_labels(inferencer), SEEDS):
                with gr.Row():
                    seeds.append(
                        gr.Number(
                            seed,
                            label=f'Seed of the {which}',
                            precision=0,
                            minimum=0,
                            maximum=limits.seed,
                            min_width=120,
                            elem_id=f'interpolate-{which}-seed',
                        )
                    )
                    labels.append(
                        label_dropdown(
                            inferencer,
                            label,
                            rules=(),
                            label='Class',
                            min_width=120,
                            elem_id=f'interpolate-{which}-label',
                        )
                    )
            count = gr.Slider(
                2,
                max(2, limits.images),
                min(COUNT, max(2, limits.images)),
                step=1,
                label='Pictures',
                elem_id='interpolate-count',
            )
            steps = gr.Slider(**steps_range(inferencer, limits), label='Steps', elem_id='interpolate-steps')
            with gr.Row():
                draw = gr.Button('Draw', variant='primary', min_width=100, elem_id='interpolate-run')
                stop = gr.Button('Stop', min_width=100, elem_id='interpolate-stop')
        with gr.Column(scale=2, min_width=320):
            drawn = gr.Image(
                label='From the first to the last',
                format='png',
                interactive=False,
                buttons=['download', 'fullscreen'],
                elem_id='interpolate-sheet',
                elem_classes='sheet',
            )
            words = gr.Markdown(elem_id='interpolate-words')

    @shows_errors
    def show_model(name: str) -> tuple[gr.Slider, gr.Dropdown, gr.Dropdown]:
        chosen = pool.get(name)
        return (
            gr.Slider(**steps_range(chosen, limits)),
            *(label_dropdown(chosen, label, ()) for label in end_labels(chosen)),
        )

    def run(
        name: str, first_seed: int, last_seed: int, first_label: str, last_label: str, num_images: int, num_steps: int
    ) -> Generator[tuple[Any, str], None, None]:
        check_count('the number of pictures', num_images, least=2, most=limits.images)
        check_count('the number of steps', num_steps, most=limits.steps)
        check_seed(first_seed, limits, 'the seed of the first picture')
        check_seed(last_seed, limits, 'the seed of the last picture')
        inferencer = pool.get(name)
        ends = [labels_of(inferencer, label) for label in (first_label, last_label)]
        request = interpolation_request(
            inferencer,
            (first_seed, last_seed),
            None if None in ends else ends,
            num_images,
            sampler_of_steps(inferencer, num_steps),
        )

        def work(show: Any) -> SamplingResult:
            pool.warm_up(name, num_images)
            return inferencer.sample(request, callback=lambda *step: show())

        result = yield from streamed(pool, work, gr.skip)
        words = time_in_words(num_images, result.seconds, result.nfe, inferencer.device)
        yield page_grid(result.pixels, COLUMNS), words

    opening.add(
        lambda: run(
            pool.names[0],
            *(seeds[0].value, seeds[1].value),
            *(labels[0].value, labels[1].value),
            count.value,
            steps.value,
        ),
        [drawn, words],
    )
    model.change(show_model, model, [steps, *labels], queue=False, api_visibility='private')
    drawing = draw.click(
        prioritized(pool, run),
        [model, *seeds, *labels, count, steps],
        [drawn, words],
        api_name='interpolate',
        show_progress='minimal',
        **DRAW,
    )
    stop.click(None, cancels=drawing)


def end_labels(inferencer: ConsistencyModelInferencer) -> list[str]:
    """Return the default classes of the first and of the last image, which the model has if it has any."""
    most = (inferencer.model.num_classes or 1) - 1
    return list(map(str, LABELS if max(LABELS) <= most else (0, most)))
