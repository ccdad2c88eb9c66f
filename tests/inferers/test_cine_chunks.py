# SPDX-License-Identifier: Apache-2.0
"""Chunks of a cine: the same frames as the whole gives, never more than a few held, bad files passed over."""

from __future__ import annotations

import warnings
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bundle.errors import InputError
from bundle.inferers import CineChunks, cine_chunks
from bundle.inferers.cine_chunks import PrepareChunk
from bundle.readers.cine import read_cine
from bundle.transforms import preprocessing
from bundle.transforms.grey import luma
from bundle.transforms.sector_fit import MAX_FRAMES

REAL = {
    "dicom": "dicom_us/files/examples_ybr_color.dcm",
    "mp4": "pocus_lung/videos/linear/Reg_Image_18122_crop.mp4",
    "gif": "pocus_lung/videos/convex/Cov-Atlas-Day+2.gif",
    "mha": "tracked_plus/sequences/BoneUltrasound_L14.igs.mha",
    "png": "breast_bus_uclm/images/ALWI_000.png",
}


def moving_cine(path: Path, n_frames: int) -> Path:
    """A bright textured sector that changes in every frame, beside a still line of text."""
    random = np.random.default_rng(0)
    frames = np.zeros((n_frames, 48, 64), np.uint8)
    frames[:, 8:40, 10:50] = random.integers(30, 220, (n_frames, 32, 40))
    frames[:, 2:4, 2:30] = 255
    np.save(path, frames)
    return path


def of(path: Path, **settings: Any) -> list[dict[str, Any]]:
    return list(CineChunks([{"image": str(path), "name": path.name}], 32, **settings))


@pytest.mark.parametrize("kind", REAL)
def test_chunks_are_the_whole(ultrasound_data: Path, kind: str) -> None:
    path = ultrasound_data / REAL[kind]
    stride = 1 if kind in ("png", "dicom") else 7
    whole = preprocessing(32)({"image": str(path)})["image"]
    chunks = of(path, mean=0.0, std=1.0, stride=stride, frames_at_once=5)
    indices = np.concatenate([chunk["frame_index"] for chunk in chunks])
    assert indices.tolist() == list(range(0, whole.shape[1], stride))
    assert [chunk["position"] for chunk in chunks] == list(range(0, len(indices), 5))
    assert {chunk["count"] for chunk in chunks} == {len(indices)}
    frames = (torch.cat([chunk["frames"] for chunk in chunks])[:, 0] * 255).round().to(torch.uint8)
    assert torch.equal(frames, whole.as_tensor()[0, indices])
    original = read_cine(path).frames[indices]
    grey = luma(original.transpose(3, 0, 1, 2)) if original.shape[-1] == 3 else original[..., 0]
    assert np.array_equal(np.concatenate([chunk["original"] for chunk in chunks]), grey)
    for key in ("sector_box", "sector_outline", "original_size", "resize_padding", "resize_scale"):
        assert all(np.array_equal(chunk["meta"][key], whole.meta[key]) for chunk in chunks), key


def test_chosen_frames_and_the_networks_input(tmp_path: Path) -> None:
    path = moving_cine(tmp_path / "a.npy", 20)
    (chunk,) = of(path, frames_per_clip=4, mean=0.5, std=0.25, channels=3)
    assert chunk["frame_index"].tolist() == [2, 7, 12, 17] and chunk["frames"].shape == (4, 3, 32, 32)
    plain = of(path, frames_per_clip=4, mean=0.0, std=1.0)[0]["frames"]
    assert torch.allclose(chunk["frames"], ((plain - 0.5) / 0.25).expand(-1, 3, -1, -1))
    assert of(path, frames_per_clip=50)[0]["count"] == 20, "a frame is looked at once"
    inputs, target = PrepareChunk()(chunk, "cpu")
    assert torch.equal(inputs[0], chunk["frames"]) and target is None
    with pytest.raises(InputError, match="stride: found 0"):
        CineChunks([], 32, stride=0)


