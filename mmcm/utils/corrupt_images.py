"""Corrupt images: options of the commands that pack or export many images."""

ON_CORRUPT = ('stop', 'skip')  # the first is the default
LEAVE_OUT = '--corrupt skip leaves such images out'  # advice of errors with 'stop'
MOST_REASONS = 10_000  # stored in a pack and its journal, whose readers take at most 16 MiB
