"""Snapshots of EDM and EDM2 (.pkl): the weights of their network, and its config as one of ours.

A snapshot is a dictionary with the average of the network under `ema`, beside the loss, the augmentation or the
encoder. The network is EDM's preconditioning (`EDMPrecond`, `Precond`) around a U-Net, each with the arguments that it
was made with.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mmcm.checkpoints.snapshots.edm2_encoder import autoencoder_config
from mmcm.checkpoints.snapshots.edm2_network import C_NOISE, diffusion_config, edm2_config, plain
from mmcm.checkpoints.snapshots.persistent_pickle import PersistentObject, read_persistent_pickle, state_dict
from mmcm.checkpoints.trusted_config import checked_config, shown
from mmcm.checkpoints.weight_count import count_weights
from mmcm.utils.bounded import Unreadable
from mmcm.utils.errors import InputError

NETWORK, ENCODER = 'ema', 'encoder'
SLACK = 2**22  # values that several names may share in addition
SONG_UNET = dict(  # EDM's names of settings, ours, and EDM's defaults
    model_channels=('base_channels', 128),
    channel_mult=('channel_mult', [1, 2, 2, 2]),
    num_blocks=('num_res_blocks', 4),
    attn_resolutions=('attention_resolutions', [16]),
    dropout=('dropout', 0.1),
    embedding_type=('embedding', 'positional'),
    encoder_type=('encoder', 'standard'),
    channel_mult_noise=('noise_mult', 1),
    resample_filter=('resample_filter', [1, 1]),
)
DHARIWAL_UNET = dict(
    model_channels=('base_channels', 192),
    channel_mult=('channel_mult', [1, 2, 3, 4]),
    num_blocks=('num_res_blocks', 3),
    attn_resolutions=('attention_resolutions', [32, 16, 8]),
    dropout=('dropout', 0.1),
)
FIXED = dict(channel_mult_emb=4, decoder_type='standard')  # settings that our networks have built in
SHARED = ('img_resolution', 'in_channels', 'out_channels', 'label_dim', 'augment_dim', 'label_dropout')
NUM_STEPS = 18, 40  # of Heun's method, for images of up to 32 pixels and for larger ones (Karras et al., 2022, Table 2)


class Snapshot:
    """The content of a snapshot, of which nothing was run.

    Args:
        path (str | Path): The file.

    Attributes:
        network (PersistentObject): The network.
        encoder (Any): What has made latents of the images; None for a network of pixels.
        weights (dict): Its weights by name, under the key that it has in the file.

    Raises:
        ForeignName: If it names a function or class that no snapshot needs.
        Unreadable: If it is damaged, asks for more than it holds, or is no snapshot.
        OSError: If it cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path
        found = read_persistent_pickle(Path(path))
        if not isinstance(found, dict) or not isinstance(found.get(NETWORK), PersistentObject):
            keys = shown(list(found)) if isinstance(found, dict) else f'a {type(found).__name__}'
            raise Unreadable(f'it holds no network under the key {NETWORK!r} but {keys}')
        self.network: PersistentObject = found[NETWORK]
        self.encoder = found.get(ENCODER)
        self.weights: dict[str, dict[str, Tensor]] = {NETWORK: state_dict(self.network)}
        named = sum(value.numel() for value in self.weights[NETWORK].values())
        if named > 2 * self.num_weights + SLACK:  # loading makes a copy for each name
            raise Unreadable(f'its names stand for {named:,} values, and the file holds {self.num_weights:,}')

    def config(self) -> dict[str, Any]:
        """Return the config of the model: `model`, and `class_names` where the classes are those of ImageNet.

        Raises:
            InputError: If there is no counterpart of the network here, or it is larger than its weights allow.
        """
        try:
            config = _named(self.network, PRECONDITIONINGS)(self.network)
            autoencoder = autoencoder_config(self.encoder)
            if autoencoder is not None:
                config['model']['autoencoder'] = autoencoder
        except InputError as error:
            raise InputError(f'{self.path}: {error}') from error
        return checked_config(config, self.path, self.num_weights)

    @property
    def num_weights(self) -> int:
        """Number of weights of the network."""
        return count_weights(self.weights[NETWORK].values())


