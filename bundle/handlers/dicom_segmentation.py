# SPDX-License-Identifier: Apache-2.0
"""Masks of a clip as a DICOM Segmentation (PS3.3 A.51)."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..keys import Keys
from ..networks.trained_model import TrainedModel
from .clip_outputs import Chunk
from .dicom_codes import own_scheme, structure_codes
from .dicom_source import PROJECT, DicomSource, algorithm_name, new_instance
from .dicom_writer import DicomWriter

if TYPE_CHECKING:
    from pydicom import Dataset

_TEMPORAL_POSITION, _FRAME_CONTENT = 0x00209128, 0x00209111


class DicomSegmentation(DicomWriter):
    """Writes ``NAME_seg.dcm``: a binary segmentation with a frame for each frame looked at, marked or not.

    An ultrasound cine has no coordinates of the patient, so neither has its segmentation: frames lie pixel on pixel on
    the source frames that their Derivation Image Sequence names (PS3.3 A.51.5.1). highdicom makes such a segmentation
    of one frame only; it makes the object, and the frames are laid in here, told apart by their temporal position. The
    size of a pixel is left to the source: the Pixel Measures Sequence may be absent, and where it stands without
    coordinates GDCM, and ITK with it, do not open the file.

    Held are the masks of one clip with a bit for each pixel, twice while they are written, and some 50 kB a frame: 250
    MB for 1000 frames of 1024 x 768.

    Args:
        output_dir, model: of `DicomWriter`; predictions are probabilities on the original frames.
        threshold: what is above is marked.
    """

    ending = "_seg.dcm"

    def __init__(self, output_dir: str | os.PathLike[str], model: TrainedModel, threshold: float = 0.5) -> None:
        super().__init__(output_dir, model)
        self.threshold = threshold
        self.empty()

    def empty(self) -> None:
        self.packed = bytearray()
        self.rest = np.zeros(0, bool)
        self.frames: list[int] = []

    def keep(self, chunk: Chunk, predicted: Any) -> None:
        bits = np.concatenate([self.rest, (np.asarray(predicted) > self.threshold).reshape(-1)])
        whole = len(bits) // 8 * 8  # a frame may end within a byte, where the next begins
        self.packed += np.packbits(bits[:whole], bitorder="little").tobytes()
        self.rest = bits[whole:]
        self.frames += chunk[Keys.FRAME_INDEX].tolist()

    def made(self, source: DicomSource, chunk: Chunk) -> Dataset:
        from highdicom.seg import Segmentation

        made = Segmentation(
            source_images=[source.header],
            pixel_array=np.zeros((1, source.header.Rows, source.header.Columns), np.uint8),
            segmentation_type="BINARY",
            segment_descriptions=[self._segment()],
            content_label="SEGMENTATION",
            content_description=f"{self.model.class_names[0]}, by frame"[:64],
            omit_empty_frames=False,
            coding_schemes=own_scheme(),
            **new_instance(self.model),
        )
        made.SourceImageSequence = [source.reference()]
        made.ReferencedSeriesSequence[0].ReferencedInstanceSequence = [source.reference()]
        for name, value in source.lossy.items():
            setattr(made, name, value)
        _lay_in(made, source, self.frames)
        self.packed += np.packbits(self.rest, bitorder="little").tobytes()
        self.packed += bytes(len(self.packed) % 2)
        made.PixelData = bytes(self.packed)
        self.packed.clear()
        return made

    def _segment(self) -> Any:
        from highdicom import AlgorithmIdentificationSequence
        from highdicom.seg import SegmentDescription
        from pydicom.sr.coding import Code

        (name,) = self.model.class_names
        category, kind = structure_codes(name)
        algorithm = AlgorithmIdentificationSequence(
            name=algorithm_name(self.model),
            version=__version__,
            family=Code("123110", "DCM", "Artificial Intelligence"),
            source=PROJECT,
            parameters={"weights_sha256": self.model.sha256, "threshold": f"{self.threshold:g}"},
        )
        return SegmentDescription(1, name[:64], category, kind, "AUTOMATIC", algorithm)


def _lay_in(made: Any, source: DicomSource, indices: Sequence[int]) -> None:
    """The frames of a segmentation, each with its place in time and its source frame, instead of the one there is."""
    from pydicom import Dataset

    place = Dataset()
    place.DimensionIndexPointer, place.FunctionalGroupPointer = _TEMPORAL_POSITION, _FRAME_CONTENT
    place.DimensionOrganizationUID = made.DimensionIndexSequence[0].DimensionOrganizationUID
    place.DimensionDescriptionLabel = "Temporal Position Index"
    made.DimensionIndexSequence.append(place)

    (pattern,) = made.PerFrameFunctionalGroupsSequence
    numbers = source.frame_numbers(indices)
    groups = []
    for k in range(len(indices)):
        group = copy.deepcopy(pattern)
        content = group.FrameContentSequence[0]
        content.TemporalPositionIndex = k + 1
        content.DimensionIndexValues = [1, k + 1]  # of the segment, in time
        of = group.DerivationImageSequence[0].SourceImageSequence[0]
        of.ReferencedSOPClassUID = source.sop_class
        if numbers is not None:
            of.ReferencedFrameNumber = numbers[k]
        groups.append(group)
    made.PerFrameFunctionalGroupsSequence = groups
    made.NumberOfFrames = len(groups)
