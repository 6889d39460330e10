"""Grids of images, captions, and figures of numbers, as pixels."""
