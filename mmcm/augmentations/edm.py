"""Non-leaking augmentation of training images (Karras et al., 2022, arXiv 2206.00364, Appendix F.2 and Table 6).

The network gets the parameters of the transforms as labels, and zeros, which stand for none, when it samples.
"""

import math
from collections.abc import Callable

import torch
from mmengine.dist import get_rank, get_world_size
from torch import Tensor

from mmcm.augmentations.affine import margins, rotation, scaling, transform, translation
from mmcm.registry import AUGMENTATIONS
from mmcm.utils.checks import check_number
from mmcm.utils.errors import InputError


@AUGMENTATIONS.register_module()
class EDMAugmentation:
    """Flips, rotations, scalings and translations, each applied with a probability of its own.

    Args:
        probability (float): A_prob of the paper, in [0, 1]: 0.12 for CIFAR-10, 0.15 for FFHQ and AFHQ. With 0, images
            are returned as they are, bit for bit.
        x_flip (float): Factor of the probability of a horizontal flip, as for all transforms below: 0 leaves a
            transform and its labels out, and a product above 1 counts as 1. A flip that is applied mirrors half of the
            images; the default, EDM's, does so whatever the probability.
        y_flip (float): Of a vertical flip.
        rotate_int (float): Of a rotation by 0, 90, 180 or 270 degrees, of square images. EDM leaves it out.
        scale (float): Of scaling by 2^(0.2 w), w standard normal.
        rotate (float): Of a rotation by any angle.
        anisotropy (float): Of scaling by 2^(0.2 w) in one direction and by its inverse across, w standard normal; half
            of the directions are horizontal, half are any.
        translate (float): Of moving by w / 8 of the width and the height, w standard normal for each.

    Raises:
        InputError: If a number is out of range.
    """

    scale_std = 0.2  # in octaves
    anisotropy_std = 0.2
    anisotropy_rotated = 0.5  # share of the directions that are not horizontal
    translate_std = 0.125  # of the width and height

    def __init__(
        self,
        probability: float,
        x_flip: float = 1e8,
        y_flip: float = 1.0,
        rotate_int: float = 0.0,
        scale: float = 1.0,
        rotate: float = 1.0,
        anisotropy: float = 1.0,
        translate: float = 1.0,
    ) -> None:
        check_number('probability', probability)
        if not 0 <= probability <= 1:
            raise InputError(f'probability of EDMAugmentation has to be from 0 to 1, got {probability}.')
        factors = dict(
            x_flip=x_flip,
            y_flip=y_flip,
            rotate_int=rotate_int,
            scale=scale,
            rotate=rotate,
            anisotropy=anisotropy,
            translate=translate,
        )
        for name, factor in factors.items():
            check_number(name, factor)
            if not 0 <= factor < math.inf:
                raise InputError(f'{name} of EDMAugmentation has to be a number of at least 0, got {factor}.')
        self.probability = probability
        self.factors = {name: factor for name, factor in factors.items() if factor}
        if not self.factors:
            raise InputError(
                'EDMAugmentation has no transform: all of its factors are 0. Leave model.augmentation out.'
            )

    @property
    def num_labels(self) -> int:
        """Number of labels of an image: `augment_dim` of the network."""
        return sum(NUM_LABELS[name] for name in self.factors)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Transform a batch of training images.

        The random numbers are sampled for the batch of all processes from torch's generator on the CPU, as in
        `draw_for_batch`, and each process takes the rows of its images.

        Args:
            images (Tensor): (N, C, H, W) in [-1, 1], floating point.

        Returns:
            tuple[Tensor, Tensor]: The images, and their labels (N, num_labels), float32, on the device of the images.

        Raises:
            InputError: If images that are not square are to be rotated by 90 degrees.
        """
        rank, world_size = get_rank(), get_world_size()
        size = (len(images) * world_size, len(self.factors), 3)
        uniform = torch.rand(size, dtype=torch.float32, device='cpu').to(images.device)
        normal = torch.randn(size, dtype=torch.float32, device='cpu').to(images.device)
        with torch.autocast(images.device.type, enabled=False):
            return self.applied(images, uniform, normal, slice(rank, None, world_size))

    def applied(
        self, images: Tensor, uniform: Tensor, normal: Tensor, rows: slice = slice(None)
    ) -> tuple[Tensor, Tensor]:
        """Transform `images` by given random numbers.

        Args:
            images (Tensor): (N, C, H, W), floating point.
            uniform (Tensor): Uniform in [0, 1), (M, transforms, 3), for a batch of which `images` are a part.
            normal (Tensor): Standard normal, of the same shape.
            rows (slice): Which N rows of the M these images are.

        Returns:
            tuple[Tensor, Tensor]: The images, and their labels (N, num_labels).
        """
        height, width = images.shape[2:]
        identity = torch.eye(3, dtype=torch.float32, device=images.device)
        inverse = identity.expand(len(uniform), 3, 3)
        labels = []
        for index, (name, factor) in enumerate(self.factors.items()):
            u, w = uniform[:, index], normal[:, index]
            on = u[:, 0] < factor * self.probability
            if name in PIXELWISE:
                images, label = PIXELWISE[name](images, on[rows], u[rows])
            else:
                matrix, label = getattr(self, f'_{name}')(on, u, w, (width, height))
                inverse, label = inverse @ matrix, label[rows]
            labels.append(label)
        moved = (inverse != identity).flatten(1).any(1)
        if moved[rows].any():
            # The same margins in all processes, so that positions are rounded alike.
            edges = margins(inverse[moved], height, width)
            images = images.clone()
            images[moved[rows]] = transform(images[moved[rows]], inverse[rows][moved[rows]], edges)
        return images, torch.cat(labels, dim=1).float()

    # Each method returns the inverse transform, (N, 3, 3), and its labels, (N, L), which are 0 where it is not applied.

    def _scale(self, on: Tensor, u: Tensor, w: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        exponent = torch.where(on, w[:, 0], 0)
        factor = (exponent * self.scale_std).exp2()
        return scaling(1 / factor, 1 / factor), exponent[:, None]

    def _rotate(self, on: Tensor, u: Tensor, w: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        angle = torch.where(on, (2 * u[:, 1] - 1) * math.pi, 0)
        return rotation(angle), torch.stack([angle.cos() - 1, angle.sin()], dim=1)

    def _anisotropy(self, on: Tensor, u: Tensor, w: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        exponent = torch.where(on, w[:, 0], 0)
        angle = torch.where(u[:, 2] < self.anisotropy_rotated, (2 * u[:, 1] - 1) * math.pi, 0)
        factor = (exponent * self.anisotropy_std).exp2()
        matrix = rotation(-angle) @ scaling(1 / factor, factor) @ rotation(angle)
        identity = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
        matrix = torch.where(on[:, None, None], matrix, identity)  # rotating there and back rounds
        return matrix, torch.stack([exponent * angle.cos(), exponent * angle.sin()], dim=1)

    def _translate(self, on: Tensor, u: Tensor, w: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        shares = torch.where(on[:, None], w[:, :2], 0)
        x, y = (shares * self.translate_std * shares.new_tensor(size)).unbind(1)
        return translation(-x, -y), shares


def flip_x(images: Tensor, on: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror half of the images that are `on` left to right; the label is 1 for those."""
    return _flip(images, on & (u[:, 1] >= 0.5), 3)


