"""Sampling into files, and editing, against the bare evaluations of the network that they need."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from measure import Row, in_turn

from mmcm.apis import ConsistencyModelInferencer
from mmcm.apis.editing import edit_picture
from mmcm.apis.sampling.bulk import sample_to_files

IMAGES, BATCH = 512, 256
CANDIDATES = 4


@torch.inference_mode()
def measure(args) -> list[Row]:
    """Measure seconds of 512 digits into a folder of PNGs, and of inpainting a photo patch."""
    generate = ConsistencyModelInferencer('digits', device=args.device).load()
    network = generate.model.inference_denoiser.backbone
    nfe = generate.request(1).sampler.nfe
    x = torch.randn(BATCH, *generate.model.image_shape, device=args.device)
    t, labels = torch.ones(BATCH, device=args.device), torch.arange(BATCH, device=args.device) % 10
    edit = ConsistencyModelInferencer('photo_patches', device=args.device).load()
    photo = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 255
    arguments = dict(mask=mask, num_candidates=CANDIDATES)
    edit_nfe = edit_picture(edit, 'inpaint', photo, **arguments).nfe
    patches = torch.randn(CANDIDATES, *edit.model.image_shape, device=args.device)
    editing_network = edit.model.inference_denoiser.backbone
    with TemporaryDirectory() as name:

        def write():
            sample_to_files(
                generate, Path(name) / f'{len(list(Path(name).iterdir()))}', IMAGES, 'balanced', batch_size=BATCH
            )

        def bare():
            for _ in range(nfe * IMAGES // BATCH):
                network(x, t, labels)

        def bare_edit():
            for _ in range(edit_nfe):
                editing_network(patches, torch.ones(CANDIDATES, device=args.device))

        sampled = in_turn([write, bare], args.rounds, args.device)
        edited = in_turn(
            [lambda: edit_picture(edit, 'inpaint', photo, **arguments), bare_edit], args.rounds, args.device
        )
    return [
        Row.paired('bulk', f'{IMAGES} digits into a folder of PNGs', 's', sampled, 'bare calls of the network'),
        Row.paired(
            'bulk', f'{CANDIDATES} inpainted photo patches', 's', edited, 'bare calls of the network', '<= 1.05'
        ),
    ]
