"""Weights that are taken over, and the response of the network to which they are adapted."""

import pytest
import torch

from mmcm.models.partial_weights import load_partial, ranges
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from support.digits import randomise

NETWORK = dict(
    type='ADMUNet',
    image_size=8,
    in_channels=1,
    out_channels=1,
    base_channels=32,
    num_res_blocks=1,
    attention_resolutions=(4,),
    channel_mult=(1, 2),
    num_classes=4,
    num_head_channels=32,
    scale_shift_norm=True,
    resblock_updown=True,
)
COLOUR = dict(in_channels=3, out_channels=3)


def network(seed, **changes):
    built = MODELS.build(dict(NETWORK, **changes)).eval()
    randomise(built, seed)
    return built


def start(source, rows=(), **changes):
    """Return a network with other settings that starts from `source`, and the report."""
    built = network(9, **changes)
    return built, load_partial(built, source.state_dict(), 'x.pt', rows, 'by number')


def evaluate(built, x, labels=None):
    with torch.no_grad():
        return built(x, torch.tensor([3.0, 50.0]), labels)


@pytest.fixture(scope='module')
def source():
    return network(1)


@pytest.fixture
def x():
    torch.manual_seed(0)
    return torch.randn(2, 1, 8, 8)


LABELS = torch.tensor([1, 3])


def same(a, b):  # sums in another order round in the last digits of values of order 1
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    'size, attention, shape', [(16, 8, (2, 1, 16, 16)), (16, 8, (2, 1, 16, 24)), (64, 32, (2, 1, 8, 8))]
)
def test_other_image_size_of_the_same_network_takes_all_weights(source, size, attention, shape):
    built, report = start(source, range(4), image_size=size, attention_resolutions=(attention,))
    images = torch.randn(shape)
    assert torch.equal(evaluate(built, images, LABELS), evaluate(source, images, LABELS))
    assert report.ratio == 1 and not (report.adapted or report.new or report.unused)


def test_colour_network_responds_to_grey_images_as_the_grey_network(source, x):
    built, report = start(source, range(4), **COLOUR)
    same(evaluate(built, x.expand(-1, 3, -1, -1), LABELS), evaluate(source, x, LABELS).expand(-1, 3, -1, -1))
    assert report.ratio == 1 and len(report.adapted) == 3


def test_colour_network_from_a_grey_one_sees_the_mean_of_the_channels(source):
    built, _ = start(source, range(4), **COLOUR)
    images = torch.randn(2, 3, 8, 8)
    same(evaluate(built, images, LABELS)[:, :1], evaluate(source, images.mean(1, keepdim=True), LABELS))


def test_grey_network_responds_as_the_mean_of_the_colour_network(x):
    colour = network(2, **COLOUR)
    built, report = start(colour, range(4))
    expected = evaluate(colour, x.expand(-1, 3, -1, -1), LABELS).mean(1, keepdim=True)
    same(evaluate(built, x, LABELS), expected)
    assert report.ratio == 1 and 'input_blocks.0.0.weight (sum of 3 channels)' in str(report)


def test_there_and_back_between_grey_and_colour_is_the_same_network(source, x):
    colour, _ = start(source, range(4), **COLOUR)
    back, _ = start(colour, range(4))
    same(evaluate(back, x, LABELS), evaluate(source, x, LABELS))


def test_unconditional_network_responds_as_to_the_mean_of_all_classes(source, x):
    built, report = start(source, num_classes=None)
    same(evaluate(built, x), evaluate(source, x, torch.full((2, 4), 0.25)))
    assert report.ratio == 1 and not report.unused
    assert report.adapted == {'time_embed.2.bias': 'plus the mean of 4 classes'}


def test_each_class_of_a_conditional_network_starts_as_the_unconditional_one(x):
    unconditional = network(3, num_classes=None)
    built, report = start(unconditional)
    for labels in (LABELS, torch.tensor([0, 2])):
        same(evaluate(built, x, labels), evaluate(unconditional, x))
    assert 'zeros, as the checkpoint has no classes' in str(report)


