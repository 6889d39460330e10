#!/usr/bin/env python
"""Draw a sheet of a data set: `python tools/analysis_tools/browse_dataset.py DATA --out FILE`; see `--help`."""
import sys

from mmcm.cli.analyze import main

if __name__ == '__main__':
    main(['dataset', *sys.argv[1:]])
