#!/usr/bin/env python
"""Measure how well a model edits pictures: `python tools/score_edits.py --model MODEL --out OUT.json`; see `--help`."""
from mmcm.cli.score_edits import main

if __name__ == '__main__':
    main()
