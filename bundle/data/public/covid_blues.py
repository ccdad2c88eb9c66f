# SPDX-License-Identifier: Apache-2.0
"""COVID-BLUES: lung clips at six BLUE points, with test result, severity, A-lines and B-lines."""

from __future__ import annotations

import re
from pathlib import Path

from .layout import below, table, tell, the_one
from .public_set import GitHubFiles, PublicSet, Row

REPOSITORY = "NinaWie/COVID-BLUES"

_NAME = re.compile(r"patient_(?P<patient>\d+)_(?P<point>[LR][1-3])(?:_(?P<repeat>\d+))?\.mp4")
_RESULT = {"0": "covid_negative", "1": "covid_positive"}


def rows(folder: Path) -> list[Row]:
    """A row for each clip of ``lus_videos`` that ``severity.csv`` knows.

    Of ``clinical_variables.csv`` the test result alone is taken; the other variables say more about the person than
    a split or a class needs.
    """
    videos = the_one(folder, "lus_videos")
    severity = {
        row["video_file"]: row
        for row in table(videos.with_name("severity.csv"), ("video_file", "Severity Score", "A-lines", "B-lines"))
    }
    result = {
        row["patient_id"]: _RESULT.get(row["cov_test"], "")
        for row in table(videos.with_name("clinical_variables.csv"), ("patient_id", "cov_test"))
    }
    found, unknown = [], []
    for path in sorted(videos.glob("*.mp4")):
        name, marks = _NAME.fullmatch(path.name), severity.get(path.stem)
        if not name or not marks:
            unknown.append(path.name)
            continue
        found.append(
            {
                "file": below(folder, path),
                "video_id": path.stem,
                "patient_id": name["patient"],
                "label": result.get(name["patient"], ""),
                "blue_point": name["point"],
                "repeat": name["repeat"] or "1",
                "severity": marks["Severity Score"],
                "a_lines": marks["A-lines"],
                "b_lines": marks["B-lines"],
                "licence": "CC-BY-NC-ND-4.0",
                "source_url": f"https://github.com/{REPOSITORY}/blob/main/lus_videos/{path.name}",
            }
        )
    tell(videos, "left out, clips that severity.csv does not name", unknown)
    return found


COVID_BLUES = PublicSet(
    name="covid_blues",
    title="COVID-BLUES: lung ultrasound clips at the six BLUE points, Maastricht UMC+",
    licence="CC BY-NC-ND 4.0",
    licence_url="https://creativecommons.org/licenses/by-nc-nd/4.0/",
    terms=(
        "Non-commercial use only.",
        "Name the authors; do not pass on altered copies.",
        "The full text of the licence comes with the data, as LICENSE.",
    ),
    patients="63, named in the file names; up to six clips each, some points twice.",
    citation="Wiedemann et al., COVID-BLUeS - A Prospective Study on the Value of AI in Lung Ultrasound Analysis, "
    "IEEE Journal of Biomedical and Health Informatics 29(9):6301-6310, 2025, doi:10.1109/JBHI.2025.3543686",
    page=f"https://github.com/{REPOSITORY}",
    by_hand="Code, Download ZIP (73 MB)",
    items=362,
    rows=rows,
    files=GitHubFiles(
        REPOSITORY,
        "1857a6fba9b8d00614f133fe8ffb7bc1f1a14f78",
        ("lus_videos/", "severity.csv", "clinical_variables.csv", "LICENSE", "README.md"),
    ),
    datalist="--preset covid_blues",
)
