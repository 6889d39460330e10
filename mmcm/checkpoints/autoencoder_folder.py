"""The folder of an AutoencoderKL, as diffusers' `save_pretrained` writes it: `config.json` and safetensors.

Pickles (`.bin`) are not read, and nothing in the folder names a class that is made.
"""

import re
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmcm.checkpoints.formats.diffusers_folder import STEM
from mmcm.checkpoints.trusted_config import AUTOENCODER_KL, check_diffusers
from mmcm.utils.bounded import Unreadable, read_json
from mmcm.utils.errors import InputError
from mmcm.zoo.autoencoders import AUTOENCODERS

if TYPE_CHECKING:
    from torch import Tensor, nn

KIND = 'AutoencoderKL'
CONFIG, WEIGHTS = 'config.json', f'{STEM}.safetensors'
EXTRA = 'latents'  # of setup.py, which installs diffusers
DOWN, UP = 'DownEncoderBlock2D', 'UpDecoderBlock2D'
DEFAULTS = dict(  # of diffusers
    in_channels=3,
    out_channels=3,
    latent_channels=4,
    block_out_channels=(64,),
    layers_per_block=1,
    norm_num_groups=32,
    act_fn='silu',
    mid_block_add_attention=True,
    use_quant_conv=True,
    use_post_quant_conv=True,
)
# Names that diffusers had before 0.17, in the attention of the middle.
OLD_NAMES = {'query': 'to_q', 'key': 'to_k', 'value': 'to_v', 'proj_attn': 'to_out.0'}
OLD_NAME = re.compile(rf'(.*\.attentions\.\d+\.)({"|".join(OLD_NAMES)})\.(weight|bias)')


class AutoencoderFolder:
    """The folder of an AutoencoderKL. Its settings are read at once.

    Args:
        path (str | Path): The folder.

    Attributes:
        settings (dict): Arguments of the AutoencoderKL.

    Raises:
        InputError: If it is not whole, or holds another network, or settings out of bounds.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        found = _read_settings(self.path / CONFIG)
        found = {key: value for key, value in found.items() if value is not None}
        self.settings: dict[str, Any] = {key: found.get(key, default) for key, default in DEFAULTS.items()}
        num_blocks = len(self.settings['block_out_channels'])
        for name, kind in (('down_block_types', DOWN), ('up_block_types', UP)):
            if list(found.get(name, [kind])) != [kind] * num_blocks:
                raise InputError(
                    f'{self.path / CONFIG}: {name} has to be {kind} for each of the {num_blocks} block_out_channels, '
                    'as of the autoencoder of Stable Diffusion; others are not read.'
                )
            self.settings[name] = (kind,) * num_blocks

    @classmethod
    def open(cls, source: str, cache_dir: str | Path | None = None) -> 'AutoencoderFolder':
        """Return the folder that `source` means: a name of `AUTOENCODERS`, a path or an address.

        The files of an address are downloaded as checkpoints are, and kept in a folder of their own in the cache.

        Raises:
            InputError: If there is no such folder.
        """
        source = AUTOENCODERS.get(source, source)
        if source.lower().startswith(('http://', 'https://')):
            from mmcm.checkpoints.locate import resolve_folder  # which imports the formats

            return cls(resolve_folder(source, (CONFIG, WEIGHTS), cache_dir))
        folder = Path(source).expanduser()
        if not folder.is_dir():
            names = ', '.join(AUTOENCODERS)
            raise InputError(
                f'there is no folder {source} of an autoencoder: give that of diffusers, with {CONFIG} and {WEIGHTS}, '
                f'its http or https address, or a known name ({names}).'
            )
        return cls(folder)

    @property
    def downscale(self) -> int:
        """Pixels of an image per side of a latent."""
        return 2 ** (len(self.settings['block_out_channels']) - 1)

    def weights(self) -> dict[str, 'Tensor']:
        """Return the weights by the names of today's diffusers; an InputError if they cannot be read."""
        from mmcm.checkpoints.read import read_checkpoint, reads_as_safetensors  # which loads torch

        path = self.path / WEIGHTS
        if path.is_file() and not reads_as_safetensors(path):
            raise InputError(
                f'{path} is no safetensors file, and autoencoders are read from those alone: save it again by '
                'save_pretrained of diffusers.'
            )
        return {_new_name(key): _as_matrix(key, value) for key, value in read_checkpoint(path, mapped=True).items()}

    def build(self) -> 'nn.Module':
        """Return the AutoencoderKL with its weights, in float32 on the CPU.

        Raises:
            InputError: If diffusers is not installed, or the weights are not those of the network.
        """
        from mmcm.checkpoints.weights import load_weights
        from mmcm.utils.meta_device import without_weights

        try:
            from diffusers import AutoencoderKL
        except ImportError as error:
            raise InputError(
                'images of latents need the autoencoder of diffusers, which is not installed: pip install '
                f'"mmcm[{EXTRA}]" (pip install diffusers).'
            ) from error
        try:
            with without_weights():
                network: Any = AutoencoderKL(**known_to(AutoencoderKL, self.settings, self.path / CONFIG))
        except (ValueError, RuntimeError) as error:  # widths that the groups of the normalisation do not divide
            raise InputError(f'{self.path / CONFIG} describes no network: {" ".join(str(error).split())}') from error
        load_weights(network, self.weights(), self.path / WEIGHTS)
        return network


def known_to(network: type, settings: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the settings that this version of diffusers knows; older ones behave as the defaults of the others."""
    known = signature(network).parameters
    for name in settings.keys() - known:
        if settings[name] != DEFAULTS[name]:
            raise InputError(f'{path}: {name} {settings[name]!r} needs a newer diffusers: pip install -U diffusers.')
    return {name: value for name, value in settings.items() if name in known}


def _new_name(key: str) -> str:
    old = OLD_NAME.fullmatch(key)
    return key if old is None else f'{old[1]}{OLD_NAMES[old[2]]}.{old[3]}'


def _as_matrix(key: str, value: 'Tensor') -> 'Tensor':
    """Return the weights of an old attention layer as those of a linear map: some files have them as convolutions."""
    return value[..., 0, 0] if OLD_NAME.fullmatch(key) and value.ndim == 4 and value.shape[2:] == (1, 1) else value


def _read_settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f'{path} is missing: the folder of an autoencoder has it. Download or write it again.')
    try:
        content = read_json(path)
    except (OSError, Unreadable) as error:
        raise InputError(f'{path} cannot be read as JSON: {error}. Download or write it again.') from error
    kind = content.get('_class_name') if isinstance(content, dict) else None
    if kind != KIND:
        raise InputError(f'{path} describes {kind!r:.80}, and latents are decoded by an {KIND}: name another folder.')
    return check_diffusers(content, AUTOENCODER_KL, path)
