# SPDX-License-Identifier: Apache-2.0
"""Every file that the tables of the real data name opens with the frames and the size that they give."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import numpy as np
import pytest

from bundle.readers import read_cine

SETS = (
    *("breast_bus_uclm", "covid_blues", "dicom_us", "echo_camus", "fetal_head_hc18", "fetal_planes_sononet"),
    *("pocus_devices", "pocus_lung", "tracked_plus"),
)
RESCALED = ("examples_ybr_color.dcm", "examples_palette.dcm")  # region bounds exceed the frame


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_table_is_read(ultrasound_data: Path) -> None:
    assert {table.parent.name for table in ultrasound_data.glob("*/labels.csv")} == set(SETS)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.filterwarnings("ignore:.*reach past the frame", "ignore:Unknown encoding")
def test_frames_and_size_agree_with_the_table(ultrasound_data: Path, name: str) -> None:
    disagree = []
    for row in rows(ultrasound_data / name):
        expected = (int(row.get("frames") or 1), int(row["height"]), int(row["width"]))
        for path in filter(None, (row["file"], row.get("mask"))):
            cine = read_cine(ultrasound_data / name / path, [0])  # all are decoded to be counted, one is converted
            if (cine.meta["n_frames"], *cine.frames.shape[1:3]) != expected:
                disagree.append((path, cine.meta["n_frames"], cine.frames.shape, expected))
            if row.get("fps"):
                times = read_fps(ultrasound_data / name / path)
                if abs(times - float(row["fps"])) > 0.05 * float(row["fps"]):
                    disagree.append((path, times, row["fps"]))
    assert not disagree


def read_fps(path: Path) -> float:
    import av

    with av.open(str(path)) as container:
        return float(container.streams.video[0].average_rate)


@pytest.mark.filterwarnings("ignore:Unknown encoding")
def test_dicom_tables(ultrasound_data: Path) -> None:
    for row in rows(ultrasound_data / "dicom_us"):
        path = ultrasound_data / "dicom_us" / row["file"]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            cine = read_cine(path)
        rescaled = any("calibration is dropped" in str(w.message) for w in caught)
        assert rescaled == (path.name in RESCALED)
        assert cine.meta["transfer_syntax"] == row["transfer_syntax_uid"]
        assert cine.meta["photometric_interpretation"] == row["photometric"]
        assert cine.frames.shape[-1] == (1 if row["photometric"].startswith("MONO") else 3)
        if row["frame_time_ms"]:
            expected = np.arange(int(row["frames"])) * float(row["frame_time_ms"]) / 1000
            np.testing.assert_allclose(cine.meta["frame_times"], expected)
        else:
            assert "frame_times" not in cine.meta
        flat = [k for k, form in enumerate(row["region_spatial_formats"].split(";")) if form == "1"]
        if flat and not rescaled:
            delta = 10 * float(row["physical_delta_x"].split(";")[flat[0]])
            assert cine.meta["spacing"] == pytest.approx((delta, delta))
            bounds = [int(n) for n in row["region_bounds"].split(";")[flat[0]].split(",")]
            width, height = int(row["width"]), int(row["height"])
            ends = [min(bounds[2] + 1, width), min(bounds[3] + 1, height)]
            assert cine.meta["regions"][flat[0]]["box"] == bounds[:2] + ends
            kinds = {"1": "2d", "4": "waveform"}
            every = zip(row["region_bounds"].split(";"), row["region_spatial_formats"].split(";"), strict=True)
            # one file has an ECG region that begins and ends at column 743
            expected = [kinds[form] for bounds, form in every if bounds.split(",")[0] != bounds.split(",")[2]]
            assert [r["kind"] for r in cine.meta["regions"]] == expected
        else:
            assert "spacing" not in cine.meta


@pytest.mark.filterwarnings("ignore")
def test_dicom_pixels_agree_with_gdcm(ultrasound_data: Path) -> None:
    itk = pytest.importorskip("itk")
    left_out = {
        "GH364.dcm",  # ITK refuses the file
        "sonoque_axial-lateral-resolution-2020.dcm",  # ITK shows the JPEG's YCbCr as RGB, in false colours
    }
    compared = 0
    for path in sorted((ultrasound_data / "dicom_us" / "files").iterdir()):
        if path.name in left_out:
            continue
        frames = read_cine(path).frames
        reference = itk.array_from_image(itk.imread(str(path))).reshape(frames.shape)
        # the one with a window (127, 254) is stretched by 1/253 here, ITK leaves it alone
        limit = 2 if path.name == "JPGLosslessP14SV1_1s_1f_8b.dcm" else 1
        assert np.abs(frames.astype(int) - reference).max() <= limit, path.name
        compared += 1
    assert compared == 15


def test_one_clip_in_several_encodings(ultrasound_data: Path) -> None:
    files = ultrasound_data / "dicom_us" / "files"

    def frames(name: str) -> np.ndarray:
        return read_cine(files / f"{name}.dcm").frames.astype(int)

    np.testing.assert_array_equal(frames("US-PAL-8-10x-echo"), frames("jpeg-ls-Palette"))
    np.testing.assert_array_equal(frames("OBXXXX1A_2frame"), frames("OBXXXX1A_rle_2frame"))
    np.testing.assert_array_equal(frames("US1_UNCR"), frames("examples_jpeg2k"))
    assert np.abs(frames("US1_UNCR") - frames("US1_J2KI")).mean() < 2


def test_grey_clip_in_an_rgb_jpeg(ultrasound_data: Path) -> None:
    """This file says RGB and holds YCbCr: read by its word it would be green and pink."""
    path = ultrasound_data / "dicom_us" / "files" / "sonoque_axial-lateral-resolution-2020.dcm"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        levels = read_cine(path).frames.reshape(-1, 3).mean(0)
    assert np.ptp(levels) < 0.1


def test_camus_shows_the_apex_on_top(ultrasound_data: Path) -> None:
    (row,) = rows(ultrasound_data / "echo_camus")
    cine = read_cine(ultrasound_data / "echo_camus" / row["file"])
    assert cine.frames.shape == (15, 422, 512, 1)
    assert cine.meta["spacing"] == pytest.approx((0.308, 0.308), abs=1e-6)
    lit = (cine.frames[..., 0] > 0).mean(axis=(0, 2))  # share of lit pixels in each row
    assert lit[:20].max() < 0.1 < 0.5 < lit[250:300].min()
    across = (cine.frames[..., 0] > 0).mean(axis=(0, 1))
    assert abs(across[:256].mean() - across[256:].mean()) < 0.05  # and the sector stands upright


def test_plus_times(ultrasound_data: Path) -> None:
    cine = read_cine(ultrasound_data / "tracked_plus" / "sequences" / "BoneUltrasound_L14.igs.mha")
    times = cine.meta["frame_times"]
    assert times[0] == 0 and times[1] == pytest.approx(232.628014 - 232.542071)
    assert len(times) == 21 and (np.diff(times) > 0).all() and "spacing" not in cine.meta


@pytest.mark.parametrize(
    "name",
    [
        "pocus_lung/videos/convex/Cov-Atlas-Day+2.gif",
        "pocus_lung/videos/convex/Pneu_liftl_pneu_case3_clip3.mp4",
        "pocus_lung/videos/convex/pneu-radiopaeda.mp4",
        "pocus_lung/videos/convex/Reg_recommendations_alines_mov1.mov",
        "pocus_lung/videos/convex/Reg_northumbria_1009_vid1.avi",
        "pocus_lung/videos/convex/Pneu_northumbria_0409_set6_vid8.avi",
        "pocus_lung/videos/convex/Reg_pat4Image_140434.mpeg",
        "pocus_lung/videos/linear/Vir_prospective_file2.mp4",
    ],
)
def test_chosen_frames_of_real_clips(ultrasound_data: Path, name: str) -> None:
    path = ultrasound_data / name
    whole = read_cine(path)
    count = len(whole.frames)
    chosen = [*np.random.default_rng(0).integers(0, count, 5), 0, count - 1]
    some = read_cine(path, chosen)
    np.testing.assert_array_equal(some.frames, whole.frames[chosen])
    np.testing.assert_array_equal(some.meta["frame_times"], whole.meta["frame_times"][chosen])
    assert some.meta["n_frames"] == count


def test_gifs_agree_with_pillow(ultrasound_data: Path) -> None:
    from PIL import Image

    path = ultrasound_data / "pocus_lung" / "videos" / "convex" / "Cov-Atlas-Day+2.gif"
    frames = read_cine(path).frames
    with Image.open(path) as image:
        for k, frame in enumerate(frames):
            image.seek(k)
            np.testing.assert_array_equal(frame, np.asarray(image.convert("RGB")))
