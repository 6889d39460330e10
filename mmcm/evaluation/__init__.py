"""Evaluation: feature extractors, metrics, and the real images that they compare with."""
