import pytest

gr = pytest.importorskip('gradio')

from mmcm.web.request_values import check_values  # noqa: E402


@pytest.mark.parametrize(
    'block, right, wrong',
    [
        (gr.Checkbox(), [True, False], [None, 1, 'true']),
        (gr.Slider(label='Steps'), [1, 2.5], [None, '1', True, [1], {}]),
        (gr.Number(), [0, -1.5], [None, 'a', False]),
        (gr.Textbox(), ['', 'a'], [None, 1, ['a']]),
        (gr.Dropdown(['a']), ['a', None, 2], [['a'], {}, True]),
        (gr.ImageEditor(), [None, {}], ['a', 1, []]),
        (gr.State(), [None, 3, {}], []),
    ],
)
def test_values_are_of_the_kind_that_the_control_sends(block, right, wrong):
    for value in right:
        check_values([block], [value])
    for value in wrong:
        with pytest.raises(gr.Error) as error:
            check_values([block], [value])
        assert ' has to be ' in error.value.message and '\n' not in error.value.message
