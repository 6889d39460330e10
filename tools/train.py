#!/usr/bin/env python
"""Train a model: `python tools/train.py CONFIG`; see `--help`."""
from mmcm.cli.train import main

if __name__ == '__main__':
    main()