def test_rows_of_classes_are_copied_and_new_classes_start_around_the_mean(source, x):
    initial = network(9, num_classes=3).label_emb.weight.detach()
    built, report = start(source, [3, None, 0], num_classes=3)
    table = source.label_emb.weight.detach()
    new = table.mean(0) + table.std(0, correction=0) * initial[1]
    torch.testing.assert_close(built.label_emb.weight.detach(), torch.stack([table[3], new, table[0]]))
    same(evaluate(built, x, torch.tensor([0, 2])), evaluate(source, x, torch.tensor([3, 0])))
    assert report.adapted['label_emb.weight'] == '2 classes by number, 1 new ones around the mean of 4'


def test_new_classes_are_spread_as_the_rows_of_the_checkpoint_are(source):
    built = MODELS.build(dict(NETWORK, num_classes=500))
    load_partial(built, source.state_dict(), 'x.pt', [None] * 500)
    (std, mean), (expected_std, expected_mean) = (
        torch.std_mean(table.detach(), 0, correction=0) for table in (built.label_emb.weight, source.label_emb.weight)
    )
    # Of 500 normal numbers, the mean errs by 0.045 standard deviations and the deviation by 0.032: five times that.
    assert ((mean - expected_mean).abs() < 0.225 * expected_std).all()
    assert ((std / expected_std - 1).abs() < 0.16).all()


def test_deeper_network_takes_the_levels_from_the_coarsest_one(source):
    built, report = start(source, range(4), image_size=16, channel_mult=(1, 1, 2))
    own, theirs = built.state_dict(), source.state_dict()
    assert torch.equal(own['input_blocks.5.0.in_layers.2.weight'], theirs['input_blocks.3.0.in_layers.2.weight'])
    assert torch.equal(own['input_blocks.5.1.qkv.weight'], theirs['input_blocks.3.1.qkv.weight'])
    assert torch.equal(own['output_blocks.1.2.in_layers.2.weight'], theirs['output_blocks.1.2.in_layers.2.weight'])
    assert not report.unused and set(report.new.values()) == {''}
    assert 'not loaded, not in the checkpoint: input_blocks 1-2, output_blocks 3-5' in str(report)


def test_levels_that_fit_equally_well_are_aligned_at_the_coarsest_one():
    settings = dict(attention_resolutions=(), num_classes=4)
    shallow, deep = (network(seed, channel_mult=mult, **settings) for seed, mult in ((1, (1, 1)), (2, (1, 1, 1))))
    load_partial(deep, shallow.state_dict(), 'x.pt', range(4), 'by number')
    own, theirs = deep.state_dict(), shallow.state_dict()
    assert torch.equal(own['input_blocks.5.0.in_layers.2.weight'], theirs['input_blocks.3.0.in_layers.2.weight'])


def test_deeper_network_with_a_new_coarsest_level_takes_the_fine_ones(source):
    _, report = start(source, range(4), image_size=8, channel_mult=(1, 2, 2))
    taken = {key.split('.')[1] for key in report.same if key.startswith('input_blocks')}
    assert {'1', '2', '3'} <= taken


def test_shallower_network_takes_what_it_has_levels_for():
    deep = network(4, image_size=16, channel_mult=(1, 1, 2))
    built, report = start(deep, range(4))
    own, theirs = built.state_dict(), deep.state_dict()
    assert torch.equal(own['input_blocks.3.0.in_layers.2.weight'], theirs['input_blocks.5.0.in_layers.2.weight'])
    assert report.ratio == 1
    assert 'not used of the checkpoint: input_blocks 1-2, output_blocks 3-5' in str(report)


def test_other_number_of_blocks_takes_the_first_ones_and_the_last(source):
    built, report = start(source, range(4), num_res_blocks=2)
    own, theirs = built.state_dict(), source.state_dict()
    assert torch.equal(own['output_blocks.2.2.in_layers.2.weight'], theirs['output_blocks.1.2.in_layers.2.weight'])
    assert len(report.same) == len(theirs)


def test_other_width_is_an_error_that_names_it(source):
    with pytest.raises(InputError, match=r'hardly anything of x.pt fits the ADMUNet of the config: .*base_channels'):
        start(source, range(4), base_channels=64)


