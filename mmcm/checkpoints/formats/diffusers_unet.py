"""ADMUNet and the UNet2DModel of diffusers: the same networks, under other settings and with other names.

Both lists of parameters follow from the settings. Attention differs in more than names: diffusers has three linear maps
in place of the convolution `qkv`, whose output channels are all queries, then all keys, then all values.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mmcm.utils.errors import InputError
from mmcm.utils.image_shape import height_and_width, json_size, plain_size

if TYPE_CHECKING:
    from torch import Tensor

# What ADMUNet has built in, and diffusers by default: its settings may be missing, but not be others.
FIXED = dict(
    center_input_sample=False,
    time_embedding_type='positional',
    freq_shift=0,
    flip_sin_to_cos=True,
    mid_block_type='UNetMidBlock2D',
    mid_block_scale_factor=1,
    downsample_padding=1,
    add_attention=True,
    class_embed_type=None,
)
# What both have as a setting: our name, diffusers' name, and the default of both.
SHARED = (('norm_groups', 'norm_num_groups', 32), ('norm_eps', 'norm_eps', 1e-5), ('activation', 'act_fn', 'silu'))
ACTIVATIONS = ('silu', 'gelu', 'mish', 'relu')  # diffusers calls the first one swish, too
ATTENTION = ('AttnDownBlock2D', 'AttnUpBlock2D')
# Levels without attention, with resampling by a convolution and by a residual block.
PLAIN = dict(down=('DownBlock2D', 'ResnetDownsampleBlock2D'), up=('UpBlock2D', 'ResnetUpsampleBlock2D'))
RES_BLOCK = {
    'in_layers.0': 'norm1',
    'in_layers.2': 'conv1',
    'emb_layers.1': 'time_emb_proj',
    'out_layers.0': 'norm2',
    'out_layers.3': 'conv2',
    'skip_connection': 'conv_shortcut',
}
MIDDLE_NORM = 'mid_block.attentions.0.group_norm'
OLD_NAMES = {'query': 'to_q', 'key': 'to_k', 'value': 'to_v', 'proj_attn': 'to_out.0'}  # of the attention, formerly


def unet_config(backbone: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the UNet2DModel that computes what an ADMUNet does.

    Args:
        backbone (Mapping): Config of the ADMUNet.

    Raises:
        InputError: If diffusers has no such network; the message names the setting.
    """
    kind = str(backbone.get('type')).split('.')[-1]
    if kind != 'ADMUNet':
        raise InputError(f'diffusers has no counterpart of the backbone {kind}: only an ADMUNet can be converted.')
    base = backbone['base_channels']
    attention = _attention(backbone)
    resnet = bool(backbone.get('resblock_updown'))
    if backbone['channel_mult'][0] != 1:
        raise _no_counterpart('channel_mult', tuple(backbone['channel_mult']), 'a first entry of 1')
    if backbone['num_res_blocks'] < 1:
        raise _no_counterpart('num_res_blocks', backbone['num_res_blocks'], 'at least 1')
    if backbone.get('patch_size', 1) != 1:
        raise _no_counterpart('patch_size', backbone['patch_size'], '1')
    scale_shift = bool(backbone.get('scale_shift_norm'))
    config = dict(
        sample_size=json_size(backbone['image_size']),
        in_channels=backbone.get('in_channels', 3),
        out_channels=backbone.get('out_channels', 3),
        layers_per_block=backbone['num_res_blocks'],
        num_class_embeds=backbone.get('num_classes'),
        block_out_channels=[base * mult for mult in backbone['channel_mult']],
        attention_head_dim=_head_channels(backbone, attention),
        down_block_types=['AttnDownBlock2D' if has else PLAIN['down'][resnet] for has in attention],
        up_block_types=['AttnUpBlock2D' if has else PLAIN['up'][resnet] for has in reversed(attention)],
        resnet_time_scale_shift='scale_shift' if scale_shift else 'default',
        # Without it, the attention in the middle would have no normalisation; by default it is that of the blocks.
        attn_norm_num_groups=backbone.get('norm_groups', 32) if scale_shift else None,
        upsample_type='resnet' if resnet else 'conv',
        downsample_type='resnet' if resnet else 'conv',
    )
    if backbone.get('dropout') and backbone.get('dropout_resolution') is None:  # there it is the same in all blocks
        config['dropout'] = backbone['dropout']
    config.update(
        (theirs, backbone[ours]) for ours, theirs, default in SHARED if backbone.get(ours, default) != default
    )
    return config


