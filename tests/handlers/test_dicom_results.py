# SPDX-License-Identifier: Apache-2.0
"""Results as DICOM: read back they are those of the other files, and say of whom and of which frames they are."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from ignite.engine import Engine
from pydicom import Dataset, dcmread
from pydicom.uid import UID

from bundle.data.phantom.dicom_writer import write_cine
from bundle.errors import InputError
from bundle.handlers import (
    ClassResults,
    ClipMaps,
    ClipOutputs,
    DicomReport,
    DicomSegmentation,
    check_dicom_output,
    tell_failed,
)
from bundle.inferers import CineChunks
from bundle.networks import TrainedModel

pytest.importorskip("highdicom", reason="needs highdicom: install the extra test")

DIGEST = "0123456789abcdef" * 4
HEIGHT, WIDTH, FRAMES = 37, 53, 7  # a frame ends within a byte
FOLDER = Path("dicom_us") / "files"


def model_of(task: str, *classes: str) -> TrainedModel:
    return TrainedModel(task, torch.nn.Identity(), 1, 32, 0.5, 0.25, Path("model.pt"), DIGEST, list(classes))


def mask(chunk: Any, k: int) -> torch.Tensor:
    """Another one in each frame, and none in the third."""
    height, width = chunk["original"].shape[1:]
    random = torch.rand(height, width, generator=torch.Generator().manual_seed(int(k)))
    return random * (k != 2)


def logits(chunk: Any, k: int) -> torch.Tensor:
    return torch.tensor([0.3 * int(k), 1.0, -0.7])


def run(writers: list[Any], predict: Any, *clips: Path, **settings: Any) -> CineChunks:
    records = [{"image": str(p), "name": p.name, "video_id": p.stem, "patient_id": "p"} for p in clips]
    dataset = CineChunks(records, 32, frames_at_once=2, **settings)
    engine = Engine(lambda _, chunk: {"pred": torch.stack([predict(chunk, k) for k in chunk["frame_index"]])})
    ClipOutputs(writers, dataset).attach(engine)
    engine.run(dataset)
    return dataset


def segmented(folder: Path, clip: Path, **settings: Any) -> tuple[Any, np.ndarray]:
    """The DICOM segmentation of a clip, and the masks of the NIfTI beside it."""
    model = model_of("segmentation", "lesion")
    writers = [ClipMaps(folder, 0.6), DicomSegmentation(folder, model, 0.6)]
    run(writers, mask, clip, **settings)
    voxels = np.asarray(nibabel.load(folder / f"{clip.name}_mask.nii.gz").dataobj)  # type: ignore[attr-defined]
    return dcmread(folder / f"{clip.name}_seg.dcm"), voxels.transpose(2, 1, 0)


def reported(folder: Path, clip: Path, **settings: Any) -> tuple[Any, Any]:
    """The structured report of a clip, and the clip in ``results.json``."""
    model = model_of("classification", "covid", "pneumonia", "gesund (übrig)")
    run([ClassResults(folder, model), DicomReport(folder, model)], logits, clip, **settings)
    (told,) = json.loads((folder / "results.json").read_text())["clips"]
    return dcmread(folder / f"{clip.name}_sr.dcm"), told


def sources(seg: Any) -> list[Any]:
    """What each frame of a segmentation refers to."""
    groups = seg.PerFrameFunctionalGroupsSequence
    return [group.DerivationImageSequence[0].SourceImageSequence[0] for group in groups]


def named(item: Dataset, name: str) -> Iterator[Any]:
    """The content items at or below one that have a name."""
    if "ConceptNameCodeSequence" in item and item.ConceptNameCodeSequence[0].CodeMeaning == name:
        yield item
    for below in item.get("ContentSequence", []):
        yield from named(below, name)


def images(item: Dataset) -> Iterator[Any]:
    """The references to images at or below a content item."""
    if item.ValueType == "IMAGE":
        yield item
    for below in item.get("ContentSequence", []):
        yield from images(below)


def frames_of(seen: Any) -> list[int] | None:
    """Frame numbers of a reference; None for all."""
    numbers = seen.get("ReferencedFrameNumber")
    return None if numbers is None else np.atleast_1d(numbers).astype(int).tolist()


def reference(group: Dataset) -> list[int] | None:
    """The frames that a measurement group is of."""
    (image,) = images(group)
    return frames_of(image.ReferencedSOPSequence[0])


def check_identity(made: Any, clip: Path) -> None:
    """It belongs to the clip's patient and study, is a series of its own, and refers to the clip."""
    of = dcmread(clip, stop_before_pixels=True)
    for name in ("PatientID", "PatientName", "PatientBirthDate", "AccessionNumber", "StudyID", "StudyDate"):
        assert name in made and (made.get(name) or "") == (of.get(name) or ""), name
    assert made.StudyInstanceUID == of.StudyInstanceUID
    assert made.SeriesInstanceUID != of.SeriesInstanceUID and made.SOPInstanceUID != of.SOPInstanceUID
    assert made.SOPInstanceUID == made.file_meta.MediaStorageSOPInstanceUID
    assert made.DeviceSerialNumber == DIGEST and "FrameOfReferenceUID" not in made
    if made.Modality == "SEG":
        (series,) = made.ReferencedSeriesSequence
        (instance,), (again,) = series.ReferencedInstanceSequence, made.SourceImageSequence
        assert again == instance
    else:
        ((series,),) = (item.ReferencedSeriesSequence for item in made.CurrentRequestedProcedureEvidenceSequence)
        (instance,) = series.ReferencedSOPSequence
        assert {item.ReferencedSOPSequence[0].ReferencedSOPClassUID for item in images(made)} == {of.SOPClassUID}
        assert {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in images(made)} == {of.SOPInstanceUID}
    assert series.SeriesInstanceUID == of.SeriesInstanceUID
    assert instance.ReferencedSOPInstanceUID == of.SOPInstanceUID
    assert instance.ReferencedSOPClassUID == of.SOPClassUID


