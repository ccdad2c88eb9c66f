# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import bundle.data.phantom.make as phantom_make
from bundle.data import open_datalist
from bundle.data.phantom import CLASSES, ensure_phantom, make_phantom
from bundle.data.phantom.clip import ClipPlan, plan_scene, simulate
from bundle.data.phantom.make import plan_phantom
from bundle.data.phantom.sector import PolarGrid, ScanConverter
from bundle.errors import InputError

pydicom = pytest.importorskip("pydicom")
FRAMES = 3


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom") / "made"
    return make_phantom(folder, seed=3, patients_per_class=1, clips_per_patient=2, n_frames=FRAMES, processes=1)


def rows_of(folder: Path, table: str = "labels.csv") -> list[dict[str, str]]:
    with (folder / table).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def plan(label: str, seed: int = 1, patient: int = 1, n_frames: int = 1) -> ClipPlan:
    return ClipPlan(seed, patient, label, 0, n_frames)


# --- what is made -----------------------------------------------------------------------------------------------------


def test_table_names_every_clip_with_its_class_and_patient(phantom: Path) -> None:
    rows = rows_of(phantom)
    assert Counter(row["label"] for row in rows) == dict.fromkeys(CLASSES, 2)
    assert len({row["video_id"] for row in rows}) == len(rows) == len(list((phantom / "clips").iterdir()))
    assert all(row["video_id"].startswith(row["patient_id"]) and row["video_id"].startswith("phantom-") for row in rows)
    by_patient: dict[str, set[str]] = {}
    for row in rows:
        by_patient.setdefault(row["patient_id"], set()).add(row["label"])
    assert len(by_patient) == len(CLASSES) and all(len(labels) == 1 for labels in by_patient.values())
    assert "Apache-2.0" in (phantom / "README.md").read_text()


def test_patient_numbers_say_nothing_of_the_class() -> None:
    labels = [CLASSES.index(p.label) for p in plan_phantom(0, 16, 1, 1)]
    assert labels != sorted(labels)
    assert abs(np.corrcoef(labels, np.arange(len(labels)))[0, 1]) < 0.25
    assert labels != [CLASSES.index(p.label) for p in plan_phantom(1, 16, 1, 1)]


def test_same_seed_same_bytes_for_any_number_of_processes(phantom: Path, tmp_path: Path) -> None:
    again = make_phantom(
        tmp_path / "b", seed=3, patients_per_class=1, clips_per_patient=2, n_frames=FRAMES, processes=2
    )
    assert contents(again) == contents(phantom)


