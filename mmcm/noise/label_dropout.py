"""Label dropout: some images of a batch count as images of no given class (Ho & Salimans, 2022, arXiv 2207.12598)."""

import torch
from mmengine.dist import get_rank, get_world_size
from torch import Tensor


def drop_labels(labels: Tensor, ratio: float, null_label: int) -> Tensor:
    """Replace each label by the null class with probability `ratio`.

    Like `draw_for_batch`, before which it has to be called, it deals the random numbers of the global batch to the
    processes: any number of processes drops the labels of the same images.

    Args:
        labels (Tensor): Classes of the images of this process, (N,), int64.
        ratio (float): Share of the labels to drop, in [0, 1].
        null_label (int): The null class.

    Returns:
        Tensor: Labels, (N,), int64.
    """
    rank, world_size = get_rank(), get_world_size()
    uniform = torch.rand(len(labels) * world_size, dtype=torch.float32, device='cpu')[rank::world_size]
    return torch.where(uniform.to(labels.device) < ratio, null_label, labels)
