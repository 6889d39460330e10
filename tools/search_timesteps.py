#!/usr/bin/env python
"""Find the best levels of a multistep sampler: `python tools/search_timesteps.py CONFIG CHECKPOINT`; see `--help`."""

from mmcm.cli.main import script

if __name__ == '__main__':
    script('search')