def backbone_config(unet: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of the ADMUNet that computes what a UNet2DModel of diffusers does.

    Args:
        unet (Mapping): Settings of the UNet2DModel, as in its `config.json`. What is missing has diffusers' default.

    Raises:
        InputError: If ADMUNet has no such network; the message names the setting.
    """
    if unet.get('sample_size') is None:
        raise InputError(
            'the config of the UNet2DModel has sample_size None, and ADMUNet has to know the size of its '
            'images: set it in config.json, "sample_size": 64 for 64 x 64 pixels, or [height, width].'
        )
    for key in ('sample_size', 'block_out_channels', 'down_block_types', 'up_block_types'):
        if not unet.get(key):
            raise InputError(f'the config of the UNet2DModel has no {key}: it is not whole, or of another network.')
    for key, value in FIXED.items():
        if unet.get(key, value) != value:
            raise _not_adm(key, unet[key], value)
    size, widths = plain_size(unet['sample_size'], 'sample_size'), unet['block_out_channels']
    base = widths[0]
    if any(width % base for width in widths):
        raise _not_adm('block_out_channels', widths, 'multiples of the first one')
    if unet.get('time_embedding_dim') not in (None, 4 * base):
        raise _not_adm('time_embedding_dim', unet['time_embedding_dim'], 4 * base)
    modulation = unet.get('resnet_time_scale_shift', 'default')
    if modulation not in ('default', 'scale_shift'):
        raise _not_adm('resnet_time_scale_shift', modulation, "'default' or 'scale_shift'")
    # diffusers before 0.21 had no such setting (its pull request 4863), but folders from then with the released weights
    # have the normalisation among these. A network without it is refused for its missing weights.
    shared = _shared(unet, base)
    groups = unet.get('attn_norm_num_groups')
    if groups not in (None, shared.get('norm_groups', 32)):
        raise _not_adm('attn_norm_num_groups', groups, f'norm_num_groups, {shared.get("norm_groups", 32)}')
    attention, resnet = _levels(unet)
    head_channels = unet.get('attention_head_dim', 8)
    with_attention = [width for width, has in zip(widths, attention) if has] + [widths[-1]]
    if head_channels is not None and any(width % head_channels for width in with_attention):
        raise _not_adm('attention_head_dim', head_channels, f'a divisor of {sorted(set(with_attention))}')
    return dict(
        type='ADMUNet',
        image_size=size,
        in_channels=unet.get('in_channels', 3),
        base_channels=base,
        out_channels=unet.get('out_channels', 3),
        num_res_blocks=unet.get('layers_per_block', 2),
        attention_resolutions=tuple(min(height_and_width(size)) >> level for level, has in enumerate(attention) if has),
        channel_mult=tuple(width // base for width in widths),
        num_classes=unet.get('num_class_embeds'),
        num_head_channels=head_channels,  # None: one head for all channels, as in diffusers
        scale_shift_norm=modulation == 'scale_shift',
        resblock_updown=resnet,
        dropout=unet.get('dropout', 0.0),
        **shared,
    )


def to_diffusers(backbone: Mapping[str, Any], weights: Mapping[str, 'Tensor']) -> dict[str, 'Tensor']:
    """Return the weights of an ADMUNet under diffusers' names: views of the given tensors, nothing is copied.

    Args:
        backbone (Mapping): Config of the ADMUNet, one that `unet_config` accepts.
        weights (Mapping[str, Tensor]): All of its weights.
    """
    renamed = {}
    for key, names in key_map(backbone):
        for name, part in zip(names, weights[key].chunk(len(names))):
            renamed[name] = part.flatten(1) if _is_linear_here(name) else part
    return renamed


def from_diffusers(backbone: Mapping[str, Any], weights: Mapping[str, 'Tensor']) -> dict[str, 'Tensor']:
    """Return the weights of a UNet2DModel under the names of ADMUNet, in the order of the released checkpoints.

    Args:
        backbone (Mapping): Config of the ADMUNet, from `backbone_config`.
        weights (Mapping[str, Tensor]): The weights, attention also under its former names. Only those of `qkv` are
            copied.

    Raises:
        InputError: If weights are missing, or not expected.
    """
    import torch  # see the package's __init__

    weights = {_current_name(name): value for name, value in weights.items()}
    mapping = dict(key_map(backbone))
    expected = {name for names in mapping.values() for name in names}
    if expected - weights.keys() == {f'{MIDDLE_NORM}.weight', f'{MIDDLE_NORM}.bias'}:
        raise _not_adm(
            'attn_norm_num_groups',
            None,
            f'{backbone.get("norm_groups", 32)}: there is no normalisation before the attention in the middle',
        )
    for differing, problem in (
        (sorted(expected - weights.keys()), 'are missing'),
        (sorted(weights.keys() - expected), 'are not expected'),
    ):
        if differing:
            raise InputError(
                'the weights do not fit the config of the UNet2DModel: '
                f'{len(differing)} {problem}, {", ".join(differing[:3])}.'
            )
    renamed = {}
    for key, names in mapping.items():
        parts = [weights[name][..., None, None] if _is_linear_here(name) else weights[name] for name in names]
        renamed[key] = parts[0] if len(parts) == 1 else torch.cat(parts)
    return renamed


def key_map(backbone: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each key of ADMUNet's state dict, in its order, with diffusers' key, or the three that share it out."""
    for module, counterparts in _modules(backbone):
        for parameter in ('weight',) if module == 'label_emb' else ('weight', 'bias'):
            yield f'{module}.{parameter}', tuple(f'{name}.{parameter}' for name in counterparts)


def _modules(backbone: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the modules that have parameters, with their counterparts in diffusers."""
    depth = backbone['num_res_blocks']
    mults = backbone['channel_mult']
    attention = _attention(backbone)
    resnet = backbone.get('resblock_updown')

    def res_block(name, counterpart, skip):
        for part, its in RES_BLOCK.items():
            if skip or part != 'skip_connection':
                yield f'{name}.{part}', (f'{counterpart}.{its}',)

    def attention_block(name, counterpart):
        yield f'{name}.norm', (f'{counterpart}.group_norm',)
        yield f'{name}.qkv', tuple(f'{counterpart}.to_{letter}' for letter in 'qkv')
        yield f'{name}.proj_out', (f'{counterpart}.to_out.0',)

    yield 'time_embed.0', ('time_embedding.linear_1',)
    yield 'time_embed.2', ('time_embedding.linear_2',)
    if backbone.get('num_classes') is not None:
        yield 'label_emb', ('class_embedding',)
    yield 'input_blocks.0.0', ('conv_in',)
    index = 1
    for level, mult in enumerate(mults):
        theirs = f'down_blocks.{level}'
        for layer in range(depth):
            changes = layer == 0 and mult != mults[max(level - 1, 0)]
            yield from res_block(f'input_blocks.{index}.0', f'{theirs}.resnets.{layer}', skip=changes)
            if attention[level]:
                yield from attention_block(f'input_blocks.{index}.1', f'{theirs}.attentions.{layer}')
            index += 1
        if level < len(mults) - 1:
            if resnet:
                yield from res_block(f'input_blocks.{index}.0', f'{theirs}.downsamplers.0', skip=False)
            else:
                yield f'input_blocks.{index}.0.op', (f'{theirs}.downsamplers.0.conv',)
            index += 1

    yield from res_block('middle_block.0', 'mid_block.resnets.0', skip=False)
    yield from attention_block('middle_block.1', 'mid_block.attentions.0')
    yield from res_block('middle_block.2', 'mid_block.resnets.1', skip=False)

    index = 0
    for position, level in enumerate(reversed(range(len(mults)))):
        theirs = f'up_blocks.{position}'
        for layer in range(depth + 1):
            ours = f'output_blocks.{index}'
            yield from res_block(f'{ours}.0', f'{theirs}.resnets.{layer}', skip=True)
            if attention[level]:
                yield from attention_block(f'{ours}.1', f'{theirs}.attentions.{layer}')
            if level and layer == depth:
                last = 1 + attention[level]
                if resnet:
                    yield from res_block(f'{ours}.{last}', f'{theirs}.upsamplers.0', skip=False)
                else:
                    yield f'{ours}.{last}.conv', (f'{theirs}.upsamplers.0.conv',)
            index += 1
    yield 'out.0', ('conv_norm_out',)
    yield 'out.2', ('conv_out',)


def _shared(unet: Mapping[str, Any], base: int) -> dict[str, Any]:
    """Return those of the settings that both networks have which differ from the default, under our names."""
    settings = {ours: unet.get(theirs, default) for ours, theirs, default in SHARED}
    activation = settings['activation']
    settings['activation'] = 'silu' if str(activation).lower() == 'swish' else str(activation).lower()
    if settings['activation'] not in ACTIVATIONS:
        raise _not_adm('act_fn', activation, ' or '.join(ACTIVATIONS))
    groups = settings['norm_groups']
    if not isinstance(groups, int) or groups < 1 or base % groups:
        raise _not_adm('norm_num_groups', groups, f'a divisor of block_out_channels[0], {base}')
    if not isinstance(settings['norm_eps'], (int, float)):
        raise _not_adm('norm_eps', settings['norm_eps'], 'a number')
    return {ours: settings[ours] for ours, _, default in SHARED if settings[ours] != default}


def _attention(backbone: Mapping[str, Any]) -> list[bool]:
    """Return which levels of an ADMUNet have attention."""
    levels, shorter = range(len(backbone['channel_mult'])), min(height_and_width(backbone['image_size']))
    return [shorter >> level in backbone['attention_resolutions'] for level in levels]


def _head_channels(backbone: Mapping[str, Any], attention: list[bool]) -> Any:
    """Return diffusers' `attention_head_dim`: the channels of a head on every level, or None for one head alone."""
    if backbone.get('num_head_channels'):
        return backbone['num_head_channels']
    num_heads = backbone.get('num_heads', 1)
    if num_heads == 1:
        return None
    mults = backbone['channel_mult']
    widths = {backbone['base_channels'] * mult for mult, has in zip(mults, attention) if has}
    widths.add(backbone['base_channels'] * mults[-1])  # the middle has attention in any case
    if len(widths) > 1:
        raise _no_counterpart(
            'num_heads', num_heads, f'num_head_channels, since levels of {sorted(widths)} channels have attention'
        )
    return widths.pop() // num_heads


def _levels(unet: Mapping[str, Any]) -> tuple[list[bool], bool]:
    """Return which levels of a UNet2DModel have attention, and whether residual blocks change the size."""
    num_levels = len(unet['block_out_channels'])
    attention, resampling = {}, set()
    for way in ('down', 'up'):
        key = f'{way}_block_types'
        types = unet[key] if way == 'down' else unet[key][::-1]
        if len(types) != num_levels or any(kind not in (*ATTENTION, *PLAIN[way]) for kind in types):
            raise _not_adm(key, unet[key], f'{num_levels} of {", ".join((f"Attn{way.title()}Block2D", *PLAIN[way]))}')
        attention[way] = [kind in ATTENTION for kind in types]
        # On the way down the last level has no resampling, on the way up neither has its counterpart here, the first.
        for kind in types[:-1] if way == 'down' else types[1:]:
            if kind in ATTENTION:
                resampling.add(unet.get(f'{way}sample_type', 'conv'))
            else:
                resampling.add(('conv', 'resnet')[PLAIN[way].index(kind)])
    if attention['down'] != attention['up']:
        raise _not_adm('up_block_types', unet['up_block_types'], 'attention on the levels of down_block_types')
    if len(resampling) > 1 or not resampling <= {'conv', 'resnet'}:
        raise _not_adm(
            'downsample_type and upsample_type (or down_block_types and up_block_types)',
            sorted(map(str, resampling)),
            "one way for all levels, 'conv' or 'resnet'",
        )
    return attention['down'], resampling == {'resnet'}


def _is_linear_here(name: str) -> bool:
    """Return whether this weight of diffusers is (out, in), where ADMUNet has a convolution of width 1."""
    return '.to_' in name and name.endswith('.weight')


def _current_name(name: str) -> str:
    parts = name.split('.')  # ..., 'attentions', its number, module, parameter
    if parts[-4:-3] == ['attentions']:
        parts[-2] = OLD_NAMES.get(parts[-2], parts[-2])
    return '.'.join(parts)


def _no_counterpart(key: str, value: Any, needed: Any) -> InputError:
    return InputError(f'diffusers has no counterpart of an ADMUNet with {key} {value}: it would need {needed}.')


def _not_adm(key: str, value: Any, needed: Any) -> InputError:
    return InputError(f'ADMUNet has no counterpart of a UNet2DModel with {key} {value!r}: it would need {needed}.')
