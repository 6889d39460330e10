"""Check of the values of an event: each has to be of the kind that its control of the page sends."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

NUMBERS = (int, float)
KINDS = (
    (gr.Checkbox, (bool,), 'true or false'),
    (gr.Slider, NUMBERS, 'a number'),
    (gr.Number, NUMBERS, 'a number'),
    (gr.Dropdown, (str, *NUMBERS, type(None)), 'one of the choices'),  # None: of what has no choices now
    (gr.Textbox, (str,), 'a text'),
    (gr.Markdown, (str, type(None)), 'a text'),
    (gr.ImageEditor, (dict, type(None)), 'an image'),
)


def check_values(blocks: Sequence[Any], values: Sequence[Any]) -> None:
    """Raise a gr.Error unless each of `values` is of a kind that its control, of `blocks`, sends."""
    for block, value in zip(blocks, values):
        for control, kinds, what in KINDS:
            if isinstance(block, control):
                if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                    raise gr.Error(f'{block.label or "a value"} has to be {what}.', print_exception=False)
                break
