# SPDX-License-Identifier: Apache-2.0
"""Figures of masks and boxes against slow references and known values."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bundle.data import FrameCache, MaskedDataset, open_datalist
from bundle.errors import InputError
from bundle.metrics import (
    SegmentationMetric,
    average_precision,
    ellipse_circumference,
    free_response,
    mask_figures,
    match_boxes,
    patient_mean,
    summarise_frames,
)
from bundle.metrics.box_figures import ap_interval, best_box_iou
from bundle.metrics.mask_figures import number_above_0, pixel_spacing
from bundle.transforms import EvenFramesd, MaskAlongd, mask_preprocessing, preprocessing


def disc(x: float, y: float, a: float, b: float | None = None, turn: float = 0.0) -> np.ndarray:
    rows, columns = np.mgrid[:120, :160] + 0.5
    u = (columns - x) * math.cos(turn) + (rows - y) * math.sin(turn)
    v = (rows - y) * math.cos(turn) - (columns - x) * math.sin(turn)
    return (u / a) ** 2 + (v / (b or a)) ** 2 < 1


def slow_hd95(one: np.ndarray, other: np.ndarray, spacing: tuple[float, float]) -> float:
    """From every outline pixel to the nearest of the other outline, with loops over pixels."""

    def outline(mask: np.ndarray) -> np.ndarray:
        inside = np.pad(mask, 1)
        around = inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
        return np.argwhere(mask & ~around) * np.array(spacing)

    edges = outline(one), outline(other)
    sides = [
        np.quantile([np.sqrt(((point - to) ** 2).sum(axis=1)).min() for point in points], 0.95)
        for points, to in (edges, edges[::-1])
    ]
    return float(max(sides))


def test_overlap_of_squares() -> None:
    true, found = np.zeros((2, 30, 50), bool)
    true[5:15, 10:30] = True
    found[5:15, 20:40] = True
    figures = mask_figures(found, true)
    assert figures["dice"] == pytest.approx(0.5) and figures["iou"] == pytest.approx(1 / 3)
    assert figures["sensitivity"] == pytest.approx(0.5) and figures["ppv"] == pytest.approx(0.5)
    assert figures["hd95_px"] == pytest.approx(10) and figures["hd95_mm"] is None
    figures = mask_figures(found, true, (0.1, 0.2))
    assert figures["hd95_mm"] == pytest.approx(2.0) and figures["hd95_px"] is None
    figures = mask_figures(true, true)
    assert [figures[name] for name in ("dice", "iou", "sensitivity", "ppv", "hd95_px")] == [1, 1, 1, 1, 0]


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.3, 0.12)])
def test_distance_against_loops(spacing: tuple[float, float]) -> None:
    for found, true in (
        (disc(70, 60, 30, 18, 0.4), disc(76, 55, 25)),
        (disc(20, 100, 12), disc(120, 30, 15)),
        (disc(60, 60, 20) | disc(150, 10, 6), disc(60, 60, 22)),
    ):
        figures = mask_figures(found, true, spacing)
        assert figures["hd95_mm"] == pytest.approx(slow_hd95(found, true, spacing), rel=1e-4)
        assert mask_figures(true, found, spacing)["hd95_mm"] == pytest.approx(figures["hd95_mm"], rel=1e-4)


def test_what_an_empty_mask_means() -> None:
    nothing, something = np.zeros((120, 160), bool), disc(60, 60, 20)
    assert set(mask_figures(nothing, nothing).values()) == {None}
    missed = mask_figures(nothing, something, (1, 1))
    assert (missed["dice"], missed["iou"], missed["sensitivity"]) == (0, 0, 0)
    assert missed["ppv"] is None and missed["hd95_mm"] is None
    false = mask_figures(something, nothing, (1, 1))
    assert false["ppv"] == 0 and {false[name] for name in ("dice", "iou", "sensitivity", "hd95_mm")} == {None}


def slow_circumference(a: float, b: float) -> float:
    """Of an ellipse, by 20000 short lines."""
    t = np.linspace(0, 2 * math.pi, 20001)
    return float(np.hypot(np.diff(a * np.cos(t)), np.diff(b * np.sin(t))).sum())


@pytest.mark.parametrize(("a", "b", "turn"), [(30, 30, 0), (50, 31, 0.5), (48, 20, 1.3)])
def test_circumference_of_ellipses(a: float, b: float, turn: float) -> None:
    mask = disc(80, 60, a, b, turn) | disc(5, 5, 4)  # dust does not count
    assert ellipse_circumference(mask, (1, 1)) == pytest.approx(slow_circumference(a, b), rel=0.003)
    assert ellipse_circumference(mask, (0.2, 0.2)) == pytest.approx(0.2 * slow_circumference(a, b), rel=0.003)
    assert ellipse_circumference(np.zeros((9, 9), bool)) is None


def test_circumference_in_pixels_that_are_not_square() -> None:
    rows, columns = np.mgrid[:120, :160] + 0.5
    mask = ((columns - 80) / 40) ** 2 + ((rows - 60) / 50) ** 2 < 1
    assert ellipse_circumference(mask, (0.5, 1.0)) == pytest.approx(slow_circumference(40, 25), rel=0.003)


def test_circumference_of_the_true_masks_of_hc18_is_the_published_one(ultrasound_data: Path) -> None:
    folder = ultrasound_data / "fetal_head_hc18"
    with (folder / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))[::20]
    for row in rows:
        size = float(row["pixel_size_mm"])
        mask = np.asarray(Image.open(folder / row["mask"]).convert("L")) > 0
        measured = ellipse_circumference(mask, (size, size))
        assert measured == pytest.approx(float(row["head_circumference_mm"]), rel=0.02)


def test_a_head_seen_by_the_network_has_about_the_published_circumference(
    ultrasound_data: Path, tmp_path: Path
) -> None:
    """True masks through the network's square of 96 pixels and back."""
    datalist = open_datalist(ultrasound_data / "fetal_head_hc18", fractions={"training": 1.0})
    records = datalist.training[::30]
    dataset = MaskedDataset(
        records,
        FrameCache(tmp_path, preprocessing(96)),
        FrameCache(tmp_path, mask_preprocessing()),
        lambda item: MaskAlongd()(EvenFramesd(n_frames=1)(item)),
    )
    metric = SegmentationMetric(dataset)
    batch = {"index": torch.arange(len(records)), "frame_index": torch.zeros(len(records), 1, dtype=torch.int64)}
    metric.update((torch.stack([20 * dataset[k]["mask"] - 10 for k in range(len(records))]), batch))
    for item, record in zip(metric.items, records, strict=True):
        assert item["dice"] > 0.97 and item["hd95_mm"] < 3
        assert item["circumference_error_mm"] < 0.03 * float(record["head_circumference_mm"])
    nothing = metric.frame_item(
        torch.full((1, 96, 96), -9.0), dataset.item(0)["mask"][0] > 0, records[0], dataset.item(0)["meta"]
    )
    assert nothing["missed"] == 1 and nothing["dice"] == 0
    assert nothing["circumference_error_mm"] == float(records[0]["head_circumference_mm"])


