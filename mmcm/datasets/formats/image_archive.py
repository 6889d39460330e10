"""Opening of an archive of images, which is a folder or a zip file."""

from pathlib import Path

from mmcm.datasets.formats.archive import Archive, StoredImages
from mmcm.datasets.formats.folder_archive import FolderArchive, ImageFolderFiles
from mmcm.datasets.formats.zip_archive import ImageZipFiles, ZipArchive
from mmcm.utils.errors import InputError

__all__ = [
    'Archive',
    'FolderArchive',
    'ImageFolderFiles',
    'ImageZipFiles',
    'StoredImages',
    'ZipArchive',
    'open_archive',
]


def open_archive(root: str | Path, layout: str) -> Archive:
    """Open a folder or a zip file; raise an InputError that ends in `layout` if `root` is neither."""
    root = Path(root)
    if root.is_dir():
        return FolderArchive(root)
    if not root.exists():
        raise InputError(f'there is no data folder {root}{" (nor .zip)" if root.suffix else ""}: {layout}')
    if root.suffix.lower() != '.zip':
        raise InputError(f'{root} is neither a folder nor a .zip: {layout}')
    return ZipArchive(root)
