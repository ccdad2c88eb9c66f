# SPDX-License-Identifier: Apache-2.0
"""The DICOM files of a folder: which of them are ultrasound pictures, and whose, under pseudonyms."""

from __future__ import annotations

import functools
import hashlib
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..readers.dicom_modality import MODALITY_ATTRIBUTES, other_modality
from ..readers.dicom_values import quiet_pydicom, text

if TYPE_CHECKING:
    from pydicom import Dataset

logger = logging.getLogger(__name__)

DICOMDIR = "DICOMDIR"
OF_STUDY = "study:"
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"  # Media Storage Directory
_ATTRIBUTES = [
    *MODALITY_ATTRIBUTES,
    *("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID", "IssuerOfPatientID"),
    *("Rows", "Columns", "NumberOfFrames"),
]
_SHOWN = 3
_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)  # as floats, as doubles, as integers


@dataclass(frozen=True)
class Instance:
    """Pseudonyms of one file's SOP instance, series, study and patient, "" for what the file does not say.

    They are hexadecimal digests, the same in every run and on every machine. The patient of a file without a PatientID
    is that of another file of its study; where none has one it is the study, with `OF_STUDY` in front, since a study is
    of one patient.

    These are pseudonyms and not anonymity: whoever holds the files can tell which is which. PatientIDs are so short
    that all of them can be tried, so theirs is a slow digest (scrypt, some 50 ms an id; of PatientID and
    IssuerOfPatientID), and a salt that is kept secret prevents the trying. UIDs are long and unique: SHA-256.
    """

    video: str
    series: str
    study: str
    patient: str


@dataclass
class StudyFolder:
    """What was found: the files to read, and those to leave out with the reason."""

    instances: dict[Path, Instance] = field(default_factory=dict)
    skipped: dict[Path, str] = field(default_factory=dict)

    def summary(self) -> str:
        """What was left out by reason, with the names of the first, as ``4 CT (a.dcm, b.dcm, ...), 1 SR (r.dcm)``."""
        named: dict[str, list[str]] = defaultdict(list)
        for path, reason in self.skipped.items():
            named[reason].append(path.name)
        return ", ".join(
            f"{len(names)} {reason} ({', '.join([*names[:_SHOWN], *['...'][: len(names) - _SHOWN]])})"
            for reason, names in sorted(named.items())
        )


def read_study_folder(root: Path, files: Sequence[Path], salt: str = "", any_modality: bool = False) -> StudyFolder:
    """Look through the headers of ``files`` below ``root``; those that are no DICOM are in neither part of the result.

    Left out are other modalities (`other_modality`), files without pixels (reports, presentation states, key objects,
    a DICOMDIR), and all but the first, in the order given, of the files that hold the same SOP instance in the same
    size. Where ``root`` holds a DICOMDIR, the files that it does not name are left out too: it is the list of what
    belongs to the study, and beside it lie viewers and copies. Names are compared without regard to case, since media
    are copied to disks in both. A warning says how many files it names that are not there. A DICOMDIR that cannot be
    read does not count.

    Args:
        root: the folder.
        files: DICOM files below it, and what may be one.
        salt: goes into every pseudonym.
        any_modality: other modalities are not left out.
    """
    study, seen = StudyFolder(), set()
    named = _named(root, files)
    with quiet_pydicom():
        for path in files:
            dataset, has_pixels = _header(path)
            if dataset is None:
                continue
            instance, frames = _said_twice(dataset, "SOPInstanceUID"), text(dataset, "NumberOfFrames") or "1"
            shape = (instance, frames, text(dataset, "Rows"), text(dataset, "Columns"))
            if _said_twice(dataset, "SOPClassUID") == _DIRECTORY_CLASS:
                study.skipped[path] = DICOMDIR
            elif named is not None and path not in named:
                study.skipped[path] = f"not in the {DICOMDIR}"
            elif not any_modality and (modality := other_modality(dataset)):
                study.skipped[path] = modality
            elif not has_pixels:
                study.skipped[path] = "without pixels"
            elif instance and shape in seen:
                study.skipped[path] = "there twice"
            else:
                seen.add(shape)
                study.instances[path] = _pseudonyms(dataset, salt)
    known = {one.study: one.patient for one in study.instances.values() if one.study and one.patient}
    for path, one in study.instances.items():
        if one.study and not one.patient:
            study.instances[path] = replace(one, patient=known.get(one.study, f"{OF_STUDY}{one.study}"))
    return study


def _header(path: Path) -> tuple[Dataset | None, bool]:
    """What is needed of the header, None when the file is no DICOM, and whether pixels follow."""
    from pydicom.filereader import read_partial
    from pydicom.tag import Tag

    lengths: list[int] = []

    def at_pixels(tag: int, vr: str | None, length: int) -> bool:
        if tag in _PIXELS:
            lengths.append(length)
        return bool(lengths)

    try:
        with path.open("rb") as file:
            # some writers leave out the preamble; what is no DICOM at all then has no SOP class
            dataset = read_partial(file, at_pixels, force=True, specific_tags=[Tag(name) for name in _ATTRIBUTES])
    except Exception:  # pydicom raises many kinds on damaged files and on what is no DICOM
        return None, False
    return (dataset if _said_twice(dataset, "SOPClassUID") else None), sum(lengths) > 0


def _said_twice(dataset: Dataset, name: str) -> str:
    """What the header says or else the file meta information, which repeats it and is all that a DICOMDIR has."""
    return text(dataset, name) or text(dataset.file_meta, f"MediaStorage{name}")


def _named(root: Path, files: Sequence[Path]) -> set[Path] | None:
    """Those of ``files`` that the DICOMDIR of ``root`` names, None when there is none."""
    from pydicom import dcmread

    directory = next((path for path in root.iterdir() if path.name.upper() == DICOMDIR and path.is_file()), None)
    if directory is None:
        return None
    try:
        with quiet_pydicom():
            names = [text(entry, "ReferencedFileID") for entry in dcmread(directory).DirectoryRecordSequence]
    except Exception:  # of many kinds
        logger.warning("%s: cannot be read: all DICOM files below %s count", directory, root)
        return None
    names = [name.replace("\\", "/") for name in names if name]
    there = {path.relative_to(root).as_posix().lower(): path for path in files}
    missing = [name for name in names if name.lower() not in there]
    if missing:
        few = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        logger.warning("%s: names %d files of which %d are not there: %s", directory, len(names), len(missing), few)
    return {there[name.lower()] for name in names if name.lower() in there}


def _pseudonyms(dataset: Dataset, salt: str) -> Instance:
    return Instance(
        video=_digest(_said_twice(dataset, "SOPInstanceUID"), salt),
        series=_digest(text(dataset, "SeriesInstanceUID"), salt),
        study=_digest(text(dataset, "StudyInstanceUID"), salt),
        patient=_slow_digest(text(dataset, "PatientID"), text(dataset, "IssuerOfPatientID"), salt),
    )


def _digest(uid: str, salt: str) -> str:
    return hashlib.sha256(f"{salt}\0{uid}".encode()).hexdigest()[:16] if uid else ""


@functools.lru_cache(maxsize=1024)
def _slow_digest(patient: str, issuer: str, salt: str) -> str:
    if not patient:
        return ""
    secret = f"{patient}\0{issuer}".encode(errors="backslashreplace")
    return hashlib.scrypt(secret, salt=b"patient\0" + salt.encode(), n=2**14, r=8, p=1, dklen=8).hex()
