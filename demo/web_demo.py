#!/usr/bin/env python
"""The models in a browser: `python demo/web_demo.py`; see `--help`."""
from mmcm.cli.web import main

if __name__ == '__main__':
    main()
