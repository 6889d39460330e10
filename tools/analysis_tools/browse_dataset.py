#!/usr/bin/env python
"""Draw a sheet of a data set: `python tools/analysis_tools/browse_dataset.py DATA --out FILE`; see `--help`."""

import sys

from mmcm.cli.main import script

if __name__ == '__main__':
    script('analyze', ['dataset', *sys.argv[1:]])
