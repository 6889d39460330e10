#!/usr/bin/env python
"""Draw several models at the same seeds: `python tools/analysis_tools/compare_seeds.py --row MODEL --out FILE`."""

import sys

from mmcm.cli.main import script

if __name__ == '__main__':
    script('analyze', ['seeds', *sys.argv[1:]])
