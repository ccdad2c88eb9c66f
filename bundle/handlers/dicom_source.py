# SPDX-License-Identifier: Apache-2.0
"""The DICOM instance that a result was made from: whose result it is, and how the result refers to it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..errors import InputError
from ..networks.trained_model import TrainedModel
from ..readers.dicom_header import read_header
from ..readers.dicom_values import code, quiet_pydicom

if TYPE_CHECKING:
    from pydicom import Dataset

PROJECT = "ultrasound-video-ssl"
_ULTRASOUND_IMAGE = "1.2.840.10008.5.1.4.1.1.6.1"
_UTF_8 = "ISO_IR 192"
_SERIES_NUMBER = 1000  # behind those of the machine

_IDENTIFYING = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName"),
)
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
_GROUPS = (0x0008, 0x0010, 0x0012, 0x0020, 0x0032, 0x0040)
"""Of the elements that say of whom and of which examination an image is."""


@dataclass(frozen=True)
class DicomSource:
    """What a result takes over from its source.

    Attributes:
        header: patient, study, series and instance, in UTF-8, in the shape of a single ultrasound picture without
            coordinates, which highdicom takes whatever the source's SOP class is.
        sop_class, sop_instance: UIDs of the source.
        frames: how many it has; None for a single picture, to which frame numbers do not apply.
        lossy: what it says of its compression, for the result is derived from compressed pixels.
    """

    header: Dataset
    sop_class: str
    sop_instance: str
    frames: int | None
    lossy: dict[str, Any]

    def frame_numbers(self, indices: Sequence[int]) -> list[int] | None:
        """Frames by their DICOM numbers, from 1 on; None where a reference is to the instance as a whole."""
        return None if self.frames is None else [int(k) + 1 for k in indices]

    def reference(self) -> Dataset:
        """An item that refers to the instance."""
        from pydicom import Dataset

        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = self.sop_class, self.sop_instance
        return item


def open_source(path: str | Path, size: Sequence[int], n_frames: int) -> DicomSource:
    """The header of a DICOM file, without its pixels.

    What the standard wants to be there though it may be empty (Type 2: name, birth date, accession number, ...) is
    empty where the file lacks it, or has a date or a sex of a form that the standard does not know.

    Args:
        path: of the file.
        size: rows and columns of its frames.
        n_frames: that it has.

    Raises:
        InputError: it lacks one of the UIDs by which a result can refer to it.
    """
    from pydicom import Dataset

    path = Path(path)
    with path.open("rb") as file:
        whole = read_header(file, None, path)
    uids = {name: code(whole, name) for name in _IDENTIFYING}
    if missing := [name for name, uid in uids.items() if not uid]:
        raise InputError(f"{path}: found no {', '.join(missing)}, expected what an archive knows the instance by")
    header = Dataset()
    for tag in whole.keys():
        if tag.group in _GROUPS and not tag.is_private:
            header[tag] = whole[tag]
    header.decode()
    header.SpecificCharacterSet, header.SOPClassUID = _UTF_8, _ULTRASOUND_IMAGE
    header.Rows, header.Columns = size
    header.pop("FrameOfReferenceUID", None)
    for name in _MAY_BE_EMPTY:
        if name not in header or not _well_formed(name, header.get(name)):
            setattr(header, name, "")
    frames = n_frames if n_frames > 1 or "NumberOfFrames" in whole else None
    lossy = {name: whole[name].value for name in _LOSSY if name in whole}
    return DicomSource(header, uids["SOPClassUID"], uids["SOPInstanceUID"], frames, lossy)


def new_instance(model: TrainedModel) -> dict[str, Any]:
    """What every result is called with: new UIDs for it and its series, and the network as the equipment."""
    from pydicom.uid import generate_uid

    return {
        "series_instance_uid": generate_uid(),
        "sop_instance_uid": generate_uid(),
        "series_number": _SERIES_NUMBER,
        "instance_number": 1,
        "series_description": algorithm_name(model),
        "manufacturer": PROJECT,
        "manufacturer_model_name": algorithm_name(model),
        "software_versions": __version__,
        "device_serial_number": model.sha256,
    }


def save(made: Dataset, source: DicomSource, path: Path) -> None:
    """Writes a result, in the character set of its source's header."""
    made.SpecificCharacterSet = source.header.SpecificCharacterSet
    made.save_as(path)


def algorithm_name(model: TrainedModel) -> str:
    """What the network is called in a result."""
    return f"{PROJECT} {model.task}"


@contextmanager
def quiet_highdicom() -> Iterator[None]:
    """pydicom and highdicom without their words, which quote names and numbers of patients."""
    logger = logging.getLogger("highdicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with quiet_pydicom(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _well_formed(name: str, found: Any) -> bool:
    from pydicom.valuerep import DA, TM

    if not found:
        return True
    if name == "PatientSex":
        return found in ("M", "F", "O")
    kind = DA if name.endswith("Date") else TM if name.endswith("Time") else str
    try:
        kind(found)
    except ValueError:
        return False
    return True
