#!/usr/bin/env python
"""Show training images after each transform: `python tools/analysis_tools/browse_pipeline.py DATA --out FILE`."""

import sys

from mmcm.cli.main import script

if __name__ == '__main__':
    script('analyze', ['pipeline', *sys.argv[1:]])
