"""What is done about images that cannot be read, where many are written anew."""
ON_CORRUPT = ('stop', 'skip')  # the first is the default
LEAVE_OUT = '--corrupt skip leaves such images out'  # what an error of the first one says