def test_few_frames_are_held_of_a_long_cine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = moving_cine(tmp_path / "long.npy", 300)
    held: dict[int, int] = {}
    most = [0]

    def counted(*args: Any, **kwargs: Any) -> Any:
        cine = read_cine(*args, **kwargs)
        held[id(cine.frames)] = len(cine.frames)
        weakref.finalize(cine.frames, held.pop, id(cine.frames))
        most[0] = max(most[0], sum(held.values()))
        return cine

    monkeypatch.setattr(cine_chunks, "read_cine", counted)
    seen = 0
    for chunk in CineChunks([{"image": str(path)}], 32, frames_at_once=8):
        seen += len(chunk["frame_index"])
        assert len(chunk["original"]) <= 8
    assert seen == 300
    assert most[0] <= MAX_FRAMES + 1


def test_a_bad_file_is_named_and_the_next_follows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "empty.mp4").touch()
    good = moving_cine(tmp_path / "good.npy", 3)
    dataset = CineChunks([{"image": str(tmp_path / "empty.mp4")}, {"image": str(good)}], 32)
    for _ in range(2):
        assert [chunk["index"] for chunk in dataset] == [1]
        ((record, reason),) = dataset.failed
        assert record["image"].endswith("empty.mp4") and "empty file (0 bytes)" in reason
    assert "left out" in caplog.text and "empty.mp4" in caplog.text


def test_a_readers_warning_is_told_once_a_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def doubtful(path: str, frames: list[int], **kwargs: Any) -> Any:
        warnings.warn(f"{path}: no calibration", stacklevel=2)
        if frames[0] == 6:
            warnings.warn(f"{path}: damaged after 7 frames", stacklevel=2)
        return read_cine(path, frames, **kwargs)

    monkeypatch.setattr(cine_chunks, "read_cine", doubtful)
    paths = [str(moving_cine(tmp_path / name, 8)) for name in ("a.npy", "b.npy")]
    dataset = CineChunks([{"image": path} for path in paths], 32, frames_at_once=2)
    assert len(list(dataset)) == 8
    each = [[f"{path}: no calibration", f"{path}: damaged after 7 frames"] for path in paths]
    assert caplog.messages == [*each[0], *each[1]]


def test_frames_of_two_sizes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = moving_cine(tmp_path / "a.npy", 6)

    def later_smaller(name: str, frames: Any, **kwargs: Any) -> Any:
        cine = read_cine(name, frames, **kwargs)
        if frames[0] == 4:
            cine.frames = cine.frames[:, :-2]
        return cine

    monkeypatch.setattr(cine_chunks, "read_cine", later_smaller)
    dataset = CineChunks([{"image": str(path)}], 32, frames_at_once=2)
    assert [chunk["position"] for chunk in dataset] == [0, 2]
    assert "64 x 46 pixels, expected 64 x 48" in dataset.failed[0][1]


def test_what_is_not_ultrasound_is_read_only_when_asked(tmp_path: Path, ultrasound_data: Path) -> None:
    from pydicom import dcmread

    other = dcmread(ultrasound_data / "dicom_us" / "files" / "US1_UNCR.dcm")
    other.Modality, other.SOPClassUID = "CT", "1.2.840.10008.5.1.4.1.1.2"
    other.save_as(tmp_path / "ct.dcm")
    dataset = CineChunks([{"image": str(tmp_path / "ct.dcm")}], 32)
    assert not list(dataset) and "found modality CT, expected ultrasound" in dataset.failed[0][1]
    assert len(of(tmp_path / "ct.dcm", any_modality=True)) == 1


def test_a_still_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60), np.uint8)).save(tmp_path / "a.png")
    read: list[Any] = []
    monkeypatch.setattr(cine_chunks, "read_cine", lambda *a, **k: read.append(a) or read_cine(*a, **k))
    assert of(tmp_path / "a.png")[0]["frames"].shape == (1, 1, 32, 32) and len(read) == 1
