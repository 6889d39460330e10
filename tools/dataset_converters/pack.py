#!/usr/bin/env python
"""Pack a data set into one npz file: `python tools/dataset_converters/pack.py SOURCE --out FILE.npz`; see `--help`."""

from mmcm.cli.main import script

if __name__ == '__main__':
    script('pack')
