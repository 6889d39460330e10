#!/usr/bin/env python
"""Measure how well a model edits pictures: `python tools/score_edits.py --model MODEL --out OUT.json`; see `--help`."""

from mmcm.cli.main import script

if __name__ == '__main__':
    script('score_edits')
