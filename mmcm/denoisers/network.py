"""Network F of a denoiser."""

from torch import nn

from mmcm.registry import MODELS
from mmcm.utils.errors import InputError


def build_network(config: dict, num_outputs: int = 1) -> nn.Module:
    """Build a backbone, whose output has to have the channels of the images that it denoises.

    Args:
        config (dict): Config of the network. A network without `in_channels` and `out_channels` is not checked.
        num_outputs (int): Images that the network returns, one after the other in its channels.

    Raises:
        InputError: If the network has more or fewer channels at its end than at its beginning, times `num_outputs`.
    """
    network = MODELS.build(config)
    channels, out_channels = (getattr(network, name, None) for name in ('in_channels', 'out_channels'))
    if channels is not None and out_channels is not None and channels * num_outputs != out_channels:
        if num_outputs > 1:
            raise InputError(
                f'the network returns {num_outputs} images in its channels, got '
                f'model.denoiser.backbone.out_channels={out_channels} and in_channels={channels}. Set '
                f'out_channels={channels * num_outputs}.'
            )
        # What learn_sigma=True of OpenAI's program makes: there, too, its sum with the image fails.
        learned = ' A learned variance (twice the channels) has no use in a consistency model.'
        raise InputError(
            f'a denoiser adds the output of its network to the image, so both need as many channels: got '
            f'model.denoiser.backbone.out_channels={out_channels} and in_channels={channels}. Set '
            f'out_channels={channels}.{learned if out_channels == 2 * channels else ""}'
        )
    return network