def flip_y(images: Tensor, on: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Mirror half of the images that are `on` upside down; the label is 1 for those."""
    return _flip(images, on & (u[:, 1] >= 0.5), 2)


def rotate_quarters(images: Tensor, on: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate images that are `on` counter-clockwise by 0 to 3 quarters; the labels are (1, 0), (1, 1), (0, 1)."""
    if images.shape[2] != images.shape[3]:
        raise InputError(
            f'rotate_int of EDMAugmentation rotates by 90 degrees, and images of {images.shape[3]} x {images.shape[2]} '
            'pixels are not square: set it to 0.'
        )
    quarters = torch.where(on, (4 * u[:, 1]).floor(), 0)
    for number in (1, 2, 3):
        images = torch.where(_rows(quarters == number), images.rot90(number, (2, 3)), images)
    once, twice, thrice = (quarters == number for number in (1, 2, 3))
    return images, torch.stack([once | twice, twice | thrice], dim=1).float()


def _flip(images: Tensor, chosen: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    return torch.where(_rows(chosen), images.flip(axis), images), chosen[:, None].float()


def _rows(chosen: Tensor) -> Tensor:
    return chosen.view(-1, 1, 1, 1)


Pixelwise = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
PIXELWISE: dict[str, Pixelwise] = dict(x_flip=flip_x, y_flip=flip_y, rotate_int=rotate_quarters)
NUM_LABELS = dict(x_flip=1, y_flip=1, rotate_int=2, scale=1, rotate=2, anisotropy=2, translate=2)
