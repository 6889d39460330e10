#!/usr/bin/env python
"""Draw images from a checkpoint and measure them: `python tools/test.py CONFIG CHECKPOINT`; see `--help`."""

from mmcm.cli.main import script

if __name__ == '__main__':
    script('test')
