"""Every family of the zoo has a card, and the cards say what the metafiles say."""

from itertools import groupby
from pathlib import Path

import pytest

from mmcm.zoo import list_models, root

SECTIONS = [
    'Model details',
    'Data',
    'Intended use',
    'Out of scope',
    'Limitations and biases',
    'Evaluation',
    'Compute',
    'Licence',
]
CARDS = {card: list(models) for card, models in groupby(list_models(), key=lambda model: model.card)}


def scores(card):
    """Return (model, network calls, {metric: value}) of each row of the card's table."""
    rows = [
        [cell.strip(' `') for cell in line.strip('|').split('|')]
        for line in (root() / card).read_text(encoding='utf-8').splitlines()
        if line.startswith('|')
    ]
    header, _, *rows = rows
    return [
        (name, int(calls), {key: float(value) for key, value in zip(header[2:], values) if value != '-'})
        for name, calls, *values in rows
    ]


def test_every_model_with_weights_has_a_card():
    assert [model.name for model in list_models() if model.weights and not model.card] == []
    assert set(CARDS) == {str(card.relative_to(root())) for card in (root() / 'configs').glob('*/MODEL_CARD.md')}


@pytest.mark.parametrize('card', CARDS)
def test_card_has_every_section_and_names_every_model(card):
    text = (root() / card).read_text(encoding='utf-8')
    assert [line[3:] for line in text.splitlines() if line.startswith('## ')] == SECTIONS
    kinds = {model.name.split('_')[0] for model in CARDS[card]}
    assert [kind for kind in kinds if f'`{kind}_' not in text and f'`{kind}`' not in text] == []


@pytest.mark.parametrize('card', CARDS)
def test_scores_of_the_card_are_those_of_the_metafile(card):
    assert scores(card) == [
        (model.name, result['NFE'], result['Metrics'])
        for model in CARDS[card]
        for result in model.results
        if result['Metrics']
    ]


@pytest.mark.parametrize('card', CARDS)
def test_readmes_in_both_languages_lead_to_the_card(card):
    for name in ('README.md', 'README_zh-CN.md'):
        assert f'({Path(card).name})' in (root() / card).with_name(name).read_text(encoding='utf-8')


def test_scores_of_digits_are_those_of_their_readme():
    text = (root() / 'configs/digits/README.md').read_text(encoding='utf-8')
    for _, calls, metrics in scores('configs/digits/MODEL_CARD.md'):
        assert f'| {calls} | {metrics["Frechet distance"]:.3f} | {metrics["Label accuracy"]:.3f} |' in text
