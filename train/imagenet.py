"""ImageNet: folders named by WordNet ids (n01440764), classes named in English.

Source: O. Russakovsky et al., ImageNet Large Scale Visual Recognition Challenge, 2015. The names come with timm.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from rgp.errors import DataError
from rgp.train.dataset import ImageData
from rgp.train.folders import image_folder

# Four of the thousand share a first synonym: what WordNet's definitions add.
SAME_NAME = {
    "n02012849": "crane (bird)",
    "n03126707": "crane (machine)",
    "n03710637": "maillot (tights)",
    "n03710721": "maillot (swimsuit)",
}


def imagenet(path: Path, size: int) -> ImageData:
    """``path``/{train,val}/<wnid>/*, or that in ``path``/imagenet; all of the thousand classes or some of them.

    The classes are in order of their wnids, as in every network trained on ImageNet. DataError for another folder.
    """
    if all((path / "imagenet" / part).is_dir() for part in ("train", "val")):
        path = path / "imagenet"
    names = class_names()
    for part in ("train", "val"):
        folders = sorted((path / part).iterdir()) if (path / part).is_dir() else []
        for folder in folders:
            if folder.is_dir() and folder.name not in names:
                raise DataError(
                    f"{folder}: not one of ImageNet's thousand wnids, such as n01440764: for other images write "
                    f"imagefolder:{path}"
                )
    data = image_folder(path, size)
    return replace(data, labels=tuple(names[wnid] for wnid in data.labels))


@cache
def class_names() -> dict[str, str]:
    """wnid -> name, of the thousand classes in their order: the first synonym, and SAME_NAME where two share it."""
    from timm.data.imagenet_info import ImageNetInfo  # it takes a second to import, and only this data set needs it

    info = ImageNetInfo()
    first = {info.index_to_label_name(n): info.index_to_description(n).partition(",")[0] for n in range(1000)}
    return first | SAME_NAME
