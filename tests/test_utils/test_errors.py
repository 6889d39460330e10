import pytest

from mmcm.utils.errors import first_of


@pytest.mark.parametrize(
    'items, text',
    [
        ([], ''),
        (['a'], 'a'),
        (['a', 'b', 'c'], 'a, b, c'),
        (['a', 'b', 'c', 'd'], 'a, b, c, ...'),
        (range(9), '0, 1, 2, ...'),
    ],
)
def test_first_of_many_are_shown(items, text):
    assert first_of(items) == text
    assert first_of(iter(items)) == text


def test_number_that_is_shown_is_the_callers():
    assert first_of('abc', 1) == 'a, ...' and first_of('abc', 9) == 'a, b, c'


def test_no_more_is_taken_than_is_looked_at():
    def items():
        yield from 'abc'
        pytest.fail('asked for one too many')

    assert first_of(items(), 2) == 'a, b, ...'