def test_it_is_known_as_simulated_wherever_it_lies(phantom: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").symlink_to(phantom)
    assert open_datalist(tmp_path / "mine").simulated and open_datalist(tmp_path / "mine").name != "phantom"
    rows = (phantom / "labels.csv").read_text().replace(",yes", ",").splitlines()
    others = tmp_path / "phantom"
    shutil.copytree(phantom, others)
    (others / "labels.csv").write_text("\n".join(rows) + "\n")
    called = open_datalist(others)
    assert called.name == "phantom (not simulated)" and not called.simulated


def test_a_clip_does_not_depend_on_the_number_of_frames_but_on_the_seed() -> None:
    short, long = simulate(plan("heart", n_frames=1)), simulate(plan("heart", n_frames=2))
    np.testing.assert_array_equal(short.frames[0], long.frames[0])
    assert not np.array_equal(short.frames[0], simulate(plan("heart", seed=2)).frames[0])


def test_clips_are_valid_multiframe_dicom(phantom: Path) -> None:
    uids = set()
    for row in rows_of(phantom):
        data = pydicom.dcmread(phantom / row["file"])  # without force: preamble and file meta must be right
        assert data.file_meta.MediaStorageSOPClassUID == data.SOPClassUID == "1.2.840.10008.5.1.4.1.1.3.1"
        assert data.file_meta.MediaStorageSOPInstanceUID == data.SOPInstanceUID
        assert data.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.50"
        assert data.PatientID == str(data.PatientName) == row["patient_id"].upper()
        assert data.PhotometricInterpretation == "MONOCHROME2"
        assert data.FrameIncrementPointer == 0x00181063
        assert 1000 / float(data.FrameTime) == pytest.approx(float(row["fps"]), abs=1e-3)
        uids.add(data.SOPInstanceUID)
        pixels = data.pixel_array
        assert pixels.shape == (FRAMES, int(row["height"]), int(row["width"])) and int(row["frames"]) == FRAMES
        assert pixels.dtype == np.uint8
        (region,) = data.SequenceOfUltrasoundRegions
        assert region.RegionSpatialFormat == region.RegionDataType == 1
        x0, y0, x1, y1 = (region[f"RegionLocation{name}"].value for name in ("MinX0", "MinY0", "MaxX1", "MaxY1"))
        assert 0 <= x0 < x1 < data.Columns and 0 <= y0 < y1 < data.Rows
        # the sector's height is that of the picture's depth and, with a curved probe, a little more
        assert float(row["depth_cm"]) <= (y1 - y0 + 2) * region.PhysicalDeltaY < float(row["depth_cm"]) + 2.5
        # only the sector changes from frame to frame; JPEG spreads it by less than one block
        still = np.ptp(pixels.astype(int), axis=0)
        still[max(y0 - 8, 0) : y1 + 9, max(x0 - 8, 0) : x1 + 9] = 0
        assert still.max() == 0
    assert len(uids) == 2 * len(CLASSES)


@pytest.mark.parametrize("label", CLASSES)
def test_echoes_stay_inside_the_sector_and_texts_outside(label: str) -> None:
    clip = simulate(plan(label, n_frames=2))
    inside = clip.converter.inside
    assert (clip.frames[0] != clip.frames[1])[inside].mean() > 0.3
    assert not (clip.frames[0] != clip.frames[1])[~inside].any()
    x0, y0, x1, y1 = clip.converter.box
    ys, xs = np.nonzero(inside)
    assert (xs.min(), ys.min(), xs.max(), ys.max()) == (x0, y0, x1, y1)
    assert (clip.frames[0][~inside] > 100).sum() > 200  # the machine's texts


def test_masks_are_of_lesions_inside_the_sector_and_move(phantom: Path) -> None:
    import nibabel

    for row in rows_of(phantom):
        assert bool(row["mask"]) == (row["label"] == "liver_lesion")
        if row["mask"]:
            mask = np.asarray(nibabel.load(phantom / row["mask"]).dataobj)
            assert mask.dtype == np.uint8 and set(np.unique(mask)) == {0, 1}
            assert mask.shape == (FRAMES, int(row["height"]), int(row["width"]))
            number = int(row["patient_id"].split("-")[1])
            clip = simulate(ClipPlan(3, number, row["label"], int(row["video_id"][-1]) - 1, FRAMES))
            assert not mask[:, ~clip.converter.inside].any()
            assert (mask.sum(axis=(1, 2)) > 60).all()
            np.testing.assert_array_equal(mask, clip.mask)
            assert (mask[0] != mask[-1]).any()


def test_lesion_mask_is_where_the_picture_differs() -> None:
    gaps = []
    for patient in range(1, 9):
        clip = simulate(plan("liver_lesion", patient=patient))
        mask, frame = clip.mask[0].astype(bool), clip.frames[0].astype(float)  # type: ignore[index]
        x, z = clip.converter.x, clip.converter.z
        centre = clip.scene.centre  # type: ignore[attr-defined]
        ring = np.hypot(x - centre[0], z - centre[1]) < 1.9 * clip.scene.radius  # type: ignore[attr-defined]
        outside = ring & clip.converter.inside & ~mask
        gap = frame[mask].mean() - frame[outside].mean()
        gaps.append(gap * np.sign(clip.scene.lesion_echo - 1))  # type: ignore[attr-defined]
    assert np.mean(np.array(gaps) > 0) >= 0.8 and np.median(gaps) > 8


def test_fixations_are_in_the_frame_and_on_landmarks_mostly(phantom: Path) -> None:
    clips = {row["video_id"]: row for row in rows_of(phantom)}
    fixations = rows_of(phantom, "fixations.csv")
    assert {(f["video_id"], int(f["frame"])) for f in fixations} == {(v, k) for v in clips for k in range(FRAMES)}
    for f in fixations:
        row = clips[f["video_id"]]
        assert 0 <= float(f["x"]) < int(row["width"]) and 0 <= float(f["y"]) < int(row["height"])
        assert float(f["time"]) == pytest.approx(int(f["frame"]) / float(row["fps"]), abs=1e-3)
        assert 0 < float(f["duration"]) < 2
    near = []
    for label in CLASSES:
        clip = simulate(plan(label, n_frames=8))
        for fixation in clip.fixations:
            x, z = clip.converter.to_cm(fixation["x"], fixation["y"])  # type: ignore[arg-type]
            points = clip.scene.landmarks(fixation["time"])
            near.append(np.hypot(points[:, 0] - x, points[:, 1] - z).min() < 1.2)
            assert clip.converter.inside[round(fixation["y"]), round(fixation["x"])]
    assert 0.6 < np.mean(near) < 0.98


# --- how it looks and moves -------------------------------------------------------------------------------------------


def block_correlations(first: np.ndarray, second: np.ndarray, keep: np.ndarray, size: int = 15) -> list[float]:
    found = []
    for y in range(0, first.shape[0] - size, size):
        for x in range(0, first.shape[1] - size, size):
            window = (slice(y, y + size), slice(x, x + size))
            a, b = first[window], second[window]
            if keep[window].all() and a.std() > 4 and b.std() > 4:
                found.append(float(np.corrcoef(a.ravel(), b.ravel())[0, 1]))
    return found


@pytest.mark.parametrize("label", ["liver_lesion", "fetal_head", "heart"])
def test_speckle_moves_with_the_tissue(label: str) -> None:
    from scipy.ndimage import map_coordinates

    followed, ignored = [], []
    for patient in range(1, 6):
        clip = simulate(plan(label, patient=patient, n_frames=5))
        t0, t1 = clip.frame_times[[0, 4]]
        converter, scene = clip.converter, clip.scene
        x, z = scene.moved(*scene.rest(converter.x, converter.z, t0), t1)  # where each pixel's tissue is later
        columns, rows = converter.to_pixels(x, z)
        here_x, here_y = np.meshgrid(np.arange(converter.x.shape[1]), np.arange(converter.x.shape[0]))
        shift = np.hypot(columns - here_x, rows - here_y)
        first, last = (clip.frames[k].astype(float) for k in (0, 4))
        back = map_coordinates(last, [rows, columns], order=1)
        stays = map_coordinates(converter.inside.astype(float), [rows, columns], order=1) > 0.99
        keep = converter.inside & stays & (shift > 2)
        followed += block_correlations(first, back, keep)
        ignored += block_correlations(first, last, keep)
    assert len(followed) >= 15
    assert np.mean(followed) > np.mean(ignored) + 0.25
    assert np.mean(np.array(followed) > np.array(ignored)) > 0.8


@pytest.mark.parametrize("label", CLASSES)
def test_displacement_has_an_inverse_and_starts_at_rest_where_it_should(label: str) -> None:
    device, scene = plan_scene(plan(label))
    converter = ScanConverter(device, PolarGrid.of_beams(device))
    x, z = converter.x[converter.inside].astype(float), converter.z[converter.inside].astype(float)
    x1, z1 = scene.rest(*scene.moved(x, z, 0.4), 0.4)
    error = np.hypot(x1 - x, z1 - z)
    if label.startswith("lung"):  # the lung slides along the chest wall: no inverse in the sliding layer
        error = error[z > scene.pleura + 0.5]  # type: ignore[attr-defined]
    assert np.median(error) < 0.005 and np.quantile(error, 0.99) < 0.05


def test_speckle_is_fully_developed_in_parenchyma() -> None:
    """Envelope of many scatterers: Rayleigh, whose mean is 1.91 times its deviation."""
    from bundle.data.phantom.speckle import PointSpread, unit_speckle

    device, _ = plan_scene(plan("liver_lesion"))
    grid = PolarGrid.of_beams(device)
    rng = np.random.default_rng(0)
    fields = [PointSpread(device, grid)(unit_speckle(rng, grid.shape), np.zeros(1)) for _ in range(20)]
    envelope = np.abs(np.stack(fields)[:, 40:-40, 20:-20])
    assert envelope.mean() / envelope.std() == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.04)


