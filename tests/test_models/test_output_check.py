import math

import pytest
import torch
from torch import nn

from mmcm.models.output_check import OutputCheck
from mmcm.utils.finite import NotFiniteError


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
def test_one_bad_number_is_found(bad):
    values = torch.zeros(2, 3, 4, 4)
    check = OutputCheck(nn.Linear(1, 1))
    assert check.note(values) is values
    values[1, 2, 3, 0] = bad
    with pytest.raises(NotFiniteError, match='the output of the network is not finite'):
        check.note(values)


def test_largest_numbers_are_finite():
    largest = torch.full((1000,), torch.finfo(torch.float32).max)  # whose sum is not
    assert OutputCheck(nn.Linear(1, 1)).note(largest) is largest


def test_nothing_waits_for_another_device_before_the_end():
    with torch.device('meta'):  # a value that is asked for would be an error there
        check = OutputCheck(nn.Linear(1, 1))
        check.note(torch.empty(3, 1, 8, 8))
    check.finish()


def test_weights_that_are_not_finite_are_named():
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with torch.no_grad():
        network[1].weight[0, 0] = math.nan
    message = r'not finite, since 1 of its 4 weights are not: 1\.weight\. The training .* diverged'
    with pytest.raises(NotFiniteError, match=message):
        OutputCheck(network).note(network(torch.ones(1, 2)))


def test_overflow_of_float16_is_told_with_the_other_precisions():
    network = nn.Linear(2, 2).half()
    nn.init.constant_(network.weight, 6e4)
    check = OutputCheck(network)
    with pytest.raises(NotFiniteError, match='in float16, whose numbers end at 65504.*--dtype bfloat16 or float32'):
        check.note(network(torch.ones(1, 2).half()))


def test_overflow_under_autocast_is_told_likewise():
    network = nn.Linear(2, 2)
    nn.init.constant_(network.weight, 1e5)
    with torch.autocast('cpu', torch.float16), pytest.raises(NotFiniteError, match='in float16'):
        OutputCheck(network).note(network(torch.ones(1, 2)))


def test_overflow_of_float32_is_told_apart_from_broken_weights():
    network = nn.Linear(2, 2)
    nn.init.constant_(network.weight, 3e38)
    with pytest.raises(NotFiniteError, match='though its weights are: they are too large'):
        OutputCheck(network).note(network(torch.ones(1, 2)))


def test_what_was_given_is_looked_at_first():
    network = nn.Linear(2, 2)
    given = torch.tensor([[1.0, math.inf]])
    with pytest.raises(NotFiniteError, match='^latents have to be finite'):
        OutputCheck(network, latents=given, others=None).note(network(given))


def test_graph_of_an_export_has_no_check():

    class Checked(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = nn.Linear(2, 2)

        def forward(self, x):
            check = OutputCheck(self.network)
            x = check.note(self.network(x))
            check.finish()
            return x

    module = Checked()
    with_check, without = (torch.export.export(each, (torch.ones(1, 2),)) for each in (module, module.network))
    assert [node.op for node in with_check.graph.nodes] == [node.op for node in without.graph.nodes]
