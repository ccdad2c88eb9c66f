# SPDX-License-Identifier: Apache-2.0
"""The sector found in real clips and stills, against boxes drawn by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bundle.readers import read_cine
from bundle.transforms import CropToSector, find_sector, preprocessing
from bundle.transforms.cine_array import cine_tensor
from bundle.transforms.grey import luma

LUNG = "pocus_lung/videos/convex/"
# file, frames to read (None for all), box around the sector as seen on a grid (xyxy, pixels), smallest overlap
BOXES = [
    ("pocus_devices/videos/butterfly-ocular-phantom.mp4", range(0, 48, 4), (77, 202, 689, 889), 0.9),
    ("pocus_devices/videos/clarius-ocular-short.mp4", range(0, 50, 4), (261, 85, 1016, 875), 0.9),
    ("pocus_devices/videos/sonosite-anon-eye1-video.mp4", range(0, 60, 5), (386, 40, 725, 639), 0.9),
    (LUNG + "Pneu_Avi_Video_004.mp4", range(0, 24, 2), (0, 0, 606, 516), 0.9),
    (LUNG + "Reg_Avi_Image004.mp4", None, (0, 0, 586, 534), 0.9),
    (LUNG + "Pneu_liftl_pneu_case3_clip4.mp4", range(0, 24, 2), (0, 0, 306, 265), 0.9),
    (LUNG + "Reg_pat2Image_134441.mpeg", range(0, 24, 2), (0, 0, 370, 363), 0.9),
    ("pocus_lung/videos/linear/Reg_Image_181432_crop.mp4", range(0, 24, 2), (0, 0, 204, 242), 0.9),
    ("pocus_lung/videos/linear/Cov-Atlas-pleural2.mp4", range(0, 24, 2), (0, 0, 414, 414), 0.9),
    ("covid_blues/videos/patient_1_R3.mp4", None, (0, 0, 350, 315), 0.9),
    ("dicom_us/files/US-PAL-8-10x-echo.dcm", None, (110, 4, 486, 352), 0.9),
    ("dicom_us/files/examples_ybr_color.dcm", None, (40, 19, 297, 202), 0.85),  # its region lies beside the picture
    ("dicom_us/files/US-RGB-8-epicard.dcm", None, (87, 57, 552, 411), 0.9),
    ("dicom_us/files/JPGLosslessP14SV1_1s_1f_8b.dcm", None, (139, 164, 902, 658), 0.9),
    ("dicom_us/files/US1_UNCR.dcm", None, (12, 107, 623, 336), 0.85),
    ("dicom_us/files/sonoque_axial-lateral-resolution-2020.dcm", None, (373, 60, 1706, 1409), 0.85),
    ("breast_bus_uclm/images/CHCO_000.png", None, (134, 0, 743, 606), 0.9),
    ("fetal_head_hc18/images/000_HC.png", None, (33, 0, 760, 540), 0.9),
    ("fetal_planes_sononet/images/ABDOMINAL.png", None, (49, 73, 893, 735), 0.9),
    ("fetal_planes_sononet/images/BRAIN-TV.png", None, (0, 73, 957, 735), 0.9),
    ("echo_camus/sequences/patient0500_2CH_half_sequence.nii.gz", None, (0, 0, 512, 421), 0.9),
    ("tracked_plus/sequences/BoneUltrasound_L14.igs.mha", None, (177, 0, 643, 616), 0.9),
    # known to be hard, all stills: corners darker than 5 grey levels, a part behind a shadow, text joined to the tissue
    ("dicom_us/files/GH364.dcm", None, (140, 132, 955, 725), 0.7),
    ("fetal_planes_sononet/images/RVOT.png", None, (55, 73, 905, 735), 0.8),
    ("dicom_us/files/examples_rgb_color.dcm", None, (6, 53, 312, 168), 0.65),
]
DEVICE_TEXT = [  # file, frames, boxes of burned-in text and logos
    (
        "pocus_devices/videos/butterfly-ocular-phantom.mp4",
        range(0, 48, 4),
        [(110, 25, 150, 65), (290, 0, 480, 20), (740, 200, 776, 1000)],
    ),
    (
        "pocus_devices/videos/sonosite-anon-eye1-video.mp4",
        range(0, 60, 5),
        [(0, 60, 100, 140), (150, 650, 380, 720), (860, 600, 960, 720), (790, 0, 960, 40)],
    ),
]


def overlap(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    """Intersection over union of two xyxy boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def read(path: Path, frames: range | None) -> tuple[np.ndarray, list | None]:
    """Grey frames ``(T, H, W)`` and regions."""
    cine = read_cine(path, frames)
    channels_first = np.moveaxis(cine.frames, -1, 0)
    return channels_first[0] if len(channels_first) == 1 else luma(channels_first), cine.meta.get("regions")


