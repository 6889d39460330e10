"""Tab that compares sampling in one step, in two, and by solving a differential equation."""

from collections.abc import Generator
from typing import Any

import gradio as gr

from mmcm.apis.sampling_result import SamplingResult
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.web import widgets
from mmcm.web.limits import Limits
from mmcm.web.model_pool import ModelPool, is_few_step_model
from mmcm.web.opening import Opening
from mmcm.web.streaming import sample_on_click, shows_errors, streamed

SENTENCE = (
    'The same noise becomes images by one step, by two, and by the many of a diffusion model: compare how '
    'they look, and how long they take.'
)
DEFAULT_LABEL = 'balanced'
COUNT, COLUMNS = 12, 4
WIDTH = 256  # pixels of a row of images
NO_DIFFUSION_MODEL = (
    'There is no diffusion model among the models of this server, so one and two steps are compared. '
    '`mmcm web --model NAME ...` names models.'
)
NO_CONSISTENCY_MODEL = (
    'There is no consistency model among the models of this server: `mmcm web --model NAME ...` names models.'
)


def compare_tab(pool: ModelPool, limits: Limits, opening: Opening) -> None:
    """Build the tab: seeds and classes in, a grid for each kind of sampling out."""
    gr.Markdown(SENTENCE)
    few, many = pool.consistency_models(), pool.diffusion_models()
    if not few:
        gr.Markdown(NO_CONSISTENCY_MODEL)
        return
    first = first_model(pool)
    inferencer = pool.get(first)
    grids, words = [], []
    with gr.Row():
        with gr.Column(scale=1, min_width=260):
            few_model = gr.Dropdown(few, value=first, label='Consistency model', elem_id='compare-model')
            many_model = gr.Dropdown(
                many,
                value=partner(pool, first),
                label='Diffusion model',
                visible=bool(many),
                elem_id='compare-diffusion-model',
            )
            if not many:
                gr.Markdown(NO_DIFFUSION_MODEL, elem_id='compare-note')
            label = widgets.label_dropdown(inferencer, DEFAULT_LABEL, label='Class', elem_id='compare-label')
            count = widgets.images_slider(COUNT, limits.images, 'compare-count')
            seed = widgets.seed_number(limits, 'compare-seed')
            steps = gr.Slider(
                **diffusion_steps(pool, partner(pool, first), limits),
                label='Steps of the diffusion model',
                visible=bool(many),
                elem_id='compare-steps',
            )
            compare, stop = widgets.run_and_stop('compare', 'Compare')
        with gr.Column(scale=3, min_width=320), gr.Row():
            for title, name in (('One step', 'one'), ('Two steps', 'two'), ('Diffusion model', 'many')):
                with gr.Column(min_width=200, visible=bool(many) or name != 'many'):
                    grids.append(widgets.grid_image(title, f'compare-{name}'))
                    words.append(gr.Markdown(elem_id=f'compare-{name}-words'))

    @shows_errors
    def show_model(name: str) -> tuple[gr.Dropdown, gr.Dropdown]:
        return gr.Dropdown(many, value=partner(pool, name)), widgets.label_dropdown(pool.get(name), DEFAULT_LABEL)

    @shows_errors
    def show_diffusion_model(name: str) -> gr.Slider:
        return gr.Slider(**diffusion_steps(pool, name, limits))

    def run(
        few_name: str, many_name: Any, label: str, num_images: int, seed: int, num_steps: int
    ) -> Generator[Any, None, None]:
        check_count('the number of images', num_images, most=limits.images)
        check_count('the number of steps', num_steps, most=limits.steps)
        widgets.check_seed(seed, limits)
        if not is_few_step_model(pool.get(few_name)):
            raise InputError(f'{few_name} is no consistency model: choose one of {", ".join(few)}.')
        ways = [(few_name, 1), (few_name, 2)]
        if many:
            if is_few_step_model(pool.get(many_name)):
                raise InputError(f'{many_name} is no diffusion model: choose one of {", ".join(many)}.')
            ways.append((many_name, num_steps))
        requests = []
        for name, number in ways:
            inferencer = pool.get(name)
            classes = widgets.labels_of(inferencer, label)
            sampler = widgets.sampler_of_steps(inferencer, number)
            requests.append((name, inferencer, inferencer.request(num_images, classes, seed, sampler=sampler)))

        def work(show: Any) -> list[SamplingResult]:
            for name, *_ in requests:
                show()
                pool.warm_up(name, num_images)
            return [inferencer.sample(request, callback=lambda *step: show()) for _, inferencer, request in requests]

        # Nothing is shown before all is sampled: to make a grid takes time that would be counted.
        results = yield from streamed(pool, work, gr.skip)
        outputs: list[Any] = [None, ''] * len(grids)
        for index, (result, (name, inferencer, _)) in enumerate(zip(results, requests)):
            time = widgets.time_in_words(num_images, result.seconds, result.nfe, inferencer.device)
            outputs[2 * index] = widgets.page_grid(result.pixels, COLUMNS, result.names, WIDTH)
            outputs[2 * index + 1] = f'`{name}`: {time}'
        yield tuple(outputs)

    few_model.change(show_model, few_model, [many_model, label], queue=False, api_visibility='private')
    many_model.change(show_diffusion_model, many_model, steps, queue=False, api_visibility='private')
    outputs = [output for pair in zip(grids, words) for output in pair]
    inputs = [few_model, many_model, label, count, seed, steps]
    opening.add(lambda: run(*(each.value for each in inputs)), outputs)
    sample_on_click(compare, stop, run, inputs, outputs, pool, 'compare')


def first_model(pool: ModelPool) -> str:
    """Return the first consistency model with a diffusion model of the same images and classes, else the first."""
    names = pool.consistency_models()
    return next((name for name in names if partners(pool, name)), names[0])


def partner(pool: ModelPool, name: str) -> str | None:
    """Return the diffusion model of the same images and classes as model `name`, else any, None without one."""
    return next(iter([*partners(pool, name), *pool.diffusion_models()]), None)


def partners(pool: ModelPool, name: str) -> list[str]:
    """Return the diffusion models of the same images and classes as model `name`."""
    model = pool.get(name).model
    return [
        other
        for other in pool.diffusion_models()
        if pool.get(other).model.image_shape == model.image_shape
        and pool.get(other).model.num_classes == model.num_classes
    ]


def diffusion_steps(pool: ModelPool, name: str | None, limits: Limits) -> dict[str, int]:
    """Return the range of the steps of diffusion model `name`, if there is one, and how many it takes by itself."""
    return (
        dict(minimum=1, maximum=limits.steps, value=1) if name is None else widgets.steps_range(pool.get(name), limits)
    )
