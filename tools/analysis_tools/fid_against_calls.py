#!/usr/bin/env python
"""Draw a metric against network calls: `python tools/analysis_tools/fid_against_calls.py SCORES.json --out FILE`."""
import sys

from mmcm.cli.analyze import main

if __name__ == '__main__':
    main(['calls', *sys.argv[1:]])
