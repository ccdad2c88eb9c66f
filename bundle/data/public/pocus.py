# SPDX-License-Identifier: Apache-2.0
"""POCUS: lung point-of-care clips collected from public sources, each under a licence of its own."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from urllib.parse import quote

from ..folders import CLIP_SUFFIXES
from .layout import below, files_below, table, tell, the_one
from .public_set import GitHubFiles, PublicSet, Row

REPOSITORY = "jannisborn/covid19_ultrasound"

_CLASSES = {"cov": "covid", "pneu": "pneumonia", "reg": "regular", "vir": "viral"}
_UNCERTAIN = "label_uncertain"

_UPLOAD_SET = re.compile(r"northumbria_0409_set\d+")
"""Clips of one upload set look alike, though the table numbers them as patients of their own."""

_ONE_PAPER = {"114": "p114_116", "116": "p114_116"}
"""Clips of one paper that look alike, though the table numbers them as two patients."""

_FINDINGS = {
    "effusion": "Effusion",
    "consolidation": "Consolidations",
    "b_lines": "B-lines",
    "a_lines": "A-lines",
    "pleural_irregularity": "Pleural line irregularities",
}
_COLUMNS = ("Filename", "License", "Type", "Probe", "Patient ID / Name", *_FINDINGS.values())


def rows(folder: Path) -> list[Row]:
    """A row for each clip that ``dataset_metadata.csv`` gives a Creative Commons licence.

    The class is how the file name begins, as the publisher's code has it; ``group_id`` joins patients whose clips look
    alike, and is what must never be in two parts.
    """
    videos = the_one(folder, "pocus_videos")
    known: dict[str, list[Row]] = {}
    for row in table(videos.with_name("dataset_metadata.csv"), _COLUMNS):
        if row["Type"].lower() == "video":
            known.setdefault(row["Filename"], []).append(row)
    clips = [path for path in files_below(videos) if path.name.lower().endswith(CLIP_SUFFIXES)]
    stems = Counter(path.stem for path in clips)
    found, unlisted, unlicensed = [], [], []
    for path in clips:
        probe = path.relative_to(videos).parts[0]
        listed = known.get(path.stem.strip(), [])
        # one name is given to two clips, of two probes
        said = next((row for row in listed if row["Probe"] == probe), listed[0] if listed else None)
        label = _label(path)
        if said is None or not label:
            unlisted.append(path.name)
            continue
        licence = re.sub(r"[\s-]+", "-", said["License"])
        if not licence.startswith("CC-"):
            unlicensed.append(path.name)
            continue
        found.append(
            {
                "file": below(folder, path),
                "video_id": path.stem if stems[path.stem] == 1 else f"{probe}/{path.stem}",
                "patient_id": said["Patient ID / Name"],
                "group_id": _group(path.stem, said["Patient ID / Name"]),
                "label": label,
                "probe": probe,
                **{name: mark if (mark := said[column]) in ("0", "1") else "" for name, column in _FINDINGS.items()},
                "changes_by_source": said.get("ChangesMade", ""),
                "licence": licence,
                "licence_url": said.get("LinkToLicense", "").rstrip("#"),
                "origin": said.get("URL (Video Name)", ""),
                "doi": said.get("DOI", ""),
                "source_url": f"https://github.com/{REPOSITORY}/blob/master/data/pocus_videos/"
                + quote(path.relative_to(videos).as_posix(), safe="/+"),
            }
        )
    tell(videos, "left out, clips of no class or that dataset_metadata.csv does not list", unlisted)
    tell(videos, "left out, clips without a Creative Commons licence", unlicensed)
    return found


def _label(path: Path) -> str:
    """The class by how the file name begins; empty if it is none."""
    if path.parent.name == _UNCERTAIN:
        return "uncertain"
    return _CLASSES.get(re.split(r"[-_]", path.name.lower(), maxsplit=1)[0], "")


def _group(stem: str, patient: str) -> str:
    if upload := _UPLOAD_SET.search(stem):
        return upload[0]
    return _ONE_PAPER.get(patient, f"p{patient}" if patient else "")


POCUS = PublicSet(
    name="pocus",
    title="POCUS: lung point-of-care ultrasound clips collected from public sources (covid19_ultrasound)",
    licence="per clip (columns licence and origin), most CC BY-NC",
    licence_url="https://creativecommons.org/licenses/",
    terms=(
        "Most clips are for non-commercial use only; some forbid to pass on altered copies.",
        "Name the origin of each clip.",
        "Clips whose licence is missing or no Creative Commons licence are fetched but left out of the table.",
    ),
    patients="numbered by the publisher for each source; clips that look alike under two numbers are one group_id.",
    citation="Born et al., Accelerating Detection of Lung Pathologies with Explainable Ultrasound Image Analysis, "
    "Applied Sciences 11(2):672, 2021, doi:10.3390/app11020672; and the origin of each clip",
    page=f"https://github.com/{REPOSITORY}",
    by_hand="Code, Download ZIP",
    items=0,
    rows=rows,
    files=GitHubFiles(REPOSITORY, "HEAD", ("data/pocus_videos/", "data/dataset_metadata.csv")),
    unverified="the newest state is taken, and written down as the commit in downloads.json",
    datalist="--preset pocus_lung --folds 5",
)
