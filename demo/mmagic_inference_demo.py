#!/usr/bin/env python
"""Sample images with the arguments of MMagic's demo: see `--help`."""

from mmcm.cli.main import script

if __name__ == '__main__':
    script('demo')