def test_machine_settings_do_not_tell_the_classes() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    clips = [simulate(p) for p in plan_phantom(0, 16, 1, 1)]  # one clip a patient: folds are by patient
    labels = np.array([CLASSES.index(c.plan.label) for c in clips])
    features = np.array(
        [[c.frames[0].mean(), c.frames[0][c.converter.inside].mean(), *c.converter.box, c.device.depth] for c in clips]
    )
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    assert cross_val_score(model, features, labels, cv=folds).mean() < 0.4  # chance is 0.2, its deviation 0.045
    told = features + 2.0 * features.std(axis=0) * np.eye(features.shape[1])[labels]
    assert cross_val_score(model, told, labels, cv=folds).mean() > 0.5  # the test would see a leak


# --- making it safely -------------------------------------------------------------------------------------------------


def tiny(folder: str | Path, **more: int) -> Path:
    return make_phantom(
        folder, **{"patients_per_class": 1, "clips_per_patient": 1, "n_frames": 1, "processes": 1, **more}
    )


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="not empty"):
        tiny(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    assert len(rows_of(tiny(tmp_path / "new"))) == len(CLASSES)


@pytest.mark.parametrize("wrong", [{"patients_per_class": 0}, {"n_frames": 0}, {"clips_per_patient": -1}, {"seed": -1}])
def test_wrong_numbers_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        tiny(tmp_path / "new", **wrong)
    assert not any(tmp_path.iterdir())


def test_an_interrupted_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def interrupted(clip_plan: ClipPlan) -> object:
        calls.append(clip_plan)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return simulate(clip_plan)

    monkeypatch.setattr(phantom_make, "simulate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tiny(tmp_path / "new")
    assert len(calls) == 2 and not any(tmp_path.iterdir())


def test_ensure_makes_once_and_yields_to_who_was_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def make(folder: str | Path) -> Path:
        made.append(folder)
        return tiny(folder)

    monkeypatch.setattr(phantom_make, "make_phantom", make)
    first = ensure_phantom(tmp_path / "a")
    before = contents(first)
    assert ensure_phantom(tmp_path / "a") == first and len(made) == 1 and contents(first) == before

    real = phantom_make._make_all

    def overtaken(*args: object) -> object:
        found = real(*args)  # type: ignore[arg-type]
        os.rename(first, tmp_path / "b")  # another process has put its own in place
        return found

    monkeypatch.setattr(phantom_make, "_make_all", overtaken)
    assert ensure_phantom(tmp_path / "b") == tmp_path / "b"
    assert contents(tmp_path / "b") == before
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_ensure_refuses_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="not empty"):
        ensure_phantom(tmp_path)
