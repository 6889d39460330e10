#!/usr/bin/env python
"""Print a config with all that it inherits: `python tools/misc/print_config.py CONFIG`; see `--help`."""

from mmcm.cli.main import script

if __name__ == '__main__':
    script('config')
