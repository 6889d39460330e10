#!/usr/bin/env python
"""Draw images from a checkpoint and measure them: `python tools/test.py CONFIG CHECKPOINT`; see `--help`."""
from mmcm.cli.test import main

if __name__ == '__main__':
    main()
