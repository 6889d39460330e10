"""What is done about images that cannot be read, where many are written anew."""

ON_CORRUPT = ('stop', 'skip')  # the first is the default
LEAVE_OUT = '--corrupt skip leaves such images out'  # what an error of the first one says
MOST_REASONS = 10_000  # that a pack and its journal hold, which are read within a bound of 16 MiB
