# SPDX-License-Identifier: Apache-2.0
"""The transform of a clip: what the label says is what is done, in the units that are told."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from bundle.errors import InputError
from bundle.transforms import ClipGeometry
from bundle.transforms.clip_geometry import UNITS, round_window

SIDE = 96
KINDS = [
    {},
    {"anisotropic": True},
    {"flip": 0.5},
    {"anisotropic": True, "flip": 0.3, "rotation": 180, "shift": 0.1},
    {"shear": 0, "shift": 0},
]


def labels(geometry: ClipGeometry, count: int, seed: int = 0) -> torch.Tensor:
    random = np.random.RandomState(seed)
    return torch.stack([geometry.draw(random) for _ in range(count)])


def composed(geometry: ClipGeometry, label: torch.Tensor) -> np.ndarray:
    """The map as the docstring says it: flip, scale, shear, rotation, shift, one after the other, in pixels' axes."""
    value = dict(zip(geometry.names, geometry.values(label.double()).tolist(), strict=True))
    flip = np.diag([-1.0 if value.get("flip", 0) > 0.5 else 1.0, 1.0])
    both = value.get("scale", 0.0)
    scale = np.diag(np.exp([value.get("scale_x", both), value.get("scale_y", both)]))
    shear = np.array([[1.0, math.tan(math.radians(value.get("shear", 0)))], [0.0, 1.0]])
    angle = math.radians(value.get("rotation", 0))
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    shift = 2 * np.array([[value.get("shift_x", 0)], [value.get("shift_y", 0)]])
    return np.hstack([rotation @ shear @ scale @ flip, shift])


def blobs(points: np.ndarray) -> torch.Tensor:
    """One picture ``(1, SIDE, SIDE)`` a point, a Gaussian spot at that place (-1 to 1, x and y)."""
    axis = (np.arange(SIDE) * 2 + 1) / SIDE - 1
    spots = [np.exp(-((axis[None] - x) ** 2 + (axis[:, None] - y) ** 2) / (2 * 0.05**2)) for x, y in points]
    return torch.as_tensor(np.stack(spots)[:, None], dtype=torch.float32)


def centres(pictures: torch.Tensor) -> np.ndarray:
    """Where the spots are ``(n, 2)``, -1 to 1."""
    axis = (torch.arange(SIDE) * 2 + 1) / SIDE - 1
    mass = pictures[:, 0].double() / pictures[:, 0].double().sum(dim=(1, 2), keepdim=True)
    return torch.stack([(mass.sum(1) * axis).sum(1), (mass.sum(2) * axis).sum(1)], dim=1).numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_the_applied_map_is_had_back_from_the_label(kind):
    """Spots are looked for in both clips; the map fitted to their places is the label's matrix."""
    geometry = ClipGeometry(**kind)
    points = np.array([[-0.1, -0.15], [0.2, -0.05], [-0.2, 0.1], [0.1, 0.2], [0.0, 0.0]])
    for label in labels(geometry, 8):
        original, transformed = geometry.show(blobs(points), label)
        before, after = centres(original), centres(transformed)
        fitted = np.linalg.lstsq(np.hstack([before, np.ones((5, 1))]), after, rcond=None)[0].T
        expected = geometry.matrix_from_label(label.double()).numpy()
        assert np.abs(fitted - expected).max() < 4e-3
        assert np.abs(expected - composed(geometry, label)).max() < 1e-12


