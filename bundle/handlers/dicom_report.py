# SPDX-License-Identifier: Apache-2.0
"""Class probabilities of a clip as a DICOM structured report (PS3.16 TID 1500)."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import softmax

from .. import __version__
from ..keys import Keys
from ..metrics.classification import logits_and_attention, probabilities_of_clip
from ..networks.trained_model import TrainedModel
from .clip_outputs import Chunk
from .clip_results import of_classes
from .dicom_codes import own_code, own_scheme
from .dicom_source import PROJECT, DicomSource, algorithm_name, new_instance
from .dicom_writer import DicomWriter

if TYPE_CHECKING:
    from pydicom import Dataset

logger = logging.getLogger(__name__)


class DicomReport(DicomWriter):
    """Writes ``NAME_sr.dcm``: an Enhanced SR, preliminary and unverified, with the numbers of `ClassResults`.

    One measurement group is of the clip and refers to the frames looked at; of a cine one more is of each of them, and
    refers to it, unless they are too many for a report to be read or handled (some 20 ms and 200 kB each). Each has the
    probability of every class, from 0 to 1, and the most probable class. The observer is a device, the network, with
    the SHA-256 of its weights as serial number.

    Args:
        output_dir, model: of `DicomWriter`; predictions are the logits of `FrameClassifier`.
        clip_score: of `ClassResults`.
        max_frames: of clips with more of them looked at only the clip's group is written, as the log says.
    """

    ending = "_sr.dcm"

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        model: TrainedModel,
        clip_score: str = "mean",
        max_frames: int = 200,
    ) -> None:
        super().__init__(output_dir, model)
        self.max_frames = max_frames
        self.clip_score = clip_score
        self.empty()

    def empty(self) -> None:
        self.frames: list[int] = []
        self.logits: list[np.ndarray] = []

    def keep(self, chunk: Chunk, predicted: Any) -> None:
        self.frames += chunk[Keys.FRAME_INDEX].tolist()
        self.logits.append(predicted.double().cpu().numpy())

    def made(self, source: DicomSource, chunk: Chunk) -> Dataset:
        from highdicom.sr import EnhancedSR

        made = EnhancedSR(
            evidence=[source.header],
            content=self._content(source, chunk[Keys.NAME])[0],
            is_complete=True,
            coding_schemes=own_scheme(),
            **new_instance(self.model),
        )
        (study,) = made.CurrentRequestedProcedureEvidenceSequence
        study.ReferencedSeriesSequence[0].ReferencedSOPSequence = [source.reference()]
        return made

    def _content(self, source: DicomSource, name: str) -> Any:
        from highdicom import sr
        from pydicom.sr.coding import Code
        from pydicom.uid import generate_uid

        outputs, classes = np.concatenate(self.logits), self.model.class_names
        clip = of_classes(probabilities_of_clip(outputs, len(classes), self.clip_score), classes)
        every = None if len(self.frames) == source.frames else self.frames
        groups = [self._group(source, "clip", clip, every)]
        if len(self.frames) > self.max_frames:
            logger.info("%s: its report has no single frames, %d are too many", name, len(self.frames))
        elif source.frames is not None and len(self.frames) > 1:
            for frame, logits in zip(self.frames, logits_and_attention(outputs, len(classes))[0], strict=True):
                groups.append(self._group(source, f"frame {frame + 1}", of_classes(softmax(logits), classes), [frame]))
        device = sr.DeviceObserverIdentifyingAttributes(
            uid=generate_uid(entropy_srcs=[PROJECT, self.model.sha256]),
            name=algorithm_name(self.model),
            manufacturer_name=PROJECT,
            model_name=algorithm_name(self.model),
            serial_number=self.model.sha256,
        )
        return sr.MeasurementReport(
            observation_context=sr.ObservationContext(
                observer_device_context=sr.ObserverContext(sr.CodedConcept("121007", "DCM", "Device"), device)
            ),
            procedure_reported=Code("16310003", "SCT", "Diagnostic ultrasonography"),
            imaging_measurements=groups,
            title=Code("126000", "DCM", "Imaging Measurement Report"),
        )

    def _group(self, source: DicomSource, name: str, told: Mapping[str, Any], frames: Sequence[int] | None) -> Any:
        """What is told of a clip or of one frame; ``frames`` None for all of the instance."""
        from highdicom import sr
        from pydicom.sr.coding import Code
        from pydicom.uid import generate_uid

        numbers = None if frames is None else source.frame_numbers(frames)
        algorithm = None
        if name == "clip":
            algorithm = sr.AlgorithmIdentification(
                algorithm_name(self.model),
                __version__,
                [f"weights_sha256={self.model.sha256}", f"clip_score={self.clip_score}"],
            )
        return sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(generate_uid(), name),
            algorithm_id=algorithm,
            source_images=[sr.SourceImageForMeasurementGroup(source.sop_class, source.sop_instance, numbers)],
            measurements=[
                sr.Measurement(own_code(f"Probability of {one}"), probability, Code("{0:1}", "UCUM", "range: 0:1"))
                for one, probability in told["probabilities"].items()
            ],
            qualitative_evaluations=[
                sr.QualitativeEvaluation(own_code("Most probable class"), own_code(told["class"]))
            ],
        )