def edm_config(network: PersistentObject) -> dict[str, Any]:
    """Return the config of a network of EDM (`EDMPrecond`); see `Snapshot.config`."""
    unet = _module(network, 'model')
    backbone = _named(unet, BACKBONES)(unet)
    denoiser: dict[str, Any] = dict(type='KarrasDenoiser', backbone=backbone, boundary=False, c_noise=C_NOISE)
    sigma_data = network.state.get('sigma_data', 0.5)
    check_plain('sigma_data', sigma_data)
    if sigma_data != 0.5:
        denoiser['sigma_data'] = sigma_data
    small = isinstance(backbone['image_size'], int) and backbone['image_size'] <= 32
    return diffusion_config(denoiser, NUM_STEPS[0] if small else NUM_STEPS[1])


def song_unet(unet: PersistentObject) -> dict[str, Any]:
    """Return the config of a SongUNet."""
    return _backbone(unet, SONG_UNET)


def dhariwal_unet(unet: PersistentObject) -> dict[str, Any]:
    """Return the config of a DhariwalUNet."""
    return _backbone(unet, DHARIWAL_UNET)


def init_kwargs(network: PersistentObject) -> dict[str, Any]:
    """Return the arguments by name that a network was made with.

    Raises:
        InputError: If it has arguments without names, as none has that EDM's programs write.
    """
    arguments, found = network.state.get('_init_args'), network.state.get('_init_kwargs')
    if not isinstance(found, dict) or not (arguments is None or isinstance(arguments, (list, tuple))) or arguments:
        raise InputError(f'its {shown(network.class_name)} does not say what it was made with (_init_kwargs).')
    for key, value in found.items():
        check_plain(key, value)
    return found


def check_plain(name: Any, value: Any) -> None:
    """Raise an InputError unless an argument of a network is a plain value, or a list of them."""
    values = value if isinstance(value, (list, tuple)) else [value]
    if not all(isinstance(each, (bool, int, float, str, type(None))) for each in values):
        raise InputError(f'its network was made with a {shown(name)} that is neither a number nor a text.')


def _backbone(unet: PersistentObject, settings: Mapping[str, tuple[str, Any]]) -> dict[str, Any]:
    given = init_kwargs(unet)
    foreign = [key for key in given if key not in (*settings, *SHARED, *FIXED)]
    foreign += [key for key, value in FIXED.items() if given.get(key, value) != value]
    if foreign:
        raise InputError(
            f'its {unet.class_name} was made with {shown(foreign[0])}: {shown(given[foreign[0]])}, of which there is '
            'no counterpart here.'
        )
    found = {ours: given.get(key, default) for key, (ours, default) in settings.items()}
    found = {key: plain(value) for key, value in found.items()}
    return dict(
        type=unet.class_name,
        image_size=given.get('img_resolution'),
        in_channels=given.get('in_channels', 3),
        out_channels=given.get('out_channels', 3),
        num_classes=given.get('label_dim') or None,
        augment_dim=given.get('augment_dim') or None,
        null_class=bool(given.get('label_dropout')),
        **found,
    )


def _module(network: PersistentObject, name: str) -> PersistentObject:
    found = network.part('_modules').get(name)
    if not isinstance(found, PersistentObject):
        raise InputError(f'its {shown(network.class_name)} has no module {name!r}.')
    return found


def _named(network: PersistentObject, table: Mapping[str, Callable]) -> Callable[[PersistentObject], dict[str, Any]]:
    if network.class_name not in table:
        raise InputError(
            f'its network is a {shown(network.class_name)}, of which there is no counterpart here; there are those of '
            f'{", ".join(table)}.'
        )
    return table[network.class_name]


# From the name of a class in a snapshot to what makes a config of its arguments.
PRECONDITIONINGS: Mapping[str, Callable[[PersistentObject], dict[str, Any]]] = {
    'EDMPrecond': edm_config,
    'Precond': lambda network: edm2_config(init_kwargs(network)),
}
BACKBONES: Mapping[str, Callable[[PersistentObject], dict[str, Any]]] = {
    'SongUNet': song_unet,
    'DhariwalUNet': dhariwal_unet,
}
