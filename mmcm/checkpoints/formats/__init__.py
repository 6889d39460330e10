"""Checkpoints and configs of other programs: read theirs, write ours in their format."""
