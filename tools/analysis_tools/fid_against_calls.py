#!/usr/bin/env python
"""Draw a metric against network calls: `python tools/analysis_tools/fid_against_calls.py SCORES.json --out FILE`."""

import sys

from mmcm.cli.main import script

if __name__ == '__main__':
    script('analyze', ['calls', *sys.argv[1:]])
