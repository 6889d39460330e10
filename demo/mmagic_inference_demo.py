#!/usr/bin/env python
"""Draw pictures: `python demo/mmagic_inference_demo.py --model-config CONFIG --result-out-dir OUT`; see `--help`."""

from mmcm.cli.main import script

if __name__ == '__main__':
    script('demo')