def test_spacing_of_the_original_pixels() -> None:
    meta = {"spacing": [0.4, 0.6], "resize_scale": 0.5}
    assert pixel_spacing({}, meta) == pytest.approx((0.2, 0.3))
    assert pixel_spacing({"pixel_size_mm": "0.07"}, meta) == (0.07, 0.07)
    assert pixel_spacing({"pixel_size_mm": ""}, {"resize_scale": 0.5}) is None
    for cell in ("0", "-1", "small", "nan", "inf"):
        with pytest.raises(InputError, match="pixel_size_mm is"):
            pixel_spacing({"pixel_size_mm": cell, "video_id": "a"}, meta)


def test_a_measured_circumference_is_a_number_or_blank() -> None:
    assert number_above_0({"head_circumference_mm": "172.5"}, "head_circumference_mm") == 172.5
    assert number_above_0({"head_circumference_mm": ""}, "head_circumference_mm") is None
    with pytest.raises(InputError, match="a: head_circumference_mm is 'n/a'; expected a number of mm"):
        number_above_0({"head_circumference_mm": "n/a", "video_id": "a"}, "head_circumference_mm")


def test_a_patient_with_many_frames_counts_once() -> None:
    values, patients = [1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"]
    mean = patient_mean(values, patients)
    assert mean.value == 0.5 and mean.low == 0 and mean.high == 1
    summary = summarise_frames(
        [{"patient_id": p, "dice": v, "iou": None} for p, v in zip(patients, values, strict=True)], ["dice", "iou"]
    )
    assert summary["dice"]["per_frame"] == 0.75 and summary["dice"]["patients"] == 2 and "iou" not in summary


def iou(a: list[float], b: list[float]) -> float:
    w, h = (max(0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1))
    return w * h / (sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - w * h)


def slow_hits(frames: list[dict[str, Any]], threshold: float) -> list[tuple[float, bool]]:
    """Score and hit of every box, the best score first."""
    told = []
    for frame in frames:
        free = set(range(len(frame["true_boxes"])))
        for k in sorted(range(len(frame["boxes"])), key=lambda k: -frame["scores"][k]):
            fitting = [m for m in free if iou(frame["boxes"][k], frame["true_boxes"][m]) >= threshold]
            best = max(fitting, key=lambda m: iou(frame["boxes"][k], frame["true_boxes"][m]), default=None)
            free -= {best}
            told.append((frame["scores"][k], best is not None))
    return sorted(told, key=lambda pair: -pair[0])


def slow_ap(frames: list[dict[str, Any]], threshold: float) -> float:
    lesions = sum(len(frame["true_boxes"]) for frame in frames)
    points, hits = [], 0
    for count, (_, hit) in enumerate(slow_hits(frames, threshold), start=1):
        hits += hit
        points.append((hits / lesions, hits / count))
    return float(
        np.mean([max((p for r, p in points if r >= recall - 1e-9), default=0) for recall in np.arange(101) / 100])
    )


@pytest.fixture(scope="module")
def frames() -> list[dict[str, Any]]:
    """Boxes near and beside the true ones, in frames with none, one and two lesions."""
    random = np.random.default_rng(5)
    made = []
    for k in range(24):
        low = random.uniform(0, 60, (k % 3, 2))
        true = np.concatenate([low, low + random.uniform(15, 40, low.shape)], axis=1)
        near = true + random.normal(0, 3, true.shape)
        corner = random.uniform(0, 80, (2, 2))
        beside = np.concatenate([corner, corner + random.uniform(8, 25, corner.shape)], axis=1)
        boxes = np.concatenate([near, beside])
        scores = np.concatenate([random.beta(4, 2, len(near)), random.beta(2, 4, len(beside))])
        made.append({"boxes": boxes.tolist(), "scores": scores.tolist(), "true_boxes": true.tolist()})
    return made


def test_average_precision_against_loops(frames: list[dict[str, Any]]) -> None:
    found = average_precision(match_boxes(frames))
    assert found is not None
    assert found["ap50"] == pytest.approx(slow_ap(frames, 0.5), abs=1e-6) and 0.3 < found["ap50"] < 0.99
    thresholds = np.arange(10) * 0.05 + 0.5
    assert found["ap"] == pytest.approx(np.mean([slow_ap(frames, t) for t in thresholds]), abs=1e-6)


def test_free_response_against_loops(frames: list[dict[str, Any]]) -> None:
    response = free_response(match_boxes(frames))
    assert response is not None
    lesions = sum(len(frame["true_boxes"]) for frame in frames)
    told = slow_hits(frames, 0.5)
    for rate, sensitivity in zip(response["false_boxes"], response["sensitivity"], strict=True):
        # of the thresholds with this rate one gives this sensitivity
        reached = [
            sum(hit for score, hit in told if score >= least) / lesions
            for least in [score for score, _ in told] + [2.0]
            if sum(not hit for score, hit in told if score >= least) / len(frames) == pytest.approx(rate)
        ]
        assert any(sensitivity == pytest.approx(value) for value in reached)
    # the lowest score counts, too
    assert response["sensitivity"][0] == pytest.approx(sum(hit for _, hit in told) / lesions)
    assert response["false_boxes"][0] == pytest.approx(sum(not hit for _, hit in told) / len(frames))
    assert list(response["at"].values()) == sorted(response["at"].values())


def test_perfect_empty_and_wrong_boxes() -> None:
    true = [[10.0, 5.0, 40.0, 20.0]]
    perfect = [{"boxes": true, "scores": [0.9], "true_boxes": true}]
    swapped = [{"boxes": [[5.0, 10.0, 20.0, 40.0]], "scores": [0.9], "true_boxes": true}]
    silent: list[dict[str, Any]] = [{"boxes": [], "scores": [], "true_boxes": true}]
    clean: list[dict[str, Any]] = [{"boxes": true, "scores": [0.9], "true_boxes": []}]
    for some, ap, sensitivity in ((perfect, 1.0, 1.0), (swapped, 0.0, 0.0), (silent, 0.0, 0.0)):
        found, response = average_precision(match_boxes(some)), free_response(match_boxes(some))
        assert found is not None and response is not None
        assert found == {"ap50": pytest.approx(ap, abs=1e-6), "ap": pytest.approx(ap, abs=1e-6)}
        assert response["score"] == pytest.approx(sensitivity)
    assert average_precision(match_boxes(clean)) is None and free_response(match_boxes(clean)) is None
    assert average_precision([]) is None
    assert [best_box_iou(some[0]) for some in (perfect, silent, clean)] == [pytest.approx(1), 0, None]
    # a false box in a frame without a lesion costs precision
    both = average_precision(match_boxes([{**perfect[0], "scores": [0.5]}, *clean]))
    assert both is not None and both["ap50"] == pytest.approx(0.5)


def test_interval_over_patients(frames: list[dict[str, Any]]) -> None:
    patients = [f"p{k // 4}" for k in range(len(frames))]
    interval = ap_interval(frames, patients)
    assert interval is not None and interval.low < interval.value < interval.high
    one = ap_interval(frames, ["p"] * len(frames))
    assert one is not None and one.low == one.value == one.high
    assert ap_interval([{"boxes": [], "scores": [], "true_boxes": []}], ["p"]) is None
