#!/usr/bin/env python
"""Print parameters, FLOPs, NFE and memory of a model: `python tools/analysis_tools/get_flops.py MODEL`."""

from mmcm.cli.main import script

if __name__ == '__main__':
    script('info')
