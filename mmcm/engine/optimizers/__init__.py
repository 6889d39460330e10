"""Wrappers of optimisers."""
