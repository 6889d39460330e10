"""Images in a folder, with or without a subfolder per class."""
from collections.abc import Sequence
from pathlib import Path

from mmengine.dataset import Compose
from torch.utils.data import Dataset

from mmcm.registry import DATASETS, TRANSFORMS
from mmcm.utils.errors import InputError

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')


@DATASETS.register_module()
class ImageFolder(Dataset):
    """Every image below a folder.

    Args:
        data_root (str): The folder. With `labelled`, the names of its subfolders, sorted, are the classes 0, 1, ...:
            for ImageNet the 1000 wnids, in the order that the released models number them.
        pipeline (Sequence[dict]): Transforms, from `img_path` and `gt_label` to what the collate function takes.
        labelled (bool): Whether images carry their subfolder as a label.
    """

    def __init__(self, data_root: str, pipeline: Sequence[dict], labelled: bool = True) -> None:
        root = Path(data_root)
        if not root.is_dir():
            raise InputError(f'there is no data folder {root}: set data_root to where the images lie.')
        paths = sorted(path for path in root.rglob('*') if path.suffix.lower() in SUFFIXES)
        if not paths:
            raise InputError(f'{root} holds no images ({", ".join(SUFFIXES)}).')
        self.paths = [str(path) for path in paths]
        self.labels = [None] * len(paths)
        classes = ()
        if labelled:
            loose = [path for path in paths if path.parent == root]
            if loose:
                raise InputError(f'{loose[0]} lies in no subfolder, so it has no class: sort the images into one '
                                 'subfolder per class, or set labelled=False.')
            names = [path.relative_to(root).parts[0] for path in paths]
            classes = tuple(sorted(set(names)))
            index = {name: label for label, name in enumerate(classes)}
            self.labels = [index[name] for name in names]
        self.metainfo = dict(dataset_type='image_folder', classes=classes)
        self.pipeline = Compose([TRANSFORMS.build(transform) for transform in pipeline])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict:
        """Return what the pipeline makes of image `index`."""
        return self.pipeline(dict(img_path=self.paths[index], gt_label=self.labels[index]))
