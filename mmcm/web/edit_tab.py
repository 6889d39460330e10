"""The tab that edits an image."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
from PIL import Image

from mmcm.apis.editing import EditResult, plan_picture
from mmcm.apis.editing.images import Place
from mmcm.apis.editing.request import TASKS, Argument, EditTask, arguments_of
from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.utils.checks import check_count
from mmcm.utils.errors import InputError
from mmcm.utils.images import to_pil
from mmcm.web.examples import KINDS, enlarged, patch, sees_colours
from mmcm.web.limits import Limits
from mmcm.web.model_pool import ModelPool, is_few_step_model
from mmcm.web.opening import Opening
from mmcm.web.streaming import SAMPLING, sample_on_click, shows_errors, streamed, submitted
from mmcm.web.texts import shortened
from mmcm.web.uploads import Painted, PaintedPicture
from mmcm.web.widgets import (
    check_seed,
    images_slider,
    label_dropdown,
    labels_of,
    run_and_stop,
    seed_number,
    time_in_words,
)

SENTENCE = (
    'Paint over the part to replace, or choose another task, and press Edit. The network generates several candidates.'
)
OPENING_EXAMPLE = 1
DEFAULT_TASK = 'inpaint'
MOST_CANDIDATES = 16
DEFAULT_LABEL = 'random'
FACTORS = (2, 4, 8)
MARGIN = 0.1  # of a slider to the ends of its range, at which nothing is left of the image or around it
API_ORDER = ('factor', 'share', 'kernel', 'sigma')  # of /edit, whose callers name no arguments; new ones follow
HEIGHT = 460  # pixels of the canvas
# Run when all messages of the event are shown, however it ended: a step is the last one only if it was stopped.
STOPPED = "(words) => words && words.startsWith('Sampling') ? 'Stopped.' : words"
# The first one covers an image like a mask; the others are for strokes.
COLOURS = ('#e8590c', '#000000', '#ffffff', '#868e96', '#c92a2a', '#f2c744', '#2f9e44', '#1971c2', '#6f4518')


class TaskWords(NamedTuple):
    """The text of a task on the page: its name, and what the visitor has to do."""

    title: str
    sentence: str


WORDS = {
    'inpaint': TaskWords('Inpaint', 'Paint over the part to replace. All else stays as it is.'),
    'uncrop': TaskWords('Uncrop', 'The image is made smaller, and its surroundings are generated.'),
    'colorize': TaskWords('Colorize', 'The brightness of the image stays, its colours are generated.'),
    'super-resolve': TaskWords('Super-resolve', 'The means of small squares stay, the details are generated.'),
    'deblur': TaskWords('Deblur', 'Sharpens an image whose blur is known.'),
    'stroke': TaskWords(
        'Stroke to image', 'Paint a sketch, on the blank canvas or on an image: the result is like it.'
    ),
    'variations': TaskWords('Variations', 'Generates images like this one.'),
    'denoise': TaskWords('Denoise', 'Removes noise of a known strength from the image.'),
}


def edit_tab(pool: ModelPool, limits: Limits, opening: Opening) -> None:
    """Build the tab: an image and a task in, candidates out."""
    gr.Markdown(SENTENCE)
    first_name = model_for_photographs(pool)
    first = pool.get(first_name)
    with gr.Row():
        with gr.Column(scale=1, min_width=300):
            task = gr.Dropdown(
                [(WORDS[name].title, name) for name in TASKS], value=DEFAULT_TASK, label='Task', elem_id='edit-task'
            )
            model = gr.Dropdown(pool.names, value=first_name, label='Model', elem_id='edit-model')
            label = label_dropdown(first, DEFAULT_LABEL, label='Class: what the image shows', elem_id='edit-label')
            options = {each.name: control(each, first) for each in asked_arguments()}
            for name, option in options.items():
                option.visible = name in options_of(DEFAULT_TASK)
            most = min(limits.images, MOST_CANDIDATES)
            count = images_slider(EditTask.num_candidates, most, 'edit-count', 'Candidates')
            seed = seed_number(limits, 'edit-seed')
            own = "the task's own"
            steps = gr.Number(
                0, label=f'Steps; 0 takes {own}', precision=0, minimum=0, maximum=limits.steps, elem_id='edit-steps'
            )
            sigmas = gr.Textbox(
                '', label='Noise levels, descending', placeholder=own, max_length=1000, elem_id='edit-sigmas'
            )
            edit, stop = run_and_stop('edit', 'Edit')
        with gr.Column(scale=2, min_width=320):
            sentence = gr.Markdown(sentences(DEFAULT_TASK, first), elem_id='edit-sentence')
            picture = PaintedPicture(
                limits,
                label='Image',
                sources=('upload', 'clipboard'),
                type='pil',
                format='png',
                transforms=(),
                layers=False,
                height=HEIGHT,
                canvas_size=(512, 512),
                buttons=[],
                elem_id='edit-picture',
                brush=gr.Brush(colors=list(COLOURS), default_color=COLOURS[0], color_mode='defaults'),
            )
            with gr.Row():
                buttons = [
                    gr.Button(
                        f'Example: {kind.title}',
                        size='sm',
                        min_width=160,
                        visible=kind.fit(first),
                        elem_id=f'edit-example-{kind.title.split()[0]}',
                    )
                    for kind in KINDS
                ]
            words = gr.Markdown(elem_id='edit-words')
            gallery = results('Candidates', 'edit-gallery', elem_classes=['sheet', 'results'])
            known = results('Input of the model, and its known part', 'edit-known', elem_classes=['sheet', 'results'])
            pasted = results(
                'Candidates in the image at its own size', 'edit-pasted', 2, elem_classes=['results'], visible=False
            )
    example = gr.State(0)

    @shows_errors
    def show_model(name: str, task: str) -> list[Any]:
        chosen = pool.get(name)
        return [
            label_dropdown(chosen, DEFAULT_LABEL),
            gr.Dropdown(**factors_of(chosen)),
            steps_of(chosen, task),
            gr.Markdown(sentences(task, chosen)),
            *(gr.Button(visible=kind.fit(chosen)) for kind in KINDS),
        ]

    @shows_errors
    def show_task(name: str, task: str) -> list[Any]:
        chosen = pool.get(name)
        taken = options_of(task)
        return [
            gr.Markdown(sentences(task, chosen)),
            steps_of(chosen, task),
            *(gr.update(visible=option in taken) for option in options),
        ]

    def show_example(get: Callable, name: str, number: int) -> tuple[dict | None, Any, int]:
        chosen = pool.get(name)
        image, shown = submitted(pool, get, chosen, number).result()
        return on_canvas(image), gr.skip() if shown is None else str(shown), number + 1

    def show_upload(painted: Painted) -> Any:
        image = painted.background
        return gr.skip() if image is None or enlarged(image).size == image.size else on_canvas(image)

    def run(
        task: str,
        name: str,
        label: Any,
        painted: Painted,
        count: int,
        seed: int,
        num_steps: int,
        sigmas: str,
        *values: Any,
    ) -> Generator[list[Any], None, None]:
        check_count('the number of candidates', count, most=min(limits.images, MOST_CANDIDATES))
        check_seed(seed, limits)
        check_count('the number of steps', num_steps, 0, limits.steps)
        given = dict(zip(options, values))
        given['kernel'] = numbers_of('the kernel', given['kernel'])
        levels = numbers_of('noise levels', sigmas)
        inferencer = pool.get(name)
        taken: dict[str, Any] = {option: given.get(option, painted.mask) for option in options_of(task)}
        planned = plan_picture(
            inferencer,
            task,
            picture_for(task, painted),
            labels_of(inferencer, label),
            count,
            seed,
            num_steps or None,
            levels or None,
            region='square',  # whole images take minutes of everybody's time
            **taken,
        )

        def work(show: Any) -> EditResult:
            show()
            pool.warm_up(name, count)
            return planned.run(callback=lambda step, *_: show(step))

        def render(step: int) -> list[Any]:
            return [gr.skip()] * 3 + [f'Sampling: step {step + 1} of {planned.request.sampler.num_steps} ...']

        result = yield from streamed(pool, work, render)
        yield [
            *shown_results(inferencer, result, painted, limits),
            time_in_words(count, result.seconds, result.nfe, inferencer.device),
        ]

    def open_with() -> Generator[list[Any], None, None]:
        painted, canvas = opening_picture(first)
        values = [option.value for option in options.values()]
        outputs = run(DEFAULT_TASK, first_name, label.value, painted, count.value, seed.value, 0, '', *values)
        try:
            for shown in outputs:
                yield [canvas, *shown]
        finally:
            outputs.close()

    opening.add(open_with, [picture, gallery, known, pasted, words])
    model.change(
        show_model, [model, task], [label, options['factor'], steps, sentence, *buttons], api_visibility='private'
    )
    task.change(show_task, [model, task], [sentence, steps, *options.values()], api_visibility='private')
    picture.upload(show_upload, picture, picture, api_visibility='private', show_progress='hidden')
    for kind, button in zip(KINDS, buttons):
        button.click(
            shows_errors(partial(show_example, kind.get)),
            [model, example],
            [picture, label, example],
            api_visibility='private',
            show_progress='minimal',
            **SAMPLING,
        )
    inputs = [task, model, label, picture, count, seed, steps, sigmas, *options.values()]
    event = sample_on_click(edit, stop, run, inputs, [gallery, known, pasted, words], pool, 'edit')
    event.then(None, words, words, js=STOPPED)


def model_for_photographs(pool: ModelPool) -> str:
    """Return the name of the first consistency model for images with colours, of the first model if there is none."""
    return next((name for name in pool.consistency_models() if sees_colours(pool.get(name))), pool.names[0])


def opening_picture(inferencer: ConsistencyModelInferencer) -> tuple[Painted, dict | None]:
    """Return an example with a mask, as a request has it, and the example for the canvas.

    The canvas has no mask: Gradio shows no layer that was not painted on it.
    """
    kind = next((kind for kind in KINDS if kind.get is patch and kind.fit(inferencer)), KINDS[0])
    image = enlarged(kind.get(inferencer, OPENING_EXAMPLE)[0]).convert('RGB')
    width, height = image.size
    mask = Image.new('L', image.size)
    mask.paste(255, (width // 4, height // 3, width * 3 // 4, height * 2 // 3))
    return Painted(image, mask, image), on_canvas(image)


def results(label: str, elem_id: str, columns: int = 4, **options: Any) -> gr.Gallery:
    """Return a gallery for results."""
    return gr.Gallery(
        label=label,
        format='png',
        columns=columns,
        fit_columns=False,
        object_fit='contain',
        interactive=False,
        buttons=['download', 'fullscreen'],
        elem_id=elem_id,
        **options,
    )


def options_of(task: str) -> list[str]:
    """Return the names of the arguments that a task requires."""
    return [each.name for each in arguments_of(TASKS[task]) if each.required]


def asked_arguments() -> list[Argument]:
    """Return the arguments that the page asks for: those that tasks require, but for the mask, which is painted."""
    found = [each for task in TASKS.values() for each in arguments_of(task) if each.required and each.name != 'mask']
    return sorted(found, key=lambda each: [*API_ORDER, each.name].index(each.name))


def control(argument: Argument, inferencer: ConsistencyModelInferencer) -> gr.components.Component:
    """Return the control that asks for an argument of a task."""
    words = dict(label=argument.title, elem_id=f'edit-{argument.name}')
    if argument.name == 'factor':
        return gr.Dropdown(**factors_of(inferencer), **words)
    if argument.many:
        return gr.Textbox(argument.initial, max_length=1000, **words)
    if argument.least is not None and argument.most is not None:
        return gr.Slider(argument.least + MARGIN, argument.most - MARGIN, argument.initial, step=0.05, **words)
    return gr.Number(argument.initial, minimum=argument.least, **words)


def factors_of(inferencer: ConsistencyModelInferencer) -> dict[str, Any]:
    """Return the factors by which a model can enlarge images, as the choices of a dropdown."""
    sides = inferencer.model.image_shape[1:]
    choices = [factor for factor in FACTORS if not any(side % factor for side in sides) and factor < min(sides)]
    return dict(choices=choices, value=choices[0] if choices else None)


def steps_of(inferencer: ConsistencyModelInferencer, task: str) -> gr.Number:
    """Return the choice of a number of steps, hidden where a task has noise levels of its own."""
    if TASKS[task].sigmas is not None and is_few_step_model(inferencer):
        return gr.Number(value=0, visible=False)
    return gr.Number(visible=True)


def sentences(task: str, inferencer: ConsistencyModelInferencer) -> str:
    """Return what the visitor has to do for a task, and which part of an image the model sees."""
    _, height, width = inferencer.model.image_shape
    part = 'square' if height == width else 'part'
    return (
        f'{WORDS[task].sentence} The model sees the central {part} of the image, scaled to {width} x {height} pixels.'
    )


def numbers_of(name: str, text: Any) -> list[float]:
    """Parse numbers that are separated by spaces or commas; errors call them `name`."""
    try:
        return [float(word) for word in text.replace(',', ' ').split()]
    except (AttributeError, ValueError) as error:
        raise InputError(f'{name} have to be numbers, separated by spaces, got {shortened(text)}.') from error


def picture_for(task: str, painted: Painted) -> Image.Image:
    """Return the image to edit: with the paint for a sketch, without it otherwise."""
    if painted.sketch is None:
        raise InputError('there is no image: upload one, take one of the examples, or paint one.')
    if task == 'stroke':
        return painted.sketch
    if 'mask' in options_of(task):
        if painted.background is None:
            raise InputError('there is no image below the paint: upload one, or take one of the examples.')
        if painted.mask is None:
            raise InputError('nothing is marked: paint over the part to replace, with any colour.')
    return painted.background or painted.sketch


def on_canvas(image: Image.Image | None) -> dict | None:
    """Return the value of the canvas that shows `image`."""
    return None if image is None else dict(background=enlarged(image), layers=[], composite=None)


def shown_results(
    inferencer: ConsistencyModelInferencer, result: EditResult, painted: Painted, limits: Limits
) -> list[Any]:
    """Return galleries of the candidates, of what the model saw and knew, and of the candidates in the user's image.

    Of large images only the first candidates are put back.
    """
    captions: Sequence[str | None] = result.names or [None] * len(result.candidates)
    candidates = [(enlarged(to_pil(image)), text) for image, text in zip(result.candidates, captions)]
    seen, known = (enlarged(to_pil(image)) for image in (result.picture, result.known))
    pasted: list[tuple[Image.Image, str | None]] = []
    # An image that is no more than the model sees would be shown twice.
    if result.place is not None and not same(seen, painted.background):
        pasted = list(zip(first(result, result.place, limits.pasted_pixels).pasted or [], captions))
    return [candidates, [seen, known], gr.Gallery(pasted, visible=bool(pasted))]


def first(result: EditResult, place: Place, pixels: int) -> EditResult:
    """Return the result with as many candidates as have `pixels` together at the size of the user's image, or one."""
    width, height = place.image.size
    return replace(result, candidates=result.candidates[: max(1, pixels // (width * height))])


def same(image: Image.Image, other: Image.Image | None) -> bool:
    """Return whether two images have the same pixels."""
    return other is not None and np.array_equal(np.asarray(image.convert('RGB')), np.asarray(other.convert('RGB')))
