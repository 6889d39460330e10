import json

import pytest

from mmcm.apis.evaluation.evaluation_cache import EvaluationCache
from mmcm.utils.errors import InputError


def test_what_is_in_the_file_is_not_evaluated_again(tmp_path):
    path = tmp_path / 'evaluations.json'
    cache = EvaluationCache(path)
    assert cache.get(dict(a=1, b=[2.5]), lambda: dict(x=0.1)) == dict(x=0.1)
    assert json.loads(path.read_text())  # written before the next one is begun
    assert cache.get(dict(b=[2.5], a=1), never) == dict(x=0.1)
    again = EvaluationCache(path)
    assert again.get(dict(a=1, b=[2.5]), never) == dict(x=0.1) and again.num_new == 0
    assert again.get(dict(a=2, b=[2.5]), lambda: None) is None and again.num_new == 1
    assert len(EvaluationCache(path).entries) == 2


def never():
    raise AssertionError('evaluated again')


@pytest.mark.parametrize('content', ['', '{', '[1]', '{"a": 1}', '{"a": {"of": 1}}'])
def test_another_file_is_not_overwritten(tmp_path, content):
    path = tmp_path / 'evaluations.json'
    path.write_text(content)
    with pytest.raises(InputError, match='delete it'):
        EvaluationCache(path)
    assert path.read_text() == content
