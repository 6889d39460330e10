"""ImageNet-9: nine groups of animals out of the 1000 classes of ImageNet.

The groups are those of "restricted ImageNet" (Tsipras et al., 2019, arXiv 1805.12152), with the ranges of classes that
the robustness library (Engstrom et al., 2019) gives them.
"""
import re
from collections.abc import Sequence
from pathlib import Path

from mmcm.datasets.image_files import SUFFIXES, ImageFiles, find_images
from mmcm.registry import DATASETS
from mmcm.utils.errors import InputError

NUM_WNIDS = 1000
GROUPS = dict(  # the first and the last of the 1000 classes of each group
    dog=(151, 268), cat=(281, 285), frog=(30, 32), turtle=(33, 37), bird=(80, 100), monkey=(365, 382), fish=(389, 397),
    crab=(118, 121), insect=(300, 319))


@DATASETS.register_module()
class ImageNet9(ImageFiles):
    """The images of ImageNet that belong to a group, labelled 0 to 8: dog, cat, frog, turtle, bird, monkey, ...

    Only 203 of the 1000 folders are read, but all have to be there: class i of ImageNet is wnid i of the sorted ones.

    Args:
        data_root (str): The training or the validation images of ImageNet, one folder per wnid (`n01440764`, ...).
        pipeline (Sequence[dict]): Transforms, from `img_path` to `inputs`.
        labelled (bool): Whether images carry their group as a label.
        flip (bool): See ImageDataset.

    Raises:
        InputError: If the folder is missing, has not 1000 wnids, or no image for one of those that are read.
    """

    def __init__(self, data_root: str, pipeline: Sequence[dict], labelled: bool = True, flip: bool = False) -> None:
        root = Path(data_root)
        layout = (f'{root}/<wnid>/*.JPEG is expected, with the {NUM_WNIDS} folders n01440764 to n15075141 of ILSVRC '
                  '2012; see https://www.image-net.org/download.php.')
        if not root.is_dir():
            raise InputError(f'there is no data folder {root}. {layout}')
        wnids = sorted(path for path in root.iterdir() if re.fullmatch(r'n\d{8}', path.name))
        if len(wnids) != NUM_WNIDS:
            raise InputError(f'{root} has {len(wnids)} folders named by a wnid, so the classes of ImageNet cannot be '
                             f'told by their position. {layout}')
        paths, labels = [], []
        for label, (first, last) in enumerate(GROUPS.values()):
            for folder in wnids[first:last + 1]:
                found = find_images(folder)
                if not found:
                    raise InputError(f'{folder} holds no images ({", ".join(SUFFIXES)}). {layout}')
                paths += found
                labels += [label] * len(found)
        super().__init__(paths, labels if labelled else None, GROUPS, 'imagenet9', pipeline, flip)
