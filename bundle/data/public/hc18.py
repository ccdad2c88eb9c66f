# SPDX-License-Identifier: Apache-2.0
"""HC18: fetal head stills with the outline, the pixel size and the measured head circumference."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from scipy import ndimage

from ...errors import InputError
from ...files import made_folder, written_beside
from ..downloads import RemoteFile
from .layout import below, open_picture, table, tell, the_one
from .public_set import PublicSet, Row

MASKS = "masks"
_NAME = re.compile(r"(?P<number>\d+)_\d*HC\.png")
_RECORD = "https://zenodo.org/api/records/1327317/files"


def rows(folder: Path) -> list[Row]:
    """A row for each image. The outline of a training image is filled and written as its mask; testing images, whose
    outlines and circumferences the challenge keeps, have none.
    """
    training = the_one(folder, "training_set_pixel_size_and_HC.csv")
    found = _part(folder, training, "training_set", "training")
    testing = training.with_name("test_set_pixel_size.csv")
    return found + (_part(folder, testing, "test_set", "testing") if testing.is_file() else [])


def _part(folder: Path, source: Path, images: str, split: str) -> list[Row]:
    # the numbers of the testing images begin at 0 again
    prefix = "" if split == "training" else "test_"
    place = the_one(folder, images)
    place = place / images if (place / images).is_dir() else place
    found, missing = [], []
    for row in table(source, ("filename", "pixel size(mm)")):
        image, name = place / row["filename"], _NAME.fullmatch(row["filename"])
        if not name or not image.is_file():
            missing.append(row["filename"])
            continue
        outline = image.with_name(f"{image.stem}_Annotation.png")
        found.append(
            {
                "file": below(folder, image),
                "mask": below(folder, _mask(folder, outline, image)) if outline.is_file() else "",
                "video_id": prefix + image.stem,
                "patient_id": prefix + name["number"],
                "label": "fetal_head",
                "split": split,
                "pixel_size_mm": row["pixel size(mm)"],
                "head_circumference_mm": row.get("head circumference (mm)", ""),
                "licence": "CC-BY-4.0",
                "source_url": "https://doi.org/10.5281/zenodo.1327317",
            }
        )
    tell(source, "left out, images that are not there", missing)
    return found


def _mask(folder: Path, outline: Path, image: Path) -> Path:
    from PIL import Image

    mask = made_folder(folder / MASKS) / f"{image.stem}_Mask.png"
    if mask.is_file():
        return mask
    try:
        filled = filled_outline(np.asarray(open_picture(outline).convert("L")) > 0)
    except InputError as error:
        raise InputError(f"{outline}: {error}") from error
    with written_beside(mask) as beside:
        Image.fromarray(filled.astype(np.uint8) * 255).save(beside)
    return mask


def filled_outline(outline: np.ndarray) -> np.ndarray:
    """The area within an outline, bool ``(H, W)``, the outline itself included.

    An outline that leaves the picture encloses nothing there. It was drawn as an ellipse, so the ellipse that fits its
    pixels best is filled instead (direct least squares of Halir and Flusser, 1998).

    Raises:
        InputError: there is no outline, or it is not closed and no ellipse.
    """
    if not outline.any():
        raise InputError("no outline: expected a closed line in white")
    filled = ndimage.binary_fill_holes(outline)
    if filled.sum() > 2 * outline.sum():
        return filled
    ellipse = _ellipse(outline)
    rim = ellipse & ~ndimage.binary_erosion(ellipse, border_value=1)
    off = ndimage.distance_transform_edt(~rim)[outline].mean() if rim.any() else np.inf
    if off > 0.02 * max(outline.shape):
        raise InputError("the outline is not closed, and no ellipse fits it: expected a closed line in white")
    return ellipse | outline


def _ellipse(outline: np.ndarray) -> np.ndarray:
    """The area of the ellipse that fits these pixels best, bool ``(H, W)``; nothing where they lie on a line."""
    rows, columns = np.nonzero(outline)
    scale = max(outline.shape)

    def terms(row: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        y, x = (row - rows.mean()) / scale, (column - columns.mean()) / scale
        return np.stack([x * x, x * y, y * y], -1), np.stack([x, y, np.ones_like(x)], -1)

    square, linear = terms(rows, columns)
    try:
        rest = -np.linalg.solve(linear.T @ linear, linear.T @ square)
    except np.linalg.LinAlgError:
        return np.zeros_like(outline)
    scatter = square.T @ square + square.T @ linear @ rest
    # among the solutions the one that is an ellipse: 4 a c - b^2 > 0
    solutions = np.linalg.eig(np.stack([scatter[2] / 2, -scatter[1], scatter[0] / 2]))[1].real
    conic = solutions[:, np.argmax(4 * solutions[0] * solutions[2] - solutions[1] ** 2)]
    square, linear = terms(*np.mgrid[: outline.shape[0], : outline.shape[1]])
    return (square @ conic + linear @ (rest @ conic)) * np.sign(conic[0]) <= 0


HC18 = PublicSet(
    name="hc18",
    title="HC18: fetal head stills with outline and head circumference, Radboud UMC Nijmegen",
    licence="CC BY 4.0",
    licence_url="https://creativecommons.org/licenses/by/4.0/",
    terms=("Name the authors and the licence, and say what was changed (here: the outlines are filled).",),
    patients="551 women. The number that begins a file name is an examination, and is taken as the patient; whether "
    "two numbers are one woman is not published, and some images are there nearly twice: the leakage gate names them.",
    citation="van den Heuvel et al., Automated measurement of fetal head circumference using 2D ultrasound images, "
    "PLoS ONE 13(8):e0200412, 2018, doi:10.1371/journal.pone.0200412; data: doi:10.5281/zenodo.1327317",
    page="https://zenodo.org/records/1327317",
    by_hand="all four files (176 MB), into one folder",
    items=1334,
    rows=rows,
    files=tuple(
        RemoteFile(f"{_RECORD}/{name}/content", name, size, f"md5:{md5}")
        for name, size, md5 in (
            ("training_set.zip", 132_926_838, "00eb8198b9a505b2b3a6dfc740382497"),
            ("test_set.zip", 43_518_463, "8402af5d137ef40a2888c1011ef3fe7e"),
            ("training_set_pixel_size_and_HC.csv", 33_688, "c0761518fece2bd2d2ad4218f2cd9777"),
            ("test_set_pixel_size.csv", 9_096, "8476dc198cc6542f26c57e87faeee033"),
        )
    ),
    datalist="--preset fetal_head_hc18 --where split=training",
)
