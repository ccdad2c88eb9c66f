# SPDX-License-Identifier: Apache-2.0
"""BUSI: breast stills with lesion masks."""

from __future__ import annotations

from pathlib import Path

from ...files import made_folder, written_beside
from ..downloads import RemoteFile
from .layout import below, mask_beside, open_picture, the_one
from .public_set import PublicSet, Row

CLASSES = ("benign", "malignant", "normal")
MERGED = "merged_masks"


def rows(folder: Path) -> list[Row]:
    """A row for each image. Where it has several masks, one for each lesion, they are merged into one file."""
    root = the_one(folder, "benign").parent
    found = []
    for label in CLASSES:
        for image in sorted(path for path in (root / label).glob("*.png") if "_mask" not in path.stem):
            mask = _mask(folder, image)
            found.append(
                {
                    "file": below(folder, image),
                    "mask": below(folder, mask) if mask_beside(image, mask) else "",
                    "video_id": image.stem,
                    "patient_id": "",
                    "label": label,
                    "licence": "",
                    "source_url": BUSI.page,
                }
            )
    return found


def _mask(folder: Path, image: Path) -> Path:
    """The mask of an image; written anew where there is one for each lesion."""
    first = image.with_name(f"{image.stem}_mask.png")
    others = sorted(image.parent.glob(f"{image.stem}_mask_*.png"))
    if not others:
        return first
    from PIL import ImageChops

    merged = made_folder(folder / MERGED) / first.name
    if merged.is_file():
        return merged
    picture = open_picture(first).convert("L")
    for other in others:
        picture = ImageChops.lighter(picture, open_picture(other).convert("L"))
    with written_beside(merged) as beside:
        picture.save(beside)
    return merged


BUSI = PublicSet(
    name="busi",
    title="BUSI: breast ultrasound stills with lesion masks, Baheya Hospital, Cairo",
    licence="none is known to be published with the data",
    licence_url="https://doi.org/10.1016/j.dib.2019.104863",
    terms=(
        "The article that describes the set is open access and asks to be cited; what may be done with the images "
        "beyond that is between you and the publisher.",
    ),
    patients="600 women, but no image says of whom it is, so nothing keeps a patient's images in one part. Images are "
    "there twice or nearly so, some in two classes (doi:10.1016/j.dib.2023.109247): the leakage gate names them.",
    citation="Al-Dhabyani et al., Dataset of breast ultrasound images, Data in Brief 28:104863, 2020, "
    "doi:10.1016/j.dib.2019.104863",
    page="https://scholar.cu.edu.eg/?q=afahmy/pages/dataset",
    by_hand="Dataset_BUSI.zip",
    items=780,
    rows=rows,
    files=(RemoteFile("https://scholar.cu.edu.eg/Dataset_BUSI.zip", "Dataset_BUSI.zip"),),
    unverified="the server's certificate is often out of order; its page, which may name a licence, could not be read; "
    "no checksum of the archive is published",
    datalist="--preset busi",
)
