# SPDX-License-Identifier: Apache-2.0
"""A small study written here, and the records of its folder."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.fileset import FileSet
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from bundle.data import open_datalist, records_from_folder
from bundle.errors import InputError
from bundle.keys import Keys
from bundle.readers import read_cine

US, US_CINE, CT, SR, PR = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("6.1", "3.1", "2", "88.11", "11.1"))
ADA, BOB = {"PatientID": "mrn-4711", "PatientName": "Love^Ada"}, {"PatientID": "mrn-0815", "PatientName": "Hope^Bob"}
IDENTITY = ("mrn-", "4711", "0815", "Love", "Hope", "19400229", "2.25.7", "Clinic")
"""What of patients and UIDs must not leave the files."""


def write(path: Path, *numbers: int, kind: str = US_CINE, frames: int = 3, **attributes: Any) -> Path:
    """A file of the patient, study, series and instance with these ``numbers``; no pixels with 0 frames."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, b"\0" * 128, meta, is_implicit_VR=False, is_little_endian=True)
    uid = "2.25.7" + ".".join(str(n) for n in numbers)
    data.SOPClassUID = meta.MediaStorageSOPClassUID = UID(kind)
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = UID(uid)
    data.StudyInstanceUID, data.SeriesInstanceUID = uid.rsplit(".", 2)[0], uid.rsplit(".", 1)[0]
    data.Modality = {CT: "CT", SR: "SR", PR: "PR"}.get(kind, "US")
    data.PatientBirthDate = data.StudyDate = data.ContentDate = "19400229"
    data.StudyTime = data.ContentTime = "120000"
    data.StudyID, data.SeriesNumber, data.InstanceNumber = "1", numbers[-2], numbers[-1]
    data.AccessionNumber, data.InstitutionName = "", "Clinic"
    data.CompletionFlag, data.VerificationFlag = "COMPLETE", "UNVERIFIED"
    title = Dataset()
    title.CodeValue, title.CodingSchemeDesignator, title.CodeMeaning = "18747-6", "LN", "report"
    data.ConceptNameCodeSequence = Sequence([title])
    if frames:
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.NumberOfFrames, data.Rows, data.Columns = frames, 8, 12
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
        data.PixelData = np.arange(frames * 96, dtype=np.uint8).tobytes()
        data["PixelData"].VR = "OB"
    for name, value in attributes.items():
        setattr(data, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(str(path))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two patients, three series, ultrasound with one and more frames, a CT, a report; one file twice."""
    root = tmp_path / "archive"
    write(root / "a" / "1.dcm", 1, 1, 1, **ADA)
    write(root / "a" / "2", 1, 1, 2, kind=US, frames=1, **ADA)
    write(root / "a" / "3.dcm", 1, 2, 1, **ADA)
    write(root / "a" / "4.dcm", 1, 3, 1, kind=SR, frames=0, **ADA)
    write(root / "b" / "1.IMA", 2, 1, 1, **BOB)
    write(root / "b" / "2.dcm", 2, 4, 1, kind=CT, **BOB)
    shutil.copy(root / "a" / "1.dcm", root / "b" / "copy.dcm")
    return root


@pytest.fixture
def disc(folder: Path, tmp_path: Path) -> Path:
    """The same as a file set with a DICOMDIR."""
    files = FileSet()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name != "copy.dcm":
                files.add(path)
        files.write(tmp_path / "disc")
    return tmp_path / "disc"


def assert_nothing_of_identity(*texts: str) -> None:
    assert not [(word, text) for word in IDENTITY for text in texts if word in text]


def test_a_study_folder(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        records = records_from_folder(folder)
    assert [r["image"] for r in records] == ["a/1.dcm", "a/2", "a/3.dcm", "b/1.IMA"]
    first, still, other_series, other_patient = records
    assert set(first) == {"image", "video_id", "patient_id", "series", "study"}
    assert len({r["video_id"] for r in records}) == 4 and all(r["video_id"].startswith("archive/") for r in records)
    assert first["patient_id"] == still["patient_id"] == other_series["patient_id"] != other_patient["patient_id"]
    assert first["study"] == other_series["study"] != other_patient["study"]
    assert first["series"] == still["series"] != other_series["series"]
    assert "of the DICOM files skipped 1 CT (2.dcm), 1 SR (4.dcm), 1 there twice (copy.dcm)" in caplog.text
    assert "unknown" not in caplog.text and "PatientID" not in caplog.text
    assert_nothing_of_identity(json.dumps(records), caplog.text)


def test_pseudonyms_are_the_same_everywhere_and_change_with_the_salt(folder: Path) -> None:
    (first, *_), (salted, *_) = records_from_folder(folder), records_from_folder(folder, salt="secret")
    assert first == {
        "image": "a/1.dcm",
        "video_id": "archive/d01993d94523b4df",
        "patient_id": "archive/34a6db14aee3018e",
        "series": "9f9dcf4c5e843995",
        "study": "346cef12f826e3f6",
    }
    assert not {salted[key] for key in ("video_id", "patient_id", "series", "study")} & set(first.values())


def test_the_issuer_is_part_of_the_patient(tmp_path: Path) -> None:
    for number, issuer in enumerate(("", "north", "south", "south ")):
        write(tmp_path / f"{number}.dcm", number, 1, 1, IssuerOfPatientID=issuer, **ADA)
    patients = [r["patient_id"] for r in records_from_folder(tmp_path)]
    assert len(set(patients)) == 3 and patients[2] == patients[3]


def test_a_disc(disc: Path, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert (disc / "DICOMDIR").is_file()
    with caplog.at_level(logging.DEBUG):
        records = records_from_folder(disc)
    assert (
        "skipped 1 CT (IM000000), 1 DICOMDIR (DICOMDIR), 1 SR (SR000000)" in caplog.text
        and "not there" not in caplog.text
    )

    def ids(records: list[dict[str, Any]]) -> set[tuple[str, ...]]:
        return {(r["series"], r["study"], r["patient_id"].split("/")[1], r["video_id"].split("/")[1]) for r in records}

    assert ids(records) == ids(records_from_folder(folder)) and len(records) == 4
    assert_nothing_of_identity(json.dumps(records), caplog.text)


def test_the_dicomdir_decides(disc: Path, caplog: pytest.LogCaptureFixture) -> None:
    all_of_it = records_from_folder(disc)
    write(disc / "viewer" / "demo.dcm", 9, 9, 9, **BOB)
    (disc / "clip.mp4").write_bytes(b"0")
    (disc / "notes.dcm").write_text("not DICOM")
    gone = disc / all_of_it[0]["image"]
    gone.unlink()
    with caplog.at_level(logging.INFO):
        records = records_from_folder(disc)
    assert [r["image"] for r in records if "study" not in r] == ["clip.mp4"]
    assert "notes.dcm: found no DICOM header" in caplog.text
    assert [r for r in records if "study" in r] == [r for r in all_of_it if r["image"] != all_of_it[0]["image"]]
    assert "1 not in the DICOMDIR" in caplog.text
    assert f"names 6 files of which 1 are not there: {gone.relative_to(disc).as_posix()}" in caplog.text
    assert_nothing_of_identity(json.dumps(records), caplog.text)


def test_names_on_a_disc_in_another_case(disc: Path) -> None:
    for path in sorted(disc.rglob("*"), reverse=True):
        path.rename(path.with_name(path.name.lower()))
    assert (disc / "dicomdir").is_file() and len(records_from_folder(disc)) == 4


def test_a_dicomdir_that_cannot_be_read_does_not_count(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + b"damaged")
    assert len(records_from_folder(folder)) >= 4
    assert "DICOMDIR: cannot be read: all DICOM files" in caplog.text


def test_a_study_without_a_patient_id_is_one_patient(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "blank"
    for study, instance, patient in ((1, 1, " "), (1, 2, ""), (2, 1, ""), (3, 1, ""), (3, 2, "mrn-4711")):
        write(root / f"{study}{instance}.dcm", study, 1, instance, PatientID=patient, PatientName="Love^Ada")
    write(root / "x.dcm", 4, 1, 1, StudyInstanceUID="", SOPInstanceUID="2.25.7999")
    records = records_from_folder(root)
    one, two, other, joined, named, alone = (r["patient_id"] for r in records)
    assert one == two == f"blank/study:{records[0]['study']}" and other == f"blank/study:{records[2]['study']}"
    assert joined == named and "study:" not in named  # one file of that study says whose it is
    assert "blank/unknown:" in alone
    assert "3 of 6 items are DICOM without a PatientID; each of their studies is taken as a patient" in caplog.text
    assert "the patient of 1 of 6 items is unknown" in caplog.text
    assert_nothing_of_identity(json.dumps(records), caplog.text)


def test_folder_names_count_where_they_are_said_to_be_patients(folder: Path) -> None:
    records = records_from_folder(folder, patient_from_folder=True, label_from_folder=True)
    assert [r["patient_id"] for r in records] == ["archive/a"] * 3 + ["archive/b"]
    assert [r["label"] for r in records] == ["a"] * 3 + ["b"] and all("study" in r for r in records)


def test_one_instance_in_two_sizes_is_one_video(tmp_path: Path) -> None:
    write(tmp_path / "whole.dcm", 1, 1, 1, **ADA)
    write(tmp_path / "shrunk.dcm", 1, 1, 1, frames=2, **ADA)
    records = records_from_folder(tmp_path)
    assert len(records) == 2 and len({r["video_id"] for r in records}) == 1


def test_what_has_no_pixels_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "empty.dcm", 1, 1, 1, PixelData=b"", **ADA)
    write(tmp_path / "none.dcm", 1, 1, 2, frames=0, Rows=8, Columns=12, **ADA)
    write(tmp_path / "state.dcm", 1, 1, 3, kind=PR, frames=0, **ADA)
    with pytest.raises(
        InputError,
        match=r"nothing to read but .* skipped \(1 PR \(state.dcm\), 2 without pixels \(empty.dcm, none.dcm\)\)",
    ):
        records_from_folder(tmp_path)
    icon = Dataset()
    icon.Rows = icon.Columns = 2
    icon.PixelData = bytes(4)
    icon["PixelData"].VR = "OB"
    write(tmp_path / "icon.dcm", 1, 1, 4, frames=0, IconImageSequence=Sequence([icon]), **ADA)
    write(tmp_path / "good.dcm", 1, 1, 5, **ADA)
    with caplog.at_level(logging.INFO):
        assert [r["image"] for r in records_from_folder(tmp_path)] == ["good.dcm"]
    assert "1 PR (state.dcm), 3 without pixels (empty.dcm, icon.dcm, none.dcm)" in caplog.text


def test_without_a_preamble_the_patient_is_known_all_the_same(tmp_path: Path) -> None:
    write(tmp_path / "a.dcm", 1, 1, 1, **ADA)
    data = write(tmp_path / "b.dcm", 1, 1, 2, **ADA).read_bytes()
    (tmp_path / "b.dcm").write_bytes(data[data.index(b"\x08\x00\x16\x00") :])  # from SOPClassUID on
    records = records_from_folder(tmp_path)
    assert len({r["patient_id"] for r in records}) == 1 and len({r["video_id"] for r in records}) == 2
    np.testing.assert_array_equal(*(read_cine(tmp_path / r["image"]).frames for r in records))


def test_damaged_headers_leave_their_values_in_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    data = write(tmp_path / "a.dcm", 1, 1, 1, **ADA).read_bytes()
    (tmp_path / "a.dcm").write_bytes(data.replace(b"2.25.71", b"2.x5.71").replace(b"CS\x02\x00US", b"CS\x02\x00u?"))
    with caplog.at_level(logging.DEBUG):
        records = records_from_folder(tmp_path)
    said = [str(w.message) for w in recwarn if "2.x5" in str(w.message) or "mrn" in str(w.message)]
    assert len(records) == 1 and not said and "2.x5" not in caplog.text + json.dumps(records)


def test_from_the_folder_to_the_parts(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(3, 7):
        write(folder / f"{number}.dcm", number, 1, 1, PatientID=f"mrn-{number}")
    with caplog.at_level(logging.INFO):
        opened = open_datalist(folder)
    parts = {name: {r[Keys.PATIENT_ID] for r in records} for name, records in opened.parts.items()}
    assert sum(map(len, parts.values())) == 6 == len(set().union(*parts.values()))
    assert_nothing_of_identity(json.dumps(opened.content), caplog.text)


def test_dicom_us_by_its_headers(ultrasound_data: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        records = records_from_folder(ultrasound_data / "dicom_us" / "files")
    # two clips are there in two encodings, and one still shares an instance with a clip but not its size
    assert len(records) == 15 and "skipped 2 there twice" in caplog.text
    videos = Counter(r["video_id"] for r in records)
    assert sorted(videos.values())[-2:] == [1, 2]
