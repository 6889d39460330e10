#!/usr/bin/env python
"""Draw pictures: `python demo/mmagic_inference_demo.py --model-config CONFIG --result-out-dir OUT`; see `--help`."""
from mmcm.cli.demo import main

if __name__ == '__main__':
    main()
