"""Images in a folder, with or without a subfolder per class."""
from collections.abc import Sequence
from pathlib import Path

from mmcm.datasets.image_files import SUFFIXES, ImageFiles, find_images
from mmcm.registry import DATASETS
from mmcm.utils.errors import InputError


@DATASETS.register_module()
class ImageFolder(ImageFiles):
    """Every image below a folder.

    Args:
        data_root (str): The folder. With `labelled`, the names of its subfolders, sorted, are the classes 0, 1, ...:
            for ImageNet the 1000 wnids, in the order that the released models number them.
        pipeline (Sequence[dict]): Transforms, from `img_path` to `inputs`.
        labelled (bool): Whether images carry their subfolder as a label.
        flip (bool): See ImageDataset.
    """

    def __init__(self, data_root: str, pipeline: Sequence[dict], labelled: bool = True, flip: bool = False) -> None:
        root = Path(data_root)
        if not root.is_dir():
            raise InputError(f'there is no data folder {root}: set data_root to where the images lie.')
        paths = find_images(root)
        if not paths:
            raise InputError(f'{root} holds no images ({", ".join(SUFFIXES)}).')
        labels, classes = None, ()
        if labelled:
            loose = [path for path in paths if path.parent == root]
            if loose:
                raise InputError(f'{loose[0]} lies in no subfolder, so it has no class: sort the images into one '
                                 'subfolder per class, or set labelled=False.')
            names = [path.relative_to(root).parts[0] for path in paths]
            classes = tuple(sorted(set(names)))
            index = {name: label for label, name in enumerate(classes)}
            labels = [index[name] for name in names]
        super().__init__(paths, labels, classes, 'image_folder', pipeline, flip)
