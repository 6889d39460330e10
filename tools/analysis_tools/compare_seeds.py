#!/usr/bin/env python
"""Draw several models at the same seeds: `python tools/analysis_tools/compare_seeds.py --row MODEL --out FILE`."""
import sys

from mmcm.cli.analyze import main

if __name__ == '__main__':
    main(['seeds', *sys.argv[1:]])
