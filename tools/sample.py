#!/usr/bin/env python
"""Draw any number of images into files: `python tools/sample.py --model digits -n 2000 --out x.npz`; see `--help`."""

from mmcm.cli.main import script

if __name__ == '__main__':
    script('sample')
