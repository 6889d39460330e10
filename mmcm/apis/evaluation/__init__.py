"""Measure models, samplers and sets of images."""
