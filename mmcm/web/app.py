"""Page of the web demo, with its tabs, style and scripts."""

import json
from typing import Any

import gradio as gr

from mmcm.web.compare_tab import compare_tab
from mmcm.web.edit_tab import edit_tab
from mmcm.web.interpolate_tab import interpolate_tab
from mmcm.web.limits import Limits
from mmcm.web.model_pool import ModelPool
from mmcm.web.opening import Opening
from mmcm.web.sample_tab import sample_tab
from mmcm.web.uploads import UploadsOnly

TITLE = 'Consistency models'
SENTENCE = 'Images from noise in one step or a few, computed on this machine: nothing leaves it.'
# Local fonts: Gradio's own would be requested from a font server.
FONTS = ('system-ui', 'sans-serif')
MONO_FONTS = ('ui-monospace', 'monospace')
# Small images are enlarged by whole numbers; where the browser scales a grid, it repeats pixels, too. The space above
# a grid is for its name and its buttons, which would cover the images.
CSS = """
.sheet img { image-rendering: pixelated; object-fit: scale-down; }
.sheet .image-container { padding-top: 2.25rem; }
.results .grid-wrap { padding-top: 2.25rem; overflow: visible; min-height: 0; max-height: none; }
#refused {
    position: fixed; top: 1rem; right: 1rem; z-index: 1000; max-width: 30rem; padding: 1rem; cursor: pointer;
    color: #ffffff; background: #c92a2a; border-radius: 0.5rem;
}
footer { display: none !important; }
"""
# Gradio's page does not report a refused upload: the button would seem to do nothing.
TELL_REFUSED = """
() => {
    const ask = window.fetch;
    window.fetch = async (...request) => {
        const answer = await ask(...request);
        if (!answer.ok && new URL(answer.url).pathname.endsWith('/upload')) {
            const words = answer.status === 413 ? TOO_LARGE : (await answer.clone().json()).detail;
            const shown = document.getElementById('refused') || document.createElement('div');
            Object.assign(shown, {id: 'refused', role: 'alert', textContent: words, onclick: () => shown.remove()});
            document.body.append(shown);
        }
        return answer;
    };
}
"""
TOO_LARGE = (
    'The image is too large: the limit is {} MB, and the page sends it as a PNG file, even from a JPEG file. '
    'Make it smaller and upload it again.'
)


def build_app(pool: ModelPool, limits: Limits, opening: Opening) -> gr.Blocks:
    """Build the page, whose tabs use the models of `pool` and open with the results of `opening`."""
    with UploadsOnly(title=TITLE, analytics_enabled=False, delete_cache=(600, 3600)) as app:
        gr.Markdown(f'# {TITLE}\n{SENTENCE}')
        with gr.Tab('Sample', id='sample'):
            sample_tab(pool, limits, opening)
        with gr.Tab('Edit', id='edit'):
            edit_tab(pool, limits, opening)
        with gr.Tab('Interpolate', id='interpolate'):
            interpolate_tab(pool, limits, opening)
        with gr.Tab('Compare', id='compare'):
            compare_tab(pool, limits, opening)
        opening.show_on(app)
    app.state_session_capacity = limits.sessions
    app.queue(max_size=limits.queue, api_open=False)
    return app


def page_options(limits: Limits) -> dict[str, Any]:
    """Return the options of Gradio for the look of the page, which it takes when the page is served."""
    too_large = json.dumps(TOO_LARGE.format(limits.upload_bytes >> 20))
    return dict(
        theme=gr.themes.Default(font=FONTS, font_mono=MONO_FONTS),
        css=CSS,
        js=TELL_REFUSED.replace('TOO_LARGE', too_large),
    )
