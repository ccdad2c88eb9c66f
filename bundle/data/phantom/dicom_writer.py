# SPDX-License-Identifier: Apache-2.0
"""Writes a grey cine as an Ultrasound Multi-frame DICOM file (PS3.3 A.7), JPEG baseline compressed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_QUALITY = 70
_MULTIFRAME = "1.2.840.10008.5.1.4.1.1.3.1"
_JPEG_BASELINE = "1.2.840.10008.1.2.4.50"


def write_cine(
    path: Path,
    frames: np.ndarray,
    frame_time: float,
    box: tuple[int, int, int, int],
    cm_per_pixel: float,
    patient: str,
    entropy: tuple[str, str, str],
    clock: int,
) -> None:
    """Write ``frames`` (T, H, W) uint8.

    ``box`` is the tissue region xyxy in pixels, last pixel included; ``frame_time`` is in seconds; ``entropy`` are
    three texts from which the UIDs of study, series and instance follow, so that the same clip gets the same UIDs.
    """
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.tag import Tag
    from pydicom.uid import UID, generate_uid

    study, series, instance = (generate_uid(entropy_srcs=["phantom", *entropy[: k + 1]]) for k in range(3))
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(_MULTIFRAME)
    meta.MediaStorageSOPInstanceUID = instance
    meta.TransferSyntaxUID = UID(_JPEG_BASELINE)

    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, instance
    data.StudyInstanceUID, data.SeriesInstanceUID = study, series
    data.PatientName = data.PatientID = patient
    data.PatientBirthDate = data.PatientSex = data.AccessionNumber = data.StudyID = data.ReferringPhysicianName = ""
    data.Modality, data.Manufacturer, data.ManufacturerModelName = "US", "simulated", "phantom"
    data.ImageType = ["ORIGINAL", "PRIMARY", "", "0001"]
    data.StudyDate = data.ContentDate = "20200101"
    data.StudyTime = data.ContentTime = f"{clock // 3600:02d}{clock // 60 % 60:02d}{clock % 60:02d}"
    data.SeriesNumber = data.InstanceNumber = 1
    data.BurnedInAnnotation = "YES"
    data.PatientOrientation = ""

    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.NumberOfFrames, data.Rows, data.Columns = frames.shape
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    data.FrameTime = round(frame_time * 1000, 3)
    data.FrameIncrementPointer = Tag(0x0018, 0x1063)
    data.CineRate = data.RecommendedDisplayFrameRate = round(1 / frame_time)
    data.SequenceOfUltrasoundRegions = [_tissue_region(box, cm_per_pixel)]

    encoded = [_jpeg(frame) for frame in frames]
    data.LossyImageCompression, data.LossyImageCompressionMethod = "01", "ISO_10918_1"
    data.LossyImageCompressionRatio = round(frames.size / sum(map(len, encoded)), 2)
    data.PixelData = encapsulate(encoded)
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    if int(pydicom.__version__.split(".")[0]) >= 3:
        data.save_as(path, enforce_file_format=True)
    else:
        data.is_little_endian, data.is_implicit_VR = True, False
        data.save_as(path, write_like_original=False)


def _tissue_region(box: tuple[int, int, int, int], cm_per_pixel: float) -> Dataset:
    """The ultrasound region (PS3.3 C.8.5.5) of the sector: 2-D, tissue, centimetres."""
    from pydicom.dataset import Dataset

    region = Dataset()
    region.RegionSpatialFormat = region.RegionDataType = 1
    region.RegionFlags = 0
    region.RegionLocationMinX0, region.RegionLocationMinY0 = box[:2]
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = box[2:]
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX = region.PhysicalDeltaY = float(cm_per_pixel)
    return region


def _jpeg(frame: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, format="JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()
