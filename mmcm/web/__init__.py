"""The web demo: the models in a browser. Needs Gradio; see `mmcm web`."""
