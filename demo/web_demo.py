#!/usr/bin/env python
"""The models in a browser: `python demo/web_demo.py`; see `--help`."""

from mmcm.cli.main import script

if __name__ == '__main__':
    script('web')
