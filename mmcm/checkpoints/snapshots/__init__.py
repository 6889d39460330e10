"""Network pickles of NVIDIA's programs, whose content is read and nothing of it run."""
