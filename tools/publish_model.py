#!/usr/bin/env python
"""Write a network's weights alone: `python tools/publish_model.py CHECKPOINT OUT.safetensors`; see `--help`."""

from mmcm.cli.main import script

if __name__ == '__main__':
    script('publish')
