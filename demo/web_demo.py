#!/usr/bin/env python
"""Start the web page of `mmcm web`: `python demo/web_demo.py`; see `--help`."""

from mmcm.cli.main import script

if __name__ == '__main__':
    script('web')
