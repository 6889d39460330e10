#!/usr/bin/env python
"""Train a model: `python tools/train.py CONFIG`; see `--help`."""

from mmcm.cli.main import script

if __name__ == '__main__':
    script('train')
