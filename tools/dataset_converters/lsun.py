#!/usr/bin/env python
"""Write LSUN's database to image files: `python tools/dataset_converters/lsun.py LMDB OUT`; see `--help`."""

from mmcm.cli.main import script

if __name__ == '__main__':
    script('lsun')
