"""Figures of data, models, trainings and scores; settings and costs of models."""

from mmcm.apis.analysis.config_settings import differences, resolved_config
from mmcm.apis.analysis.dataset_grid import dataset_sheet
from mmcm.apis.analysis.model_facts import model_facts
from mmcm.apis.analysis.neighbours import find_neighbours, neighbour_sheet
from mmcm.apis.analysis.nfe import draw_curves, read_curves
from mmcm.apis.analysis.one_seed import seed_sheet
from mmcm.apis.analysis.pipeline_grid import pipeline_sheet
from mmcm.apis.analysis.training_log import draw_logs, read_log

__all__ = [
    'dataset_sheet',
    'differences',
    'draw_curves',
    'draw_logs',
    'find_neighbours',
    'model_facts',
    'neighbour_sheet',
    'pipeline_sheet',
    'read_curves',
    'read_log',
    'resolved_config',
    'seed_sheet',
]
