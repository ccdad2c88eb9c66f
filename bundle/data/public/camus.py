# SPDX-License-Identifier: Apache-2.0
"""CAMUS: apical echocardiography of half a heart beat, with the left ventricle, myocardium and atrium drawn in."""

from __future__ import annotations

import re
from pathlib import Path

from ..downloads import RemoteFile
from .layout import below, files_below, tell
from .public_set import PublicSet, Row

_NAME = re.compile(
    r"(?P<patient>patient\d+)_(?P<view>[24]CH)_(?P<kind>half_sequence|sequence|ED|ES)(?P<suffix>\.nii\.gz|\.nii|\.mhd)"
)
_VIEW = {"2CH": "apical_two_chamber", "4CH": "apical_four_chamber"}
_SUBGROUP = re.compile(r"subgroup_(training|validation|testing)\.txt")


def rows(folder: Path) -> list[Row]:
    """A row for each sequence and each still at end diastole (ED) and end systole (ES), as NIfTI or MetaImage.

    The stills are frames of the sequence. In masks 1 is the left ventricle, 2 its myocardium, 3 the left atrium. Of
    ``Info_*.cfg`` what concerns the images and the ejection fraction is taken, not the person.
    """
    files = files_below(folder)
    split = {
        patient: name[1]
        for path in files
        if (name := _SUBGROUP.fullmatch(path.name))
        for patient in path.read_text(encoding="utf-8").split()
    }
    found, without = [], []
    for path in files:
        name = _NAME.fullmatch(path.name)
        if not name:
            continue
        stem, info = path.name.removesuffix(name["suffix"]), _info(path.with_name(f"Info_{name['view']}.cfg"))
        mask = path.with_name(f"{stem}_gt{name['suffix']}")
        if not mask.is_file():
            without.append(path.name)
        found.append(
            {
                "file": below(folder, path),
                "mask": below(folder, mask) if mask.is_file() else "",
                "video_id": stem,
                "patient_id": name["patient"],
                "label": _VIEW[name["view"]],
                "kind": name["kind"],
                "split": split.get(name["patient"], ""),
                "ed_frame": _from_zero(info.get("ED", "")),
                "es_frame": _from_zero(info.get("ES", "")),
                "image_quality": info.get("ImageQuality", "").lower(),
                "ejection_fraction": info.get("EF", info.get("LVef", "")),
                "frame_rate": info.get("FrameRate", ""),
                "licence": "CC-BY-NC-SA-4.0",
                "source_url": CAMUS.page,
            }
        )
    tell(folder, "kept without a mask", without)
    return found


def _info(path: Path) -> dict[str, str]:
    """What an ``Info_*.cfg`` says, ``Key: value`` in each line; nothing where it is not there."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _from_zero(frame: str) -> str:
    """A frame's number as we count, from 0; the publisher counts from 1."""
    return str(int(frame) - 1) if frame.isdecimal() else ""


CAMUS = PublicSet(
    name="camus",
    title="CAMUS: apical two and four chamber echocardiography with outlines, Saint-Etienne",
    licence="CC BY-NC-SA 4.0",
    licence_url="https://creativecommons.org/licenses/by-nc-sa/4.0/",
    terms=(
        "Non-commercial scientific research only.",
        "Name the authors, and pass on altered copies under the same licence only.",
        "Citing the article is mandatory.",
    ),
    patients="500, a folder each; the publisher's parts (column split) are disjoint by patient.",
    citation="Leclerc et al., Deep Learning for Segmentation Using an Open Large-Scale Dataset in 2D "
    "Echocardiography, IEEE Transactions on Medical Imaging 38(9):2198-2210, 2019, doi:10.1109/TMI.2019.2900516",
    page="https://humanheart-project.creatis.insa-lyon.fr/database/#collection/6373703d73e9f0047faa1bc8",
    by_hand="the collection CAMUS_public, as one archive",
    items=3000,
    rows=rows,
    files=(
        RemoteFile(
            "https://humanheart-project.creatis.insa-lyon.fr/database/api/v1/collection/6373703d73e9f0047faa1bc8/download",
            "CAMUS_public.zip",
        ),
    ),
    unverified="the archive is made when it is asked for: its size and checksum are not published, and a broken "
    "download begins anew; whether the server asks for an account was not tried",
    datalist="--preset camus --split-column split",
)