@pytest.fixture
def cine(tmp_path: Path) -> Path:
    """A grey cine, JPEG compressed, with the size of a pixel."""
    frames = np.zeros((FRAMES, HEIGHT, WIDTH), np.uint8)
    frames[:, 3:34, 5:48] = np.random.default_rng(0).integers(30, 220, (FRAMES, 31, 43))
    write_cine(tmp_path / "a.dcm", frames, 0.04, (5, 3, 47, 33), 0.025, "77", ("a", "b", "c"), 36000)
    return tmp_path / "a.dcm"


def changed(clip: Path, without: tuple[str, ...] = (), **attributes: Any) -> Path:
    """The clip with other attributes."""
    dataset = dcmread(clip)
    for name in without:
        del dataset[name]
    for name, value in attributes.items():
        setattr(dataset, name, value)
    dataset.save_as(clip)
    return clip


@pytest.mark.parametrize("settings", [{}, {"stride": 3}, {"frames_per_clip": 2}], ids=["all", "stride", "two"])
def test_masks_of_a_cine(cine: Path, tmp_path: Path, settings: dict[str, int]) -> None:
    seg, masks = segmented(tmp_path / "out", cine, **settings)
    chosen = {"stride": [0, 3, 6], "frames_per_clip": [1, 5]}.get(next(iter(settings), ""), list(range(FRAMES)))
    assert masks.shape == (len(chosen), HEIGHT, WIDTH) and masks.any()
    assert np.array_equal(seg.pixel_array.reshape(masks.shape), masks)
    assert (seg.SegmentationType, seg.BitsAllocated, int(seg.NumberOfFrames)) == ("BINARY", 1, len(chosen))
    check_identity(seg, cine)
    assert [frames_of(one) for one in sources(seg)] == [[k + 1] for k in chosen]
    assert {one.ReferencedSOPInstanceUID for one in sources(seg)} == {dcmread(cine).SOPInstanceUID}
    assert {one.SpatialLocationsPreserved for one in sources(seg)} == {"YES"}
    places = [group.FrameContentSequence[0] for group in seg.PerFrameFunctionalGroupsSequence]
    assert [[*place.DimensionIndexValues] for place in places] == [[1, k + 1] for k in range(len(chosen))]
    assert [place.TemporalPositionIndex for place in places] == [k + 1 for k in range(len(chosen))]
    assert [int(item.DimensionIndexPointer) for item in seg.DimensionIndexSequence] == [0x0062000B, 0x00209128]
    assert len({item.DimensionOrganizationUID for item in seg.DimensionIndexSequence}) == 1
    assert seg.LossyImageCompression == "01" and seg.LossyImageCompressionMethod == "ISO_10918_1"
    (segment,) = seg.SegmentSequence
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "52988006"
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    assert algorithm.AlgorithmParameters == f"weights_sha256={DIGEST},threshold=0.6"


