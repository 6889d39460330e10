"""Recognising the network pickles of EDM, EDM2 and their kin, which carry the source of their program."""

from pathlib import Path

from mmcm.utils.errors import InputError

HEAD = 2**16  # bytes: the first network begins after a key or two
PROTOCOL = b'\x80'  # every pickle since protocol 2 begins with it
MARKS = (b'torch_utils.persistence', b'_reconstruct_persistent_obj')


def refuse_network_pickle(path: Path) -> None:
    """Raise an InputError if the file is a network pickle of EDM or EDM2, by its content; nothing is unpickled."""
    with path.open('rb') as file:
        head = file.read(HEAD)
    if head.startswith(PROTOCOL) and all(mark in head for mark in MARKS):
        raise InputError(
            f'{path} is an EDM/EDM2 network pickle: it contains program source, which mmcm does not run. In the '
            "program that it comes from, save the weights alone (torch.save(net.state_dict(), 'net.pt')) for a network "
            'that you register here, or sample there: mmcm test --samples measures the images. Diffusion models that '
            'work here: edm_imagenet64_ema and others of `mmcm zoo`.'
        )
