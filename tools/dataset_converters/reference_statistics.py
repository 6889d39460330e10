#!/usr/bin/env python
"""Statistics of real images, for metrics: `python tools/dataset_converters/reference_statistics.py`; see `--help`."""

from mmcm.cli.main import script

if __name__ == '__main__':
    script('statistics')
