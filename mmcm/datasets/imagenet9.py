"""ImageNet-9: nine groups of animals out of the 1000 classes of ImageNet.

The groups are those of "restricted ImageNet" (Tsipras et al., 2019, arXiv 1805.12152), with the ranges of classes that
the robustness library (Engstrom et al., 2019) gives them.
"""

import re
from collections.abc import Sequence

from mmcm.datasets.formats.image_archive import open_archive
from mmcm.datasets.image_files import ImageFiles, log_remarks, no_images
from mmcm.datasets.transforms.load_image import DEFAULT_BACKGROUND
from mmcm.registry import DATASETS
from mmcm.utils.errors import InputError

NUM_WNIDS = 1000
GROUPS = dict(  # first and last of the 1000 classes of each group
    dog=(151, 268),
    cat=(281, 285),
    frog=(30, 32),
    turtle=(33, 37),
    bird=(80, 100),
    monkey=(365, 382),
    fish=(389, 397),
    crab=(118, 121),
    insect=(300, 319),
)


@DATASETS.register_module()
class ImageNet9(ImageFiles):
    """The images of ImageNet in a group, with labels 0 to 8: dog, cat, frog, turtle, bird, monkey, ...

    Only 203 of the 1000 folders are read, but all have to exist: class i of ImageNet is wnid i of the sorted ones.

    Args:
        data_root (str): The training or the validation images of ImageNet, one folder per wnid (`n01440764`, ...), or a
            `.zip` of these folders.
        pipeline (Sequence[dict]): Transforms, from `img_path` (and `img_bytes`, from a zip file) to `inputs`.
        labelled (bool): Whether images have their group as a label.
        flip (bool): See ImageDataset.
        background (str): See EncodedImages.

    Raises:
        InputError: If the folder is missing, does not have 1000 wnids, or has no image for one that is read.
    """

    def __init__(
        self,
        data_root: str,
        pipeline: Sequence[dict],
        labelled: bool = True,
        flip: bool = False,
        background: str = DEFAULT_BACKGROUND,
    ) -> None:
        layout = (
            f'{data_root}/<wnid>/*.JPEG is expected, with the {NUM_WNIDS} folders n01440764 to n15075141 of '
            'ILSVRC 2012; see https://www.image-net.org/download.php.'
        )
        archive = open_archive(data_root, layout)
        archive.look_through()
        wnids = [name for name in archive.folders() if re.fullmatch(r'n\d{8}', name)]
        if len(wnids) != NUM_WNIDS:
            raise InputError(
                f'{data_root} has {len(wnids)} folders named by a wnid, so the classes of ImageNet cannot '
                f'be identified by their position. {layout}'
            )
        group_of = {
            wnid.encode(): label
            for label, (first, last) in enumerate(GROUPS.values())
            for wnid in wnids[first : last + 1]
        }
        files = archive.images([wnid.decode() for wnid in group_of])
        found = [name.partition(b'/')[0] for name in files.names]
        missing = sorted(group_of.keys() - set(found))
        if missing:
            raise InputError(f'{no_images(f"{data_root}/{missing[0].decode()}")} {layout}')
        log_remarks(data_root, archive.remarks())
        super().__init__(
            files,
            [group_of[wnid] for wnid in found] if labelled else None,
            tuple(GROUPS),
            'imagenet9',
            pipeline,
            flip,
            background,
        )
