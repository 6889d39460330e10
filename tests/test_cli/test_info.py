import json

import pytest

from mmcm.cli.info import main


def test_facts_are_printed_for_people_and_for_programs(capsys):
    main(['digits', '--batch-size', '2'])
    shown = capsys.readouterr().out
    assert shown.startswith('digits\n') and 'batch of 2, in float32' in shown
    main(['digits', '--json', '--sampler', 'indices=[0,5]'])
    facts = json.loads(capsys.readouterr().out)
    assert facts['nfe'] == 2 and facts['model'] == 'digits'


def test_weights_are_not_downloaded(capsys, monkeypatch):
    monkeypatch.setattr('mmcm.checkpoints.checkpoint.resolve_checkpoint', lambda *_, **__: pytest.fail('it downloads'))
    main(['cd_cat256_lpips', '--json'])
    assert json.loads(capsys.readouterr().out)['image_shape'] == [3, 256, 256]


def test_unknown_model_is_one_line(capsys):
    with pytest.raises(SystemExit) as raised:
        main(['digit'])
    assert raised.value.code == 2 and 'nearest: digits' in capsys.readouterr().err
