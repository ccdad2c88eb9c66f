# SPDX-License-Identifier: Apache-2.0
"""BUS-UCLM: breast stills with lesion masks."""

from __future__ import annotations

from pathlib import Path

from ..downloads import RemoteFile
from .layout import below, mask_beside, table, tell, the_one
from .public_set import PublicSet, Row


def rows(folder: Path) -> list[Row]:
    """A row for each image of ``INFO.csv``; the mask is the publisher's, green where benign, red where malignant."""
    info = the_one(folder, "INFO.csv")
    found, missing = [], []
    for row in table(info, ("Image", "Label", "Doppler", "Marks", "Combined"), ";"):
        image, mask = (info.with_name(kind) / row["Image"] for kind in ("images", "masks"))
        if not image.is_file():
            missing.append(image.name)
            continue
        found.append(
            {
                "file": below(folder, image),
                "mask": below(folder, mask) if mask_beside(image, mask) else "",
                "video_id": image.stem,
                "patient_id": image.stem.partition("_")[0],
                "label": row["Label"].lower(),
                "doppler": row["Doppler"].lower(),
                "marks": row["Marks"].lower(),
                "combined": row["Combined"].lower(),
                "licence": "CC-BY-4.0",
                "source_url": "https://doi.org/10.17632/7fvgj4jsp7.3",
            }
        )
    tell(info, "left out, images that are not there", missing)
    return found


BUS_UCLM = PublicSet(
    name="bus_uclm",
    title="BUS-UCLM: breast ultrasound stills with lesion masks, Ciudad Real General University Hospital",
    licence="CC BY 4.0 (version 3)",
    licence_url="https://creativecommons.org/licenses/by/4.0/",
    terms=("Name the authors and the licence, and say what was changed.",),
    patients="38, the four letters before the underscore of the file name; some have benign and malignant lesions.",
    citation="Vallez et al., BUS-UCLM: Breast ultrasound lesion segmentation dataset, Scientific Data 12:242, 2025, "
    "doi:10.1038/s41597-025-04562-3; data: doi:10.17632/7fvgj4jsp7.3",
    page="https://data.mendeley.com/datasets/7fvgj4jsp7/3",
    by_hand="Download All",
    items=683,
    rows=rows,
    files=(
        RemoteFile(
            "https://prod-dcd-datasets-cache-zipfiles.s3.eu-west-1.amazonaws.com/7fvgj4jsp7-3.zip", "7fvgj4jsp7-3.zip"
        ),
    ),
    unverified="the authors give this address for version 1 of the set; for version 3 it was not tried; no checksum of "
    "the archive is published",
    datalist="--preset breast_bus_uclm",
)
