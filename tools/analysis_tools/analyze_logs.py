#!/usr/bin/env python
"""Plot the log of a training: `python tools/analysis_tools/analyze_logs.py RUN --out FILE`."""

import sys

from mmcm.cli.main import script

if __name__ == '__main__':
    script('analyze', ['log', *sys.argv[1:]])
