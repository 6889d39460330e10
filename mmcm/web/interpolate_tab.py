"""Tab that samples images between two images."""

from collections.abc import Generator
from typing import Any

import gradio as gr

from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.apis.sampling.interpolation import interpolation_request
from mmcm.apis.sampling_result import SamplingResult
from mmcm.utils.checks import check_count
from mmcm.web import widgets
from mmcm.web.limits import Limits
from mmcm.web.model_pool import ModelPool
from mmcm.web.opening import Opening
from mmcm.web.streaming import sample_on_click, shows_errors, streamed

SENTENCE = (
    'Noise between that of two seeds becomes images between theirs, and classes change on the way: choose '
    'both ends, and press Generate.'
)
COUNT, COLUMNS = 10, 10
SEEDS = (4, 7)  # of the first and of the last image
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
                    name, title = f'interpolate-{which}', f'Seed of the {which}'
                    seeds.append(widgets.seed_number(limits, f'{name}-seed', seed, title, min_width=120))
                    options: dict[str, Any] = dict(label='Class', elem_id=f'{name}-label', min_width=120)
                    labels.append(widgets.label_dropdown(inferencer, label, (), **options))
            count = widgets.images_slider(COUNT, limits.images, 'interpolate-count', least=2)
            steps = gr.Slider(**widgets.steps_range(inferencer, limits), label='Steps', elem_id='interpolate-steps')
            generate, stop = widgets.run_and_stop('interpolate')
        with gr.Column(scale=2, min_width=320):
            images = widgets.grid_image('From the first to the last', 'interpolate-sheet')
            words = gr.Markdown(elem_id='interpolate-words')

    @shows_errors
    def show_model(name: str) -> tuple[gr.Slider, gr.Dropdown, gr.Dropdown]:
        chosen = pool.get(name)
        return (
            gr.Slider(**widgets.steps_range(chosen, limits)),
            *(widgets.label_dropdown(chosen, label, ()) for label in end_labels(chosen)),
        )

    def run(
        name: str, first_seed: int, last_seed: int, first_label: str, last_label: str, num_images: int, num_steps: int
    ) -> Generator[tuple[Any, str], None, None]:
        check_count('the number of images', num_images, least=2, most=limits.images)
        check_count('the number of steps', num_steps, most=limits.steps)
        widgets.check_seed(first_seed, limits, 'the seed of the first image')
        widgets.check_seed(last_seed, limits, 'the seed of the last image')
        inferencer = pool.get(name)
        ends = [widgets.labels_of(inferencer, label) for label in (first_label, last_label)]
        request = interpolation_request(
            inferencer,
            (first_seed, last_seed),
            None if None in ends else ends,
            num_images,
            widgets.sampler_of_steps(inferencer, num_steps),
        )

        def work(show: Any) -> SamplingResult:
            pool.warm_up(name, num_images)
            return inferencer.sample(request, callback=lambda *step: show())

        result = yield from streamed(pool, work, gr.skip)
        words = widgets.time_in_words(num_images, result.seconds, result.nfe, inferencer.device)
        yield widgets.page_grid(result.pixels, COLUMNS), words

    inputs = [model, *seeds, *labels, count, steps]
    opening.add(lambda: run(*(each.value for each in inputs)), [images, words])
    model.change(show_model, model, [steps, *labels], queue=False, api_visibility='private')
    sample_on_click(generate, stop, run, inputs, [images, words], pool, 'interpolate')


def end_labels(inferencer: ConsistencyModelInferencer) -> list[str]:
    """Return the default classes of the first and of the last image, which the model has if it has any."""
    most = (inferencer.model.num_classes or 1) - 1
    return list(map(str, LABELS if max(LABELS) <= most else (0, most)))
