#!/usr/bin/env python
"""Write a network's weights alone: `python tools/publish_model.py CHECKPOINT OUT.safetensors`; see `--help`."""
from mmcm.cli.publish import main

if __name__ == '__main__':
    main()
