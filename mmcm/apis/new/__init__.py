"""`mmcm new`: from a source of images to a config that trains on them, by measured time and memory."""
