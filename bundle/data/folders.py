# SPDX-License-Identifier: Apache-2.0
"""Records of a folder of clips that comes without a table."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from ..keys import Keys
from ..readers.cine import known_by_content
from ..readers.stills import IMAGE_SUFFIXES
from .dicom_study import OF_STUDY, Instance, read_study_folder
from .records import Record, log_unknown_patients, make_record

logger = logging.getLogger(__name__)

DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
CLIP_SUFFIXES = (
    *DICOM_SUFFIXES,
    *(".mp4", ".m4v", ".mov", ".avi", ".mpg", ".mpeg", ".mkv", ".webm", ".wmv", ".gif"),
    *(".mha", ".mhd", ".nrrd", ".nhdr", ".nii", ".nii.gz", ".npy"),
)


def records_from_folder(
    folder: str | os.PathLike[str],
    *,
    patient_from_folder: bool = False,
    label_from_folder: bool = False,
    salt: str = "",
    any_modality: bool = False,
    keep_unusable: bool = False,
) -> list[Record]:
    """Make a record of everything below ``folder`` that looks like a clip or an image, by file name.

    DICOM files without a suffix are known by their preamble. A folder whose own readable files are two or more
    images numbered in sequence (``0007.png``, ``0008.png``, ...) is one cine; other images are stills. Hidden files
    are left out; so are empty ones, broken links, what is called DICOM and is nothing of the kind, and folders that may
    not be read, all of which the log names. Patients and labels are unknown unless the first folder level is said to
    hold them, or DICOM headers name the patient.

    Of the DICOM files those that hold ultrasound are taken (`read_study_folder`), and the log counts what is left out.
    Their records have pseudonyms of what the header says (`Instance`): ``video_id`` of the SOP instance,
    ``patient_id`` of the patient, ``series`` and ``study``. The path of a file stays in its record as it is.

    Args:
        folder: where to look, with all folders below.
        patient_from_folder: the name of the folder directly below ``folder`` is the patient.
        label_from_folder: the name of the folder directly below ``folder`` is the class.
        salt: goes into the pseudonyms, which without it anyone can make who knows the ids.
        any_modality: take DICOM files with pixels of every modality.
        keep_unusable: make a record of what is called a clip and cannot be one (empty files, ...), too; reading it will
            tell.

    Raises:
        InputError: ``folder`` is not a folder, or nothing below it looks like a clip or an image.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder: expected a folder of clips")
    items, left_out = _items_below(root)
    if keep_unusable:
        items = sorted([*items, *(path for path, _ in left_out if not path.is_dir())])
        left_out = [(path, reason) for path, reason in left_out if path.is_dir()]
    for path, reason in left_out:
        logger.warning(
            "left out: %s: found %s, expected an ultrasound clip; copy it again or take it away", path, reason
        )
    study = read_study_folder(root, [item for item in items if _may_be_dicom(item)], salt, any_modality)
    if study.skipped:
        logger.info("%s: of the DICOM files skipped %s", root, study.summary())
    records = []
    for item in items:
        if item in study.skipped:
            continue
        relative = item.relative_to(root)
        # a folder of frames directly below the root is itself the first level
        level = relative.parts[0] if len(relative.parts) > 1 or (item.is_dir() and relative.parts) else ""
        said = study.instances.get(item, Instance("", "", "", ""))
        record = make_record(
            root.resolve().name,
            image=relative.as_posix(),
            video=said.video,
            patient=level if patient_from_folder else said.patient,
            label=level if label_from_folder else "",
        )
        record |= {key: uid for key, uid in (("series", said.series), ("study", said.study)) if uid}
        records.append(record)
    if not records:
        found = [f"DICOM files that are skipped ({study.summary()})"] if study.skipped else []
        found += [f"{path.name}, {reason}" for path, reason in left_out[:1]]
        but = f" but {' and '.join(found)}" if found else ""
        raise InputError(
            f"{root}: nothing to read{but}: expected clips ({' '.join(CLIP_SUFFIXES)}) or images below it; "
            "copy them again, or name another folder"
        )
    log_unknown_patients(root, records)
    without = sum(f"/{OF_STUDY}" in record[Keys.PATIENT_ID] for record in records)
    if without:
        logger.warning(
            "%s: %d of %d items are DICOM without a PatientID; each of their studies is taken as a patient of its own",
            root,
            without,
            len(records),
        )
    return records


def numbered_in_sequence(names: Sequence[str]) -> bool:
    """Whether two or more file names differ in one number only, which counts up by a constant step."""
    if len(names) < 2:
        return False
    split = [re.split(r"(\d+)", name) for name in names]
    if len({len(parts) for parts in split}) != 1:
        return False
    differing = [place for place in range(len(split[0])) if len({parts[place] for parts in split}) > 1]
    # re.split puts the numbers at the odd places
    if len(differing) != 1 or differing[0] % 2 == 0:
        return False
    numbers = sorted(int(parts[differing[0]]) for parts in split)
    steps = {after - before for before, after in zip(numbers, numbers[1:], strict=False)}
    return len(steps) == 1 and 0 not in steps


def _items_below(root: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Clips, stills and folders of frames, in order of their paths; and what cannot be any, with the reason."""
    items: list[Path] = []
    left_out: list[tuple[Path, str]] = []
    cines = 0

    def closed(error: OSError) -> None:
        left_out.append((Path(error.filename), f"a folder that cannot be read ({error.strerror})"))

    for place, folders, names in os.walk(root, onerror=closed):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        names = sorted(name for name in names if not name.startswith("."))
        images = [name for name in names if name.lower().endswith(tuple(IMAGE_SUFFIXES))]
        clips = [name for name in names if _is_clip(Path(place, name))]
        if not clips and numbered_in_sequence(images):
            items.append(Path(place))
            cines += 1
        else:
            for path in (Path(place, name) for name in sorted(clips + images)):
                if reason := _nothing_in(path):
                    left_out.append((path, reason))
                else:
                    items.append(path)
    if cines:
        logger.info("%s: %d folders of numbered images are taken as one cine each", root, cines)
    return sorted(items), left_out


def _nothing_in(path: Path) -> str:
    """Why a name in a folder is no file that holds something; empty if it is one."""
    if not path.is_file():
        return "a pipe or device" if path.exists() else "a link that leads nowhere"
    if not path.stat().st_size:
        return "an empty file (0 bytes)"
    if path.name.lower().endswith(DICOM_SUFFIXES) and not known_by_content(path):
        return "no DICOM header"
    return ""


def _is_clip(path: Path) -> bool:
    if path.name.lower().endswith(CLIP_SUFFIXES):
        return True
    # DICOM files often have no suffix, or are named by a UID, whose last number then looks like one
    return not path.suffix.strip(".0123456789") and _has_dicom_preamble(path)


def _may_be_dicom(path: Path) -> bool:
    name = path.name.lower()
    others = tuple(suffix for suffix in (*CLIP_SUFFIXES, *IMAGE_SUFFIXES) if suffix not in DICOM_SUFFIXES)
    return not name.endswith(others) and path.is_file()


def _has_dicom_preamble(path: Path) -> bool:
    try:
        if not path.is_file():  # opening a pipe would wait for ever
            return False
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False
