# SPDX-License-Identifier: Apache-2.0
"""FETAL_PLANES_DB: stills of the common planes of a maternal-fetal scan."""

from __future__ import annotations

from pathlib import Path

from ..downloads import RemoteFile
from .layout import below, table, tell, the_one
from .public_set import PublicSet, Row

_SPLIT = {"1": "training", "0": "testing"}
_COLUMNS = ("Image_name", "Patient_num", "Plane", "Brain_plane", "Operator", "US_Machine", "Train")


def rows(folder: Path) -> list[Row]:
    """A row for each image that is there; ``label`` is one of six planes, ``brain_plane`` that of a brain image."""
    source = the_one(folder, "FETAL_PLANES_DB_data.csv")
    images = source.with_name("Images")
    found, missing = [], []
    for row in table(source, _COLUMNS, ";"):
        path = images / f"{row['Image_name']}.png"
        if not path.is_file():
            missing.append(path.name)
            continue
        found.append(
            {
                "file": below(folder, path),
                "video_id": row["Image_name"],
                "patient_id": row["Patient_num"],
                "label": _class(row["Plane"]),
                "brain_plane": _class(row["Brain_plane"]) if row["Brain_plane"] != "Not A Brain" else "",
                "split": _SPLIT.get(row["Train"], ""),
                "operator": row["Operator"],
                "machine": row["US_Machine"],
                "licence": "CC-BY-4.0",
                "source_url": "https://doi.org/10.5281/zenodo.3904280",
            }
        )
    tell(source, "left out, images that are not there", missing)
    return found


def _class(plane: str) -> str:
    return plane.lower().replace(" ", "_").replace("-", "_")


FETAL_PLANES_DB = PublicSet(
    name="fetal_planes_db",
    title="FETAL_PLANES_DB: stills of the common planes of a maternal-fetal scan, two hospitals of Barcelona",
    licence="CC BY 4.0",
    licence_url="https://creativecommons.org/licenses/by/4.0/",
    terms=("Name the authors and the licence, and say what was changed.",),
    patients="1,792, as numbers; the publisher's training and testing parts (column split) are disjoint by patient.",
    citation="Burgos-Artizzu et al., Evaluation of deep convolutional neural networks for automatic classification of "
    "common maternal fetal ultrasound planes, Scientific Reports 10:10200, 2020, doi:10.1038/s41598-020-67076-5; "
    "data: doi:10.5281/zenodo.3904280",
    page="https://zenodo.org/records/3904280",
    by_hand="FETAL_PLANES_ZENODO.zip (2.1 GB)",
    items=12400,
    rows=rows,
    files=(
        RemoteFile(
            "https://zenodo.org/api/records/3904280/files/FETAL_PLANES_ZENODO.zip/content",
            "FETAL_PLANES_ZENODO.zip",
            2_088_522_169,
            "md5:2a5fcc2cefb789bcc0f6c1f73e0ea43f",
        ),
    ),
    datalist="--preset fetal_planes_db --split-column split",
)