def test_highdicom_finds_the_mask_of_a_source_frame(cine: Path, tmp_path: Path) -> None:
    from highdicom.seg import segread

    _, masks = segmented(tmp_path / "out", cine, stride=2)
    found = segread(tmp_path / "out" / "a.dcm_seg.dcm").get_pixels_by_source_frame(
        dcmread(cine).SOPInstanceUID, [5, 1], ignore_spatial_locations=True
    )
    assert np.array_equal(found[..., 0], masks[[2, 0]])
    # GDCM and ITK do not open a file that has it, since there are no positions
    assert "PixelMeasuresSequence" not in dcmread(tmp_path / "out" / "a.dcm_seg.dcm").SharedFunctionalGroupsSequence[0]


@pytest.mark.parametrize(
    ("name", "settings", "numbers"),
    [
        ("examples_ybr_color.dcm", {"frames_per_clip": 3}, [[6], [16], [26]]),
        ("US-PAL-8-10x-echo.dcm", {"stride": 4}, [[1], [5], [9]]),  # has no PatientID
        ("examples_rgb_color.dcm", {}, [None]),
        ("color-pl.dcm", {}, [None]),  # of a retired class
    ],
)
def test_real_files(
    ultrasound_data: Path, tmp_path: Path, name: str, settings: dict[str, int], numbers: list[Any]
) -> None:
    clip = ultrasound_data / FOLDER / name
    seg, masks = segmented(tmp_path, clip, **settings)
    assert np.array_equal(seg.pixel_array.reshape(masks.shape), masks)
    report, told = reported(tmp_path, clip, **settings)
    for made in (seg, report):
        check_identity(made, clip)
    assert [frames_of(one) for one in sources(seg)] == numbers
    groups = list(named(report, "Measurement Group"))
    assert [reference(group) for group in groups] == ([None] if numbers == [None] else [sum(numbers, []), *numbers])


def test_scores_of_a_cine_and_its_frames(cine: Path, tmp_path: Path) -> None:
    report, told = reported(tmp_path / "out", cine, stride=2)
    check_identity(report, cine)
    assert report.Modality == "SR" and report.VerificationFlag == "UNVERIFIED"
    assert report.PreliminaryFlag == "PRELIMINARY" and report.CompletionFlag == "COMPLETE"
    groups = list(named(report, "Measurement Group"))
    for group, row in zip(groups, [told, *told["frames"]], strict=True):
        for one, probability in row["probabilities"].items():
            (number,) = named(group, f"Probability of {one}")
            (value,) = number.MeasuredValueSequence
            assert float(value.NumericValue) == value.FloatingPointValue == probability
            assert value.MeasurementUnitsCodeSequence[0].CodeValue == "{0:1}"
        (best,) = named(group, "Most probable class")
        assert best.ConceptCodeSequence[0].CodeMeaning == row["class"]
    assert [reference(group) for group in groups] == [[1, 3, 5, 7], [1], [3], [5], [7]]
    parameters = {item.TextValue for item in named(groups[0], "Algorithm Parameters")}
    assert parameters == {f"weights_sha256={DIGEST}", "clip_score=mean"}
    (device,) = named(report, "Device Observer Serial Number")
    assert device.TextValue == DIGEST

    again, _ = reported(tmp_path / "again", cine, stride=2)
    assert again.SOPInstanceUID != report.SOPInstanceUID and again.SeriesInstanceUID != report.SeriesInstanceUID
    device_of = [next(named(one, "Device Observer UID")).UID for one in (report, again)]
    assert device_of[0] == device_of[1], "the network is the same"
    whole, _ = reported(tmp_path / "whole", cine)
    assert reference(next(named(whole, "Measurement Group"))) is None, "it is of all frames"


