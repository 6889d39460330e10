#!/usr/bin/env python
"""Find training images near samples: `python tools/analysis_tools/nearest_neighbours.py SAMPLES DATA --out FILE`."""

import sys

from mmcm.cli.main import script

if __name__ == '__main__':
    script('analyze', ['neighbours', *sys.argv[1:]])
