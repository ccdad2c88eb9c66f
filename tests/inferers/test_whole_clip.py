# SPDX-License-Identifier: Apache-2.0
"""A clip in one piece is its chunks put together, and never more than asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.errors import InputError, input_error_in
from bundle.inferers import CineChunks, ClipScoresd, WholeClipd, cine_chunks
from bundle.metrics import clip_probabilities
from bundle.readers.cine import read_cine


@pytest.fixture
def clip(tmp_path: Path) -> str:
    """45 frames, a bright textured sector that changes."""
    frames = np.zeros((45, 48, 64), np.uint8)
    frames[:, 8:40, 10:50] = np.random.default_rng(0).integers(30, 220, (45, 32, 40))
    np.save(tmp_path / "a.npy", frames)
    return str(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, range(45)),
        ({"frame_stride": 7}, range(0, 45, 7)),
        ({"max_frames": 9}, range(2, 45, 5)),
        ({"frame_stride": "2", "max_frames": 3}, [6, 22, 38]),
        ({"max_frames": 100}, range(45)),
    ],
)
def test_frames_are_those_of_the_chunks(clip: str, asked: dict[str, Any], expected: Any) -> None:
    how = {"mean": 0.4, "std": 0.2, "channels": 3, "frames_at_once": 4}
    sample = WholeClipd("image", 32, **how, **asked)({"image": clip, "kept": 1})
    assert sample["frame_index"].tolist() == list(expected) and sample["kept"] == 1
    chunks = list(CineChunks([{"image": clip}], 32, **how))
    whole = torch.cat([chunk["frames"] for chunk in chunks])
    assert torch.equal(sample["image"], whole[list(expected)]) and not isinstance(sample["image"], MetaTensor)
    assert sample["meta"]["n_frames"] == 45 and sample["meta"]["filename_or_obj"] == clip
    for key in ("sector_box", "sector_outline", "original_size", "resize_padding", "resize_scale"):
        assert np.array_equal(sample["meta"][key], chunks[0]["meta"][key])


def test_few_frames_are_read_at_once(clip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    monkeypatch.setattr(
        cine_chunks, "read_cine", lambda path, frames, **how: read.append(len(frames)) or read_cine(path, frames, **how)
    )
    WholeClipd("image", 32, frames_at_once=4, max_frames=10)({"image": clip})
    assert read[2:] == [4, 4, 2], "after the first frame and those by which the sector is found"


def test_what_it_refuses_is_told_to_a_client_where_there_is_a_server(
    clip: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty.mp4").touch()
    cases: list[tuple[dict[str, Any], Any, str]] = [
        ({}, str(tmp_path / "empty.mp4"), "empty file"),
        ({}, np.zeros((4, 4)), "image: found ndarray"),
        ({"frame_stride": "x"}, clip, "frame_stride: found 'x', expected a whole number"),
        ({"max_frames": 0}, clip, "max_frames: found 0"),
        ({"any_modality": "maybe"}, clip, "any_modality: found 'maybe', expected True or False"),
    ]
    monkeypatch.setitem(sys.modules, "starlette.exceptions", None)
    for settings, given, message in cases:
        with pytest.raises(InputError, match=message):
            WholeClipd("image", 32, **settings)({"image": given})

    class HTTPException(Exception):
        def __init__(self, status_code: int, detail: str) -> None:
            self.status_code, self.detail = status_code, detail

    monkeypatch.setitem(sys.modules, "starlette", type(sys)("starlette"))
    web = type(sys)("starlette.exceptions")
    web.HTTPException = HTTPException  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "starlette.exceptions", web)
    for settings, given, message in cases:
        with pytest.raises(HTTPException) as caught:
            WholeClipd("image", 32, **settings)({"image": given})
        assert caught.value.status_code == 422 and message in caught.value.detail
        assert str(input_error_in(caught.value)) == caught.value.detail


@pytest.mark.parametrize("how", ["mean", "max", "attention"])
def test_scores_of_a_clip(how: str) -> None:
    outputs = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    found = ClipScoresd("pred", 3, how)({"pred": outputs})["pred"]
    expected = clip_probabilities(outputs[:, :3], ["one"] * 6, how, outputs[:, 3])[1][0]
    assert isinstance(found, MetaTensor) and found.array.tolist() == expected.tolist()


def test_scores_without_attention() -> None:
    with pytest.raises(Exception, match="gives no scores"):
        ClipScoresd("pred", 3, "attention")({"pred": torch.zeros(2, 3)})
