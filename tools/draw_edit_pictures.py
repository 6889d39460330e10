#!/usr/bin/env python
"""Make the image of edits in the README, docs/images/editing_inpaint.jpg: scratches and an island are removed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mmcm.apis.editing import edit_picture
from mmcm.apis.inferencer import ConsistencyModelInferencer
from mmcm.cli.errors import command
from mmcm.cli.parser import CommandParser
from mmcm.datasets.photo_patches import read_photos
from mmcm.utils.outputs import claimed

OUT = Path(__file__).parents[1] / 'docs' / 'images' / 'editing_inpaint.jpg'
SCRATCHES = (((340, 40), (620, 190)), ((20, 60), (300, 330)))  # pixels of china.jpg
ISLAND = (425, 222, 503, 246)
GAP = 8  # pixels between the images


@command
def main(argv: Sequence[str] | None = None) -> None:
    """Run the script."""
    parser = CommandParser(__doc__)
    parser.add_argument('--out', type=Path, default=OUT, help='where to write; default: into the repository')
    parser.add_force()
    args = parser.parse_args(argv)
    with claimed({'--out': args.out}, args.force):
        draw(args.out)


def draw(out: Path) -> None:
    """Write the image."""
    photo, _ = read_photos()
    mask = Image.new('L', photo.size)
    paint = ImageDraw.Draw(mask)
    for scratch in SCRATCHES:
        paint.line(scratch, fill='white', width=4)
    paint.ellipse(ISLAND, fill='white')
    damaged = Image.composite(Image.new('RGB', photo.size, 'white'), photo, mask)
    edited = edit_picture(
        ConsistencyModelInferencer('photo_patches'), 'inpaint', damaged, mask=mask, num_candidates=1, progress=True
    )
    (after,) = edited.pasted
    gap = np.full((photo.height, GAP, 3), 255, np.uint8)
    Image.fromarray(np.hstack([np.asarray(damaged), gap, np.asarray(after)])).save(out, quality=88)
    print(f'Wrote {out}: {edited.num_tiles} tiles, {edited.nfe} network calls each, {edited.seconds:.0f} s')


if __name__ == '__main__':
    main()