def test_a_report_of_a_long_clip_is_of_the_clip_alone(
    cine: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = DicomReport(tmp_path, model_of("classification", "x", "y", "z"), max_frames=2)
    with caplog.at_level(logging.INFO, "bundle"):
        run([writer], logits, cine, stride=3)
    (group,) = named(dcmread(tmp_path / "a.dcm_sr.dcm"), "Measurement Group")
    assert reference(group) == [1, 4, 7] and "a.dcm: its report has no single frames, 3 are too many" in caplog.text


def test_names_of_any_alphabet_and_values_of_no_form(cine: Path, tmp_path: Path) -> None:
    changed(
        cine,
        without=("AccessionNumber", "StudyID", "ReferringPhysicianName"),
        SpecificCharacterSet="ISO_IR 100",
        PatientName="Müller^Jörg",
        PatientSex="?",
        PatientBirthDate="about 1960",
    )
    inside = Dataset()
    inside.PatientID, inside.IssuerOfPatientID = "78", "Spital Zürich"
    changed(cine, OtherPatientIDsSequence=[inside])
    seg, _ = segmented(tmp_path / "out", cine, stride=3)
    report, _ = reported(tmp_path / "out", cine, stride=3)
    for made in (seg, report):
        assert made.PatientName == "Müller^Jörg" and made.SpecificCharacterSet == "ISO_IR 192"
        assert made.OtherPatientIDsSequence[0].IssuerOfPatientID == "Spital Zürich"
        assert all(name in made and not made.get(name) for name in ("PatientSex", "PatientBirthDate", "StudyID"))
        assert made.PatientID == "77"
    assert next(named(report, "Probability of gesund (übrig)"))


@pytest.mark.parametrize("spoil", ["SOPInstanceUID", "StudyInstanceUID", "unknown"])
def test_a_clip_whose_dicom_fails_keeps_its_other_results(
    cine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, spoil: str
) -> None:
    changed(cine, PatientName="Secret^Name", PatientID="hidden-7")
    (tmp_path / "b.dcm").write_bytes(cine.read_bytes())
    if spoil == "unknown":
        made = DicomReport.made

        def fails(self: Any, source: Any, chunk: Any) -> Any:
            if chunk["name"] == "a.dcm":
                raise KeyError(source.header.PatientName)
            return made(self, source, chunk)

        monkeypatch.setattr(DicomReport, "made", fails)
    else:
        changed(cine, without=(spoil,))
    model = model_of("classification", "x", "y", "z")
    writers = [ClassResults(tmp_path / "out", model), DicomReport(tmp_path / "out", model)]
    with caplog.at_level(logging.DEBUG):
        dataset = run(writers, logits, cine, tmp_path / "b.dcm")
    assert {path.name for path in (tmp_path / "out").glob("*.dcm*")} == {"b.dcm_sr.dcm"}
    assert len(json.loads((tmp_path / "out" / "results.json").read_text())["clips"]) == 2
    assert "a.dcm: no DICOM is written of it" in caplog.text
    assert "Secret" not in caplog.text and "hidden-7" not in caplog.text
    assert (f"found no {spoil}" in caplog.text) == (spoil != "unknown")
    with pytest.raises(InputError, match=r"^of 1 inputs no DICOM could be written: a.dcm .*their other results are in"):
        tell_failed(dataset, tmp_path / "out", writers)


def test_of_other_files_no_dicom_is_written_which_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / name, np.random.default_rng(0).integers(0, 255, (3, 40, 60), np.uint8))
    writer = DicomSegmentation(tmp_path / "out", model_of("segmentation", "lesion"))
    with caplog.at_level(logging.INFO, "bundle"):
        dataset = run([writer], mask, tmp_path / "a.npy", tmp_path / "b.npy")
    assert caplog.text.count("is no DICOM file") == 1 and not (tmp_path / "out").exists()
    tell_failed(dataset, tmp_path / "out", [writer])


def test_a_structure_without_a_known_code(cine: Path, tmp_path: Path) -> None:
    writer = DicomSegmentation(tmp_path, model_of("segmentation", "plexus"))
    run([writer], mask, cine, frames_per_clip=1)
    seg = dcmread(tmp_path / "a.dcm_seg.dcm")
    (code,) = seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence
    assert code.CodeMeaning == "plexus" and len(code.CodeValue) == 16
    assert code.CodingSchemeDesignator == seg.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator
    assert UID(seg.SOPInstanceUID).is_valid


def test_what_cannot_be_written_is_refused_early(monkeypatch: pytest.MonkeyPatch) -> None:
    for task in ("segmentation", "classification"):
        check_dicom_output(task)
    with pytest.raises(InputError, match="dicom: found the task saliency, expected segmentation or classification"):
        check_dicom_output("saliency")
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(InputError, match=r"install it \(pip install highdicom\)"):
        check_dicom_output("segmentation")
