import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest

from mmcm.apis.editing import edit_picture
from mmcm.apis.editing.request import TASKS, EditRequest, SuperResolve, arguments_of
from mmcm.utils.errors import InputError

ROOT = Path(__file__).parents[3]
IMG = np.zeros((8, 8), np.uint8)


@pytest.mark.parametrize(
    'task, name, option', [('inpaint', 'resize_mask', '--resize-mask'), ('uncrop', 'share', '--share')]
)
def test_arguments_of_a_task_are_its_fields(task, name, option):
    found = {each.name: each for each in arguments_of(TASKS[task])}[name]
    assert found.option == option and found.help and found.required == (name == 'share')


def test_arguments_are_declared_with_the_type_that_they_are_annotated_with():
    for task in TASKS.values():
        hints = get_type_hints(task, localns=dict(ImageLike=Path))
        for each in arguments_of(task):
            assert (each.type if not each.many else None) in (hints[each.name], None)


def test_request_takes_common_and_own_arguments_by_their_names():
    request = EditRequest.of('super-resolve', IMG, 3, factor=2, num_steps=4, region='square')
    assert isinstance(request.task, SuperResolve) and request.task.factor == 2
    assert (request.labels, request.num_steps, request.region, request.num_candidates) == (3, 4, 'square', None)


@pytest.mark.parametrize(
    'task, arguments, match',
    [
        ('erase', {}, "task has to be one of inpaint.*got 'erase'"),
        ('uncrop', {}, 'uncrop takes share, got none'),
        ('uncrop', dict(share=0.5, factor=2), 'uncrop takes share, got share, factor'),
        ('uncrop', dict(share=None), 'share has to be a number, got None'),
        ('super-resolve', dict(factor=2.5), 'factor has to be an integer of at least 2'),
        ('inpaint', dict(mask=IMG, resize_mask=1), 'resize_mask has to be True or False'),
        ('stroke', dict(region='middle'), 'region has to be one of whole, square'),
        ('stroke', dict(region='whole'), 'stroke sees the central square'),
        ('colorize', dict(region='square', side=64), 'a side is for whole images'),
        ('stroke', dict(num_candidates=0), 'num_candidates has to be an integer of at least 1'),
        ('stroke', dict(max_calls=True), 'max_calls has to be an integer'),
        ('stroke', dict(num_steps=0), 'num_steps has to be an integer of at least 1'),
    ],
)
def test_arguments_that_no_model_can_take_are_refused_at_once(task, arguments, match):
    with pytest.raises(InputError, match=match):
        EditRequest.of(task, IMG, **arguments)


def test_docstring_of_the_python_function_names_the_arguments_of_the_request_in_their_order():
    _, *names = [f'`{each.name}`' for each in arguments_of(EditRequest)]
    assert ', '.join(names) in ' '.join(edit_picture.__doc__.split())


def test_documentation_lists_every_argument_of_a_task():
    page = (ROOT / 'docs' / 'editing.md').read_text(encoding='utf-8')
    for name, task in TASKS.items():
        for each in arguments_of(task):
            row = f'| `{name}` | `{each.option}` | {each.help} |'
            assert row in page, row


def test_declarations_load_no_torch():
    code = 'import sys, mmcm.apis.editing.request, mmcm.apis.editing; print("torch" in sys.modules)'
    found = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert found.stdout == 'False\n'