@pytest.mark.parametrize("kind", KINDS)
def test_the_label_is_had_back_from_the_matrix(kind):
    """By QR decomposition, so that no two labels have one map."""
    geometry = ClipGeometry(**kind)
    for label in labels(geometry, 50):
        matrix = geometry.matrix_from_label(label.double()).numpy()
        linear, shift = matrix[:, :2], matrix[:, 2] / 2
        flipped = np.linalg.det(linear) < 0
        linear = linear @ np.diag([-1.0 if flipped else 1.0, 1.0])
        turn, upper = np.linalg.qr(linear)
        signs = np.sign(np.diag(upper))
        turn, upper = turn * signs, upper * signs[:, None]
        found = {
            "rotation": math.degrees(math.atan2(turn[1, 0], turn[0, 0])),
            "scale": math.log(upper[0, 0]),
            "scale_x": math.log(upper[0, 0]),
            "scale_y": math.log(upper[1, 1]),
            "shear": math.degrees(math.atan(upper[0, 1] / upper[1, 1])),
            "shift_x": shift[0],
            "shift_y": shift[1],
            "flip": float(flipped),
        }
        back = geometry.label(torch.tensor([found[name] for name in geometry.names], dtype=torch.float64))
        assert torch.allclose(back, label.double(), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_have_mean_0_and_unit_variance_and_values_stay_in_range(kind):
    geometry = ClipGeometry(**kind)
    drawn = labels(geometry, 4000)
    assert drawn.shape == (4000, len(geometry)) and drawn.dtype == torch.float32
    assert drawn.mean(0).abs().max() < 4 / math.sqrt(4000)
    assert (drawn.std(0) - 1).abs().max() < 0.04
    assert (torch.corrcoef(drawn.T) - torch.eye(len(geometry))).abs().max() < 5 / math.sqrt(4000)
    ends = {
        "rotation": geometry.rotation,
        "shear": geometry.shear,
        "shift_x": geometry.shift,
        "shift_y": geometry.shift,
    }
    ends |= dict.fromkeys(("scale", "scale_x", "scale_y"), math.log(1 + geometry.scale)) | {"flip": 1.0}
    for name, values in zip(geometry.names, geometry.values(drawn).T, strict=True):
        assert 0.98 * ends[name] < values.abs().max() < ends[name] * (1 + 1e-5)
    assert torch.allclose(geometry.label(geometry.values(drawn)), drawn, atol=1e-5)
    assert set(geometry.names) <= set(UNITS)


def test_positive_rotation_is_clockwise_as_seen():
    geometry = ClipGeometry(rotation=90, scale=0, shear=0, shift=0)
    right = blobs(np.array([[0.3, 0.0]]))
    _, turned = geometry.show(right, geometry.label(torch.tensor([90.0])))
    x, y = centres(turned)[0]
    assert abs(x) < 0.01 and y > 0.2, "what was right is below: y runs down"


def test_all_frames_of_a_clip_get_the_same_map_and_the_original_none():
    geometry = ClipGeometry()
    frame = torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    original, transformed = geometry.show(frame.expand(3, 1, SIDE, SIDE), labels(geometry, 1)[0])
    assert original.shape == transformed.shape == (3, 1, SIDE, SIDE)
    for clip in (original, transformed):
        assert torch.equal(clip, clip[:1].expand_as(clip))
    nothing = geometry.label(torch.zeros(len(geometry)))
    original, transformed = geometry.show(frame, nothing)
    assert torch.allclose(original, transformed, atol=1e-5), "both are resampled once, in the same way"
    assert not torch.allclose(original, geometry.show(frame, labels(geometry, 1)[0])[1], atol=0.1)


@pytest.mark.parametrize(
    "kind", [*KINDS, {"rotation": 180, "scale": 1.0, "shear": 45, "shift": 0.3, "anisotropic": True}]
)
def test_no_map_shows_the_frames_edge(kind):
    """A white frame stays white in the whole window, at the ends of all ranges too: no black corner tells the map."""
    geometry = ClipGeometry(**kind)
    white = torch.ones(1, 1, 64, 64)
    corners = torch.randint(0, 2, (20, len(geometry)), generator=torch.Generator().manual_seed(0))
    ends = math.sqrt(3) * (2.0 * corners - 1)
    if geometry.flip:
        ends[:, geometry.names.index("flip")] = 0
    for label in [*labels(geometry, 10), *ends]:
        shown = round_window(geometry.show(white, label))
        assert torch.allclose(shown, round_window(torch.ones_like(shown)), atol=1e-5)


def test_a_field_of_ones_own_is_used_and_may_show_edges():
    assert ClipGeometry(field=0.4).window == 0.4
    whole = ClipGeometry(rotation=0, scale=0.5, shear=0, shift=0, field=1.0)
    smaller = torch.tensor([-math.sqrt(3)])
    shown = round_window(whole.show(torch.ones(1, 1, 64, 64), smaller))
    assert (shown[1] < 0.5).sum() > (shown[0] < 0.5).sum() + 500


def test_the_round_window_is_the_inscribed_disc():
    lit = round_window(torch.ones(2, 3, 50, 50))
    assert lit[0, 0, 25, 0] == 1 and lit[0, 0, 0, 0] == 0
    assert float(lit.mean()) == pytest.approx(math.pi / 4, abs=0.01)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rotation": -1},
        {"scale": 3},
        {"shear": 80},
        {"shift": 0.5},
        {"flip": 1.0},
        {"field": 0.0},
        {"field": 1.5},
    ],
)
def test_other_ranges_are_refused(wrong):
    with pytest.raises(InputError, match=f"geometry: found {next(iter(wrong))}"):
        ClipGeometry(**wrong)


def test_nothing_to_draw_is_refused():
    with pytest.raises(InputError, match="ranges of 0"):
        ClipGeometry(rotation=0, scale=0, shear=0, shift=0)