def test_level_of_another_width_is_listed_and_the_rest_is_loaded():
    deep = network(4, image_size=16, channel_mult=(1, 2, 2))
    _, report = start(deep, range(4), image_size=16, channel_mult=(1, 1, 2))
    assert 0.5 < report.ratio < 1
    assert report.new['input_blocks.3.0.in_layers.2.weight'] == '(64, 32, 3, 3) instead of (32, 32, 3, 3)'
    assert 'not loaded, of another shape: input_blocks 3' in str(report) and len(str(report)) < 1000


def test_augmentation_labels_are_left_out_and_start_at_zero(source, x):
    knowing = network(5, augment_dim=9)
    built, report = start(knowing, range(4))
    assert report.unused == ['augment_emb.weight'] and report.ratio == 1
    assert torch.equal(evaluate(built, x, LABELS), evaluate(knowing, x, LABELS))
    fresh = MODELS.build(dict(NETWORK, augment_dim=9)).eval()
    report = load_partial(fresh, source.state_dict(), 'x.pt', range(4))
    assert report.new == {'augment_emb.weight': ''} and not fresh.augment_emb.weight.any()


def test_broken_weights_are_refused_before_the_network_is_changed(source):
    weights = {key: value.clone() for key, value in source.state_dict().items()}
    weights['middle_block.1.qkv.weight'][0, 0] = float('nan')
    built = network(6)
    before = {key: value.clone() for key, value in built.state_dict().items()}
    with pytest.raises(InputError, match=r'x.pt has NaN or infinite values.*middle_block.1.qkv.weight'):
        load_partial(built, weights, 'x.pt', range(4))
    assert all(torch.equal(value, before[key]) for key, value in built.state_dict().items())


def test_half_precision_becomes_that_of_the_network(source):
    built = network(7)
    load_partial(built, {key: value.half() for key, value in source.state_dict().items()}, 'x.pt', range(4))
    weight = built.out[2].weight
    assert weight.dtype == torch.float32 and torch.equal(weight, source.out[2].weight.half().float())
    assert weight.requires_grad


def test_network_of_another_kind_takes_equal_names_and_shapes():
    own, other = torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(2))), torch.nn.Linear(4, 4)
    weights = {'0.weight': other.weight.detach(), '0.bias': torch.zeros(3), '5.weight': torch.zeros(1)}
    report = load_partial(own, weights, 'x.pt')
    assert torch.equal(own[0].weight, other.weight) and list(report.same) == ['0.weight']
    assert report.new == {'0.bias': '(3,) instead of (4,)', '1.weight': '', '1.bias': ''}
    assert report.unused == ['5.weight']


def test_ranges_are_short():
    assert ranges([3, 1, 2, 5, 5]) == '1-3, 5'


NULL = torch.tensor([4, 4])


@pytest.mark.parametrize('with_null', [False, True])
def test_null_class_starts_at_that_of_the_checkpoint_or_at_the_mean(x, with_null):
    source = network(1, null_class=with_null)
    built = network(9, null_class=True)
    report = load_partial(built, source.state_dict(), 'x.pt', range(4), 'by number', null_row=with_null)
    same(evaluate(built, x, LABELS), evaluate(source, x, LABELS))
    rows = source.label_emb.weight
    same(built.label_emb.weight[-1], rows[-1] if with_null else rows.mean(0))
    assert ('label_emb.weight' in report.same) is with_null
    if with_null:
        same(evaluate(built, x, NULL), evaluate(source, x, NULL))


def test_null_class_stays_where_the_other_classes_change_places(x):
    source, built = network(1, null_class=True), network(9, null_class=True)
    load_partial(built, source.state_dict(), 'x.pt', [3, 2, 1, 0], 'by name', null_row=True)
    assert torch.equal(built.label_emb.weight, source.label_emb.weight[[3, 2, 1, 0, 4]])


def test_classes_of_a_checkpoint_with_a_null_class_are_kept_without_it(x):
    source = network(1, null_class=True)
    built = network(9)
    load_partial(built, source.state_dict(), 'x.pt', range(4), 'by number', null_row=True)
    same(evaluate(built, x, LABELS), evaluate(source, x, LABELS))
    plain = network(9, num_classes=None)
    report = load_partial(plain, source.state_dict(), 'x.pt', null_row=True)
    same(evaluate(plain, x), evaluate(source, x, NULL))
    assert report.adapted['time_embed.2.bias'] == 'plus the null class'
