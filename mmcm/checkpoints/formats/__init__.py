"""Formats of checkpoints and configs: of training runs, and of other programs, whose files are read and written."""
