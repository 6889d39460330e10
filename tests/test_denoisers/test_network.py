import pytest
from torch import nn

from mmcm.cli.sample import main as sample
from mmcm.denoisers.network import build_network
from mmcm.registry import MODELS
from mmcm.utils.errors import InputError
from support.digits import BACKBONE, model_config, write_config


class Untold(nn.Module):
    """A network that does not tell its channels."""


@pytest.mark.parametrize('denoiser', ['KarrasDenoiser', 'TrigFlowDenoiser'])
@pytest.mark.parametrize('channels, out_channels, also', [(3, 6, True), (1, 2, True), (3, 1, False)])
def test_other_channels_at_the_end_are_refused(denoiser, channels, out_channels, also):
    backbone = dict(BACKBONE, in_channels=channels, out_channels=out_channels)
    with pytest.raises(InputError) as error:
        MODELS.build(dict(type=denoiser, backbone=backbone))
    assert f'Set out_channels={channels}.' in str(error.value) and '\n' not in str(error.value)
    assert ('learned variance' in str(error.value)) == also


def test_network_that_does_not_tell_its_channels_is_taken():
    assert isinstance(build_network(dict(type=Untold)), Untold)


def test_command_ends_with_one_line_for_a_learned_variance(tmp_path, capsys):
    config = write_config(
        tmp_path,
        model=model_config(
            denoiser=dict(type='KarrasDenoiser', backbone=dict(BACKBONE, in_channels=3, out_channels=6))
        ),
    )
    with pytest.raises(SystemExit) as exit_:
        sample(['--model', str(config), '--checkpoint', 'digits', '--out', str(tmp_path / 'x.png')])
    error = capsys.readouterr().err
    assert exit_.value.code == 2 and error.count('\n') == 1 and 'out_channels=6' in error