@pytest.fixture(scope="module")
def overlaps(ultrasound_data: Path) -> dict[str, float]:
    found = {}
    for name, frames, box, _ in BOXES:
        found[name] = overlap(find_sector(*read(ultrasound_data / name, frames)).box, box)
    print("\n".join(f"{value:.3f} {name}" for name, value in found.items()))
    print(f"mean {np.mean(list(found.values())):.3f}")
    return found


@pytest.mark.parametrize(("name", "least"), [(name, least) for name, _, _, least in BOXES])
def test_box_agrees_with_one_drawn_by_hand(overlaps: dict[str, float], name: str, least: float) -> None:
    assert overlaps[name] >= least


def test_boxes_agree_on_average(overlaps: dict[str, float]) -> None:
    assert np.mean(list(overlaps.values())) >= 0.93


@pytest.mark.parametrize(("name", "frames", "texts"), DEVICE_TEXT)
def test_text_around_the_sector_does_not_survive(ultrasound_data: Path, name: str, frames: range, texts: list) -> None:
    grey, _ = read(ultrasound_data / name, frames)
    cropped = CropToSector()(cine_tensor(grey[None], {}))
    x0, y0, x1, y1 = cropped.meta["sector_box"]
    back = np.zeros_like(grey)
    back[:, y0:y1, x0:x1] = cropped[0].numpy()
    for left, top, right, bottom in texts:
        assert grey[:, top:bottom, left:right].max() > 100  # there is text
        assert back[:, top:bottom, left:right].max() == 0


@pytest.mark.parametrize("name", ["OBXXXX1A_2frame.dcm", "no-pixel-spacing.dcm", "YBR_422.dcm"])
def test_the_region_of_a_dicom_file_is_the_box(ultrasound_data: Path, name: str) -> None:
    grey, regions = read(ultrasound_data / "dicom_us/files" / name, None)
    assert regions
    fit = find_sector(grey, regions)
    assert fit.source == "region"
    assert list(fit.box) == list(next(r["box"] for r in regions if r["kind"] == "2d"))


def test_clips_that_are_cropped_already_stay_nearly_whole(ultrasound_data: Path) -> None:
    kept = []
    for path in sorted((ultrasound_data / LUNG).iterdir())[::6]:
        grey, _ = read(path, range(0, 24, 3))
        fit = find_sector(grey)
        kept.append((fit.box[2] - fit.box[0]) * (fit.box[3] - fit.box[1]) / grey[0].size)
    assert np.median(kept) > 0.95
    assert min(kept) > 0.6


def test_preprocessing_of_a_clip(ultrasound_data: Path) -> None:
    path = ultrasound_data / "dicom_us/files/US-PAL-8-10x-echo.dcm"
    chain = preprocessing(64)
    sample = chain({"image": str(path), "label": "x"})
    cine = sample["image"]
    assert cine.shape == (1, 10, 64, 64) and str(cine.dtype) == "torch.uint8"
    assert sample["label"] == "x"
    assert cine.meta["original_size"] == (430, 600)
    assert cine.meta["sector_source"] == "frames"
    assert np.array_equal(chain({"image": str(path)})["image"], cine)
