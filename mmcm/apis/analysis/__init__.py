"""Figures of data, models and scores."""

from mmcm.apis.analysis.dataset_grid import dataset_sheet
from mmcm.apis.analysis.neighbours import find_neighbours, neighbour_sheet
from mmcm.apis.analysis.nfe import draw_curves, read_curves
from mmcm.apis.analysis.one_seed import seed_sheet

__all__ = ['dataset_sheet', 'draw_curves', 'find_neighbours', 'neighbour_sheet', 'read_curves', 'seed_sheet']
