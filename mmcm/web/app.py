"""The page of the web demo."""
from typing import Any

import gradio as gr

from mmcm.web.compare_tab import compare_tab
from mmcm.web.edit_tab import edit_tab
from mmcm.web.interpolate_tab import interpolate_tab
from mmcm.web.limits import Limits
from mmcm.web.sample_tab import sample_tab
from mmcm.web.shelf import Shelf
from mmcm.web.uploads import UploadsOnly

TITLE = 'Consistency models'
SENTENCE = 'Pictures out of noise in one step or a few, drawn on this machine: nothing leaves it.'
# Fonts that are there: Gradio's own would be asked of a server of fonts.
FONTS = ('system-ui', 'sans-serif')
MONO_FONTS = ('ui-monospace', 'monospace')
# Small pictures are enlarged by whole numbers: where the browser scales a sheet, it repeats pixels, too. Above it is
# room for its name and its buttons, which would lie over the pictures.
CSS = """
.sheet img { image-rendering: pixelated; object-fit: scale-down; }
.sheet .image-container { padding-top: 2.25rem; }
.results .grid-wrap { padding-top: 2.25rem; overflow: visible; min-height: 0; max-height: none; }
footer { display: none !important; }
"""


def build_app(shelf: Shelf, limits: Limits) -> gr.Blocks:
    """Build the page: a tab for each thing that can be done with the models of `shelf`."""
    with UploadsOnly(title=TITLE, analytics_enabled=False, delete_cache=(600, 3600)) as app:
        gr.Markdown(f'# {TITLE}\n{SENTENCE}')
        with gr.Tab('Sample', id='sample'):
            sample_tab(shelf, limits)
        with gr.Tab('Edit', id='edit'):
            edit_tab(shelf, limits)
        with gr.Tab('Interpolate', id='interpolate'):
            interpolate_tab(shelf, limits)
        with gr.Tab('Compare', id='compare'):
            compare_tab(shelf, limits)
    app.queue(max_size=limits.queue, api_open=False)
    return app


def page_options() -> dict[str, Any]:
    """Return how the page looks, as Gradio wants to hear of it when the page is served."""
    return dict(theme=gr.themes.Default(font=FONTS, font_mono=MONO_FONTS), css=CSS)
