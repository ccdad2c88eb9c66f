# SPDX-License-Identifier: Apache-2.0
"""Each public set from a small copy in its publisher's layout, over HTTP, to the table."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bundle.data import records_from_table
from bundle.data.downloads import RemoteFile
from bundle.data.public import PUBLIC_SETS, PublicSet, find_public_set, make_set
from bundle.data.public.public_set import GitHubFiles
from bundle.errors import InputError

Layout = dict[str, bytes]
Layouts = dict[str, Callable[[], Layout]]
NAMES = list(PUBLIC_SETS)

# (file, patient or group, label, and what else the set has), a row for each item, in any order
EXPECTED: dict[str, tuple[str, list[tuple[str, ...]]]] = {
    "pocus": (
        "file video_id patient_id group_id label probe effusion b_lines licence licence_url",
        [
            ("convex/Cov-one.gif", "Cov-one", "7", "p7", "covid", "convex", "1", "1", "CC-BY-NC-SA-4.0", "http://cc/"),
            *(
                (f"convex/{name}", name[:-4], patient, "northumbria_0409_set2", label, "convex", "0", b_lines, *rest)
                for name, patient, label, b_lines, *rest in (
                    ("Pneu_northumbria_0409_set2_vid1.avi", "186", "pneumonia", "", "CC-BY-NC-4.0", ""),
                    ("Reg_northumbria_0409_set2_vid1.AVI", "187", "regular", "0", "CC-BY-NC-4.0", ""),
                )
            ),
            *(
                (f"linear/{file}", video, patient, group, label, "linear", "", "", "CC-BY-2.0", "")
                for file, video, patient, group, label in (
                    ("Reg-twice.mp4", "linear/Reg-twice", "9", "p9", "regular"),
                    ("Vir_a.mp4", "Vir_a", "114", "p114_116", "viral"),
                    ("label_uncertain/Vir_or_Pneu_b.mp4", "Vir_or_Pneu_b", "116", "p114_116", "uncertain"),
                )
            ),
        ],
    ),
    "covid_blues": (
        "file patient_id label blue_point repeat severity a_lines b_lines",
        [
            ("lus_videos/patient_1_L1.mp4", "1", "covid_positive", "L1", "1", "2.0", "no", "yes"),
            ("lus_videos/patient_1_L1_2.mp4", "1", "covid_positive", "L1", "2", "0.0", "yes", "no"),
            ("lus_videos/patient_2_R3.mp4", "2", "covid_negative", "R3", "1", "3.0", "no", "no"),
        ],
    ),
    "fetal_planes_db": (
        "file patient_id label brain_plane split machine",
        [
            ("Images/Patient00001_Plane1_1_of_2.png", "1", "other", "", "training", "Voluson E6"),
            ("Images/Patient00001_Plane3_1_of_1.png", "1", "fetal_brain", "trans_thalamic", "training", "Voluson E6"),
            ("Images/Patient00002_Plane6_1_of_1.png", "2", "maternal_cervix", "", "testing", "Aloka"),
        ],
    ),
    "bus_uclm": (
        "file mask patient_id label doppler marks",
        [
            ("images/ALWI_000.png", "masks/ALWI_000.png", "ALWI", "benign", "no", "yes"),
            ("images/ALWI_001.png", "masks/ALWI_001.png", "ALWI", "normal", "no", "no"),
            ("images/HESN_002.png", "", "HESN", "malignant", "yes", "no"),
        ],
    ),
    "busi": (
        "file mask video_id patient_id label",
        [
            ("benign/benign (1).png", "merged_masks/benign (1)_mask.png", "benign (1)", "", "benign"),
            ("benign/benign (10).png", "benign/benign (10)_mask.png", "benign (10)", "", "benign"),
            ("malignant/malignant (1).png", "malignant/malignant (1)_mask.png", "malignant (1)", "", "malignant"),
            ("normal/normal (1).png", "normal/normal (1)_mask.png", "normal (1)", "", "normal"),
        ],
    ),
    "hc18": (
        "file mask video_id patient_id label split pixel_size_mm head_circumference_mm",
        [
            *(
                (f"training_set/{name}.png", f"masks/{name}_Mask.png", name, name[:3], "fetal_head", "training", *rest)
                for name, *rest in (
                    ("000_HC", "0.0691358041432", "44.3"),
                    ("010_HC", "0.1", "56.8"),
                    ("010_2HC", "0.1", "56.81"),
                )
            ),
            ("test_set/000_HC.png", "", "test_000_HC", "test_000", "fetal_head", "testing", "0.2", ""),
        ],
    ),
    "camus": (
        "file mask patient_id label kind split ed_frame es_frame image_quality ejection_fraction",
        [
            (
                f"{patient}/{patient}_4CH_{kind}.nii.gz",
                f"{patient}/{patient}_4CH_{kind}_gt.nii.gz" if (patient, kind) != ("patient0003", "ES") else "",
                *(patient, "apical_four_chamber", kind, split, "0", "17", "good", "54"),
            )
            for patient, split in (("patient0001", "training"), ("patient0002", "testing"), ("patient0003", ""))
            for kind in ("half_sequence", "ED", "ES")
        ],
    ),
}

WARNINGS = {
    "pocus": [
        "left out, clips of no class or that dataset_metadata.csv does not list: Cov_still.mp4 and 1 more",
        "left out, clips without a Creative Commons licence: Reg-twice.mp4 and 1 more",
    ],
    "covid_blues": ["left out, clips that severity.csv does not name: patient_3_R3.mp4"],
    "fetal_planes_db": ["left out, images that are not there: Patient00003_Plane6_1_of_1.png"],
    "bus_uclm": ["its mask is 9 x 6, the image 8 x 6", "left out, images that are not there: GONE_001.png"],
    "busi": [],
    "hc18": ["left out, images that are not there: 011_HC.png"],
    "camus": ["kept without a mask: patient0003_4CH_ES.nii.gz"],
}


def served(server: Any, name: str, layout: Layout) -> PublicSet:
    """The set as its publisher gives it, from a server on this machine: files of a repository, or archives."""
    known = find_public_set(name)
    if isinstance(known.files, GitHubFiles):
        return replace(known, files=in_repository(server, known.files, layout))
    files = []
    for file in known.files:
        content = layout[file.name] if file.name in layout else zipped(layout, Path(file.name).stem)
        server.files[f"/{file.name}"] = content
        checksum = "md5:" + hashlib.md5(content).hexdigest() if file.checksum else ""
        files.append(RemoteFile(f"{server.url}/{file.name}", file.name, len(content) if file.size else None, checksum))
    return replace(known, files=files)


def in_repository(server: Any, files: GitHubFiles, layout: Layout, commit: str = "c0ffee") -> GitHubFiles:
    tree = [{"path": "lus_videos", "type": "tree", "sha": "0"}, {"path": "other.py", "type": "blob", "sha": "0"}]
    for path, content in layout.items():
        sha = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        tree.append({"path": path, "type": "blob", "sha": sha, "size": len(content)})
        server.files[f"/raw/{files.repository}/{commit}/{path}"] = content
    for asked, answer in (("commits/HEAD", {"sha": commit}), (f"git/trees/{commit}", {"tree": tree})):
        server.files[f"/api/repos/{files.repository}/{asked}"] = json.dumps(answer).encode()
    newest = "HEAD" if files.commit == "HEAD" else commit
    return replace(files, commit=newest, api=f"{server.url}/api", raw=f"{server.url}/raw")


def zipped(layout: Layout, stem: str) -> bytes:
    """The archive of this name: all of the layout, or the folder of this name if the layout has one."""
    inside = [name for name in layout if name.startswith(f"{stem}/")] or list(layout)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in inside:
            archive.writestr(name, layout[name])
    return content.getvalue()


def written(folder: Path, layout: Layout) -> Path:
    for name, content in layout.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def blank() -> bytes:
    content = io.BytesIO()
    Image.new("L", (40, 30)).save(content, "png")
    return content.getvalue()


def table_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def check_table(folder: Path, name: str) -> None:
    """Every item once, with the values expected; every path is there, and our own reader takes the table."""
    columns, expected = EXPECTED[name]
    rows = table_of(folder)
    assert len(rows) == len(expected) and len({row["file"] for row in rows}) == len(rows)
    for values in expected:
        wanted = dict(zip(columns.split(), values, strict=True))
        (row,) = (row for row in rows if f"/{row['file']}".endswith(f"/{wanted['file']}"))
        for column, value in wanted.items():
            tail = column in ("file", "mask") and value
            assert f"/{row[column]}".endswith(f"/{value}") if tail else row[column] == value, (column, row)
        assert row["source_url"].startswith("https://") and "licence" in row
        assert (folder / row["file"]).is_file() and (not row.get("mask") or (folder / row["mask"]).is_file())
    assert len(records_from_table(folder / "labels.csv")) == len(rows)


@pytest.mark.parametrize("name", NAMES)
def test_from_the_server_to_the_table(
    name: str, layouts: Layouts, file_server: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layout, folder = layouts[name](), tmp_path / "data"
    known = served(file_server, name, layout)
    with caplog.at_level(logging.WARNING):
        rows = make_set(known, folder, wait_seconds=0)
    check_table(folder, name)
    told = [message for message in caplog.messages if "is unknown" not in message]
    assert len(told) == len(WARNINGS[name])
    assert all(words in " ".join(told) for words in WARNINGS[name])

    assert (folder / f"licence_{name}.txt").read_text() == known.licence_text()
    assert known.licence in known.licence_text() and known.licence_url in known.licence_text()
    record = json.loads((folder / "downloads.json").read_text())
    for entry in record["files"]:
        content = file_server.files[entry["url"].removeprefix(file_server.url).replace("%2B", "+")]
        assert entry["sha256"] == hashlib.sha256(content).hexdigest() and entry["size"] == len(content)
        assert (folder / entry["name"]).exists() != entry["name"].endswith(".zip")
    for path, content in layout.items():
        assert "__MACOSX" in path or (folder / path).read_bytes() == content

    # a second start asks for nothing and changes nothing
    asked, before = len(file_server.asked), (folder / "labels.csv").read_bytes()
    assert make_set(known, folder, wait_seconds=0) == rows
    assert len(file_server.asked) == asked and (folder / "labels.csv").read_bytes() == before


@pytest.mark.parametrize("name", NAMES)
def test_from_a_copy_on_this_machine(name: str, layouts: Layouts, tmp_path: Path) -> None:
    known = find_public_set(name)
    copy = written(tmp_path / "copy", layouts[name]())
    (copy / "labels.csv").write_text("another table")
    make_set(known, tmp_path / "of folder", copy)
    check_table(tmp_path / "of folder", name)
    assert (copy / "labels.csv").read_text() == "another table"

    (tmp_path / "copy.zip").write_bytes(zipped(layouts[name](), "all of it"))
    make_set(known, tmp_path / "of archive", tmp_path / "copy.zip")
    check_table(tmp_path / "of archive", name)
    assert table_of(tmp_path / "of folder") == table_of(tmp_path / "of archive")

    # archives as they were fetched by hand, in one folder; and a folder that is already where it should be
    by_hand = tmp_path / "by hand"
    loose = {path: content for path, content in layouts[name]().items() if "/" not in path}
    written(by_hand, {"set.zip": zipped(layouts[name](), "all of it"), **loose})
    make_set(known, by_hand, by_hand)
    check_table(by_hand, name)


def test_a_start_that_is_broken_off_goes_on_at_the_same_commit(
    layouts: Layouts, file_server: Any, tmp_path: Path
) -> None:
    known = served(file_server, "pocus", layouts["pocus"]())
    clip = f"/raw/{known.files.repository}/c0ffee/data/pocus_videos/linear/Vir_a.mp4"  # type: ignore[union-attr]
    content = file_server.files.pop(clip)
    with pytest.raises(InputError) as error:
        make_set(known, tmp_path, wait_seconds=0)
    assert str(error.value) == (
        f"{file_server.url}{clip}: the server refuses (HTTP 404 Not Found); or fetch it by hand (Code, Download ZIP, "
        "at https://github.com/jannisborn/covid19_ultrasound) and go on with --from"
    )
    assert not (tmp_path / "labels.csv").exists()
    file_server.files[clip] = content
    in_repository(file_server, known.files, {"data/elsewhere": b""}, "decade")  # type: ignore[arg-type]
    asked = len(file_server.asked)
    make_set(known, tmp_path, wait_seconds=0)
    check_table(tmp_path, "pocus")
    fetched = [path for path, _ in file_server.asked[asked:]]
    assert clip in fetched and not any("decade" in path or "/api/" in path for path in fetched)


def test_a_list_that_is_not_whole(file_server: Any) -> None:
    files = in_repository(file_server, GitHubFiles("a/b", "HEAD", ("videos/", "t.csv")), {"videos/1.mp4": b"1"})
    with pytest.raises(InputError, match="a/b at c0ffee: no t.csv: its files are ordered anew"):
        files.files()
    file_server.files["/api/repos/a/b/git/trees/c0ffee"] = json.dumps({"tree": [], "truncated": True}).encode()
    with pytest.raises(InputError, match="a/b: GitHub lists only a part"):
        files.files()
    file_server.files["/api/repos/a/b/commits/HEAD"] = b"<html>"
    with pytest.raises(InputError, match="the answer is no JSON"):
        files.files()


def test_masks_are_merged_and_filled(layouts: Layouts, tmp_path: Path) -> None:
    make_set(find_public_set("busi"), tmp_path / "busi", written(tmp_path / "b", layouts["busi"]()))
    merged = np.asarray(Image.open(tmp_path / "busi" / "merged_masks" / "benign (1)_mask.png"))
    assert sorted(zip(*np.nonzero(merged), strict=True)) == [(1, 1), (3, 2)] and merged.max() == 255

    make_set(find_public_set("hc18"), tmp_path / "hc18", written(tmp_path / "h", layouts["hc18"]()))
    mask = np.asarray(Image.open(tmp_path / "hc18" / "masks" / "010_2HC_Mask.png"))
    full = Image.new("L", (40, 30))
    ImageDraw.Draw(full).ellipse((10, 8, 28, 22), fill=255)
    assert set(np.unique(mask)) == {0, 255} and np.array_equal(mask, np.asarray(full))


def test_the_layout_of_old_camus(tmp_path: Path) -> None:
    names = ("sequence.mhd", "sequence.raw", "ED.mhd", "ED.raw", "ED_gt.mhd", "ED_gt.raw")
    layout = {f"training/patient0001/patient0001_2CH_{name}": b"1" for name in names}
    layout["training/patient0001/Info_2CH.cfg"] = b"ED: 2\nES: 9\nImageQuality: Poor\nLVef: 40.5\n"
    make_set(find_public_set("camus"), tmp_path / "out", written(tmp_path / "in", layout))
    sequence, still = sorted(table_of(tmp_path / "out"), key=lambda row: row["kind"], reverse=True)
    assert (sequence["file"], sequence["mask"]) == ("training/patient0001/patient0001_2CH_sequence.mhd", "")
    assert still["mask"] == "training/patient0001/patient0001_2CH_ED_gt.mhd"
    assert (still["ed_frame"], still["es_frame"], still["ejection_fraction"]) == ("1", "8", "40.5")
    assert still["label"] == "apical_two_chamber"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("bus_uclm", {"INFO.csv": None}, "no 'INFO.csv' below it: expected the files as their publisher orders them"),
        ("fetal_planes_db", {"FETAL_PLANES_DB_data.csv": b"Image_name;Plane\na;b"}, "no column 'Patient_num'"),
        ("fetal_planes_db", {"FETAL_PLANES_DB_data.csv": b"Image_name,Plane\na,b"}, "expected semicolons"),
        ("hc18", {"training_set/": None}, "no 'training_set' below it"),
        ("hc18", {"010_HC_Annotation.png": b"no picture"}, "010_HC_Annotation.png: cannot be read as a picture"),
        ("hc18", {"010_HC_Annotation.png": b"blank"}, "010_HC_Annotation.png: no outline"),
        ("camus", {"patient": None}, "nothing of camus in it"),
        ("busi", {"benign": None}, "no 'benign' below it"),
    ],
)
def test_what_is_not_in_the_publishers_layout(
    layouts: Layouts, tmp_path: Path, name: str, change: dict[str, bytes | None], message: str
) -> None:
    layout = layouts[name]()
    for part, content in change.items():
        content = blank() if content == b"blank" else content
        for path in [path for path in layout if part in path]:
            if content is None:
                del layout[path]
            else:
                layout[path] = content
    with pytest.raises(InputError) as error:
        make_set(find_public_set(name), tmp_path / "out", written(tmp_path / "in", layout | {"x": b""}))
    assert message in str(error.value) and not (tmp_path / "out" / "labels.csv").exists()


def test_what_is_there_stays(layouts: Layouts, tmp_path: Path) -> None:
    known, copy, folder = (
        find_public_set("covid_blues"),
        written(tmp_path / "in", layouts["covid_blues"]()),
        tmp_path / "out",
    )
    make_set(known, folder, copy)
    mine = (folder / "labels.csv").read_text() + "\n"
    (folder / "labels.csv").write_text(mine)
    with pytest.raises(InputError, match="labels.csv: there already with other content"):
        make_set(known, folder, copy)
    assert (folder / "labels.csv").read_text() == mine
    make_set(known, folder, copy, overwrite=True)
    check_table(folder, "covid_blues")

    (copy / "severity.csv").unlink()
    (copy / "severity.csv").write_bytes(b"another")
    with pytest.raises(InputError, match="severity.csv: there already, and not as"):
        make_set(known, folder, copy)
    with pytest.raises(InputError, match="no such file or folder"):
        make_set(known, folder, tmp_path / "none")
    (folder / "downloads.json").write_text('{"set": "hc18", "files": []}')
    with pytest.raises(InputError, match="downloads.json: not of covid_blues: choose a folder of its own"):
        make_set(known, folder)
    (folder / "downloads.json").write_text("{")
    with pytest.raises(InputError, match="downloads.json: cannot be read"):
        make_set(known, folder)


def test_the_sets_are_described(layouts: Layouts) -> None:
    assert NAMES == list(layouts) == list(EXPECTED)
    for name, known in PUBLIC_SETS.items():
        assert known.name == name and known.licence and known.page.startswith("https://") and known.by_hand
        assert max(map(len, known.licence_text().splitlines())) <= 120
        if not isinstance(known.files, GitHubFiles):
            assert all(file.url.startswith("https://") for file in known.files)
            assert known.unverified or all(file.size and file.checksum for file in known.files)
    with pytest.raises(InputError, match="set 'us4': not known: expected one of pocus, covid_blues, "):
        find_public_set("us4")
