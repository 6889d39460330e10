#!/usr/bin/env python
"""Statistics of real images, for metrics: `python tools/dataset_converters/reference_statistics.py`; see `--help`."""
from mmcm.cli.statistics import main

if __name__ == '__main__':
    main()
