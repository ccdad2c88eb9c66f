# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import json
import logging
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import DataLoader, MetaTensor
from monai.transforms import Compose, Lambdad, MapTransform

from bundle.data import (
    CineDataset,
    Datalist,
    FrameCache,
    keep_readable,
    open_datalist,
)
from bundle.errors import InputError
from bundle.keys import Keys
from bundle.transforms import preprocessing


class ReadBytesd(MapTransform):
    """A stand-in for decoding: the bytes of a file as frames of 4 x 4, or an error as decoders have them."""

    def __init__(self, add: int = 0, calls: list[str] | None = None) -> None:
        super().__init__(Keys.IMAGE)
        self.add = add
        self._calls = calls

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        assert set(data) == {Keys.IMAGE}
        path = Path(data[Keys.IMAGE])
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        content = b"".join(file.read_bytes() for file in files)
        if self._calls is not None:
            self._calls.append(str(path))
        if content.startswith(b"bad"):
            raise InputError(f"{path}: found rubbish, expected a clip")
        if content.startswith(b"worse"):
            raise ZeroDivisionError("deep\nin a decoder")
        frames = np.frombuffer(content, np.uint8).reshape(1, -1, 4, 4) + np.uint8(self.add)
        meta = {
            "frame_times": np.arange(frames.shape[1]) / 25,
            "spacing": (np.float32(0.5), 0.25),
            "sector_box": torch.tensor([0, 1, 3, 4]),
            "filename_or_obj": str(path),
            "PatientName": "somebody",
            "0010|0020": "somebody",
            "nested": {"patient_id": "somebody", "kind": "video"},
            "reader": object(),
        }
        return {Keys.IMAGE: MetaTensor(torch.from_numpy(frames), meta=meta)}


def clip(path: Path, seed: int = 0, frames: int = 3) -> dict[str, Any]:
    path.write_bytes(np.random.default_rng(seed).integers(1, 90, 16 * frames, dtype=np.uint8).tobytes())
    return {Keys.IMAGE: str(path), "label": 1, Keys.PATIENT_ID: "d/1"}


def counted(cache_dir: Path, add: int = 0) -> tuple[FrameCache, list[str]]:
    calls: list[str] = []
    return FrameCache(cache_dir, Compose([ReadBytesd(add, calls)])), calls


def settle(*paths: Path) -> None:
    """Make files look as if they had been left alone for a while."""
    for path in paths:
        os.utime(path, (1_600_000_000, 1_600_000_000))


def test_frames_and_meta_come_back(tmp_path: Path) -> None:
    record = clip(tmp_path / "a")
    cache, calls = counted(tmp_path / "cache")
    assert cache.fill([record], progress=False).ok == 1
    frames = cache.frames(record)
    assert frames.dtype == np.uint8 and frames.shape == (1, 3, 4, 4)
    assert np.array_equal(frames, np.load(next((tmp_path / "cache").rglob("*.npy"))))
    assert frames.tobytes() == (tmp_path / "a").read_bytes()
    with pytest.raises(ValueError, match="read-only"):
        frames[:] = 0
    meta = cache.meta(record)
    assert meta["frame_times"] == [0.0, 0.04, 0.08]
    assert (meta["spacing"], meta["sector_box"], meta["nested"]) == ([0.5, 0.25], [0, 1, 3, 4], {"kind": "video"})
    assert len(calls) == 1
    # neither who nor where
    text = "".join(path.read_text() for path in (tmp_path / "cache").rglob("*.json"))
    assert "somebody" not in text and str(tmp_path) not in text


def test_layout(tmp_path: Path) -> None:
    cache, _ = counted(tmp_path / "cache")
    assert not (tmp_path / "cache").exists()
    cache.fill([clip(tmp_path / "a")], progress=False)
    content = hashlib.sha256((tmp_path / "a").read_bytes()).hexdigest()
    (settings,) = (tmp_path / "cache" / "settings").iterdir()
    assert json.loads(settings.read_text())["preprocessing"]["transforms"][0]["add"] == 0
    entry = f"{content[:2]}/{content}-{settings.stem}"
    files = {path.relative_to(tmp_path / "cache").as_posix() for path in (tmp_path / "cache").rglob("*.*")}
    assert files - {"digests.json"} == {f"{entry}.json", f"{entry}.npy", f"settings/{settings.name}"}


def test_nothing_is_decoded_twice(tmp_path: Path) -> None:
    records = [clip(tmp_path / f"clip{i}", seed=i) for i in range(4)]
    records.append(clip(tmp_path / "twin", seed=0))
    cache, calls = counted(tmp_path / "cache")
    for record in records[:4]:
        cache.fill([record, record], progress=False)
    assert len(calls) == 4
    assert cache.fill(records, progress=False).ok == 5
    again, calls_again = counted(tmp_path / "cache")
    assert again.fill(records, progress=False).ok == 5
    assert [again.frames(r).shape for r in records] == [(1, 3, 4, 4)] * 5
    assert len(calls) == 4 and not calls_again  # the twin has the same content


def test_changed_content_is_never_stale(tmp_path: Path) -> None:
    path = tmp_path / "a"
    record = clip(path, seed=0)
    cache, _ = counted(tmp_path / "cache")
    before = cache.frames(record).copy()
    stat = path.stat()
    clip(path, seed=1)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # same size, same time of writing
    assert cache.frames(record).tobytes() == path.read_bytes() != before.tobytes()
    assert counted(tmp_path / "cache")[0].frames(record).tobytes() == path.read_bytes()


def test_changed_settings_are_never_stale(tmp_path: Path) -> None:
    record = clip(tmp_path / "a")
    for add in (0, 5, 0):
        cache, _ = counted(tmp_path / "cache", add)
        assert (cache.frames(record) - add).tobytes() == (tmp_path / "a").read_bytes()
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 2


def test_a_folder_of_frames(tmp_path: Path) -> None:
    folder = tmp_path / "cine"
    folder.mkdir()
    for i in range(2):
        clip(folder / f"{i}.png", seed=i, frames=1)
    record = {Keys.IMAGE: str(folder)}
    cache, _ = counted(tmp_path / "cache")
    assert cache.frames(record).shape == (1, 2, 4, 4)
    clip(folder / "2.png", seed=2, frames=1)
    assert cache.frames(record).shape == (1, 3, 4, 4)
    (folder / "2.png").rename(folder / "1b.png")
    cache.frames(record)
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 3


def test_bad_files_are_reported_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "bad").write_bytes(b"bad")
    (tmp_path / "worse").write_bytes(b"worse")
    records = [{Keys.IMAGE: str(tmp_path / name)} for name in ("worse", "gone", "bad")]
    records.insert(1, clip(tmp_path / "good"))
    cache, _ = counted(tmp_path / "cache")
    with caplog.at_level(logging.WARNING):
        report = cache.fill(records, progress=False)
    assert report.ok == 1
    reasons = dict(report.skipped)
    assert list(reasons) == [str(tmp_path / name) for name in ("worse", "gone", "bad")]
    assert reasons[str(tmp_path / "bad")] == f"{tmp_path / 'bad'}: found rubbish, expected a clip"
    assert reasons[str(tmp_path / "worse")] == f"{tmp_path / 'worse'}: ZeroDivisionError: deep in a decoder"
    assert "No such file" in reasons[str(tmp_path / "gone")]
    assert len(caplog.messages) == 3 and all(message.startswith("left out: ") for message in caplog.messages)
    with pytest.raises(InputError, match="none of 2 files can be read; the first: .*ZeroDivisionError"):
        cache.fill([records[0], records[-1]], progress=False)
    with pytest.raises(InputError, match="gone"):
        cache.frames(records[2])
    assert cache.fill([], progress=False).ok == 0


@pytest.mark.parametrize(
    "output", [torch.zeros(1, 3, 4, 4), torch.zeros(3, 4, 4, dtype=torch.uint8), np.zeros((1, 3, 4, 4), np.uint8)]
)
def test_only_uint8_cines_are_kept(tmp_path: Path, output: Any) -> None:
    cache = FrameCache(tmp_path / "cache", lambda data: {Keys.IMAGE: output})
    with pytest.raises(InputError, match="expected uint8"):
        cache.fill([clip(tmp_path / "a")], progress=False)


def test_a_cache_that_cannot_be_written_stops_the_filling(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache, _ = counted(tmp_path / "file" / "cache")
    with pytest.raises(InputError, match="cannot be written"):
        cache.fill([clip(tmp_path / "a")], progress=False)


def test_an_interrupted_entry_is_made_again(tmp_path: Path) -> None:
    record = clip(tmp_path / "a")
    cache, calls = counted(tmp_path / "cache")
    cache.fill([record], progress=False)
    next((tmp_path / "cache").rglob("*.npy")).unlink()
    assert cache.fill([record], progress=False).ok == 1 and len(calls) == 2
    assert cache.frames(record).tobytes() == (tmp_path / "a").read_bytes()


def test_frames_come_from_the_cache_once_it_is_filled(tmp_path: Path) -> None:
    records = [clip(tmp_path / "a"), clip(tmp_path / "b", seed=1)]
    cache, calls = counted(tmp_path / "cache")
    cache.fill(records, progress=False)
    before = cache.frames(records[0]).copy(), cache.meta(records[0])
    (tmp_path / "a").unlink()  # not even looked at until the next filling
    assert np.array_equal(cache.frames(records[0]), before[0]) and cache.meta(records[0]) == before[1]
    sent = pickle.loads(pickle.dumps(cache))
    assert np.array_equal(sent.frames(records[0]), before[0]) and len(calls) == 2
    cache.fill(records, progress=False)
    with pytest.raises(InputError, match="a: cannot be read"):
        cache.frames(records[0])
    cache.meta(records[1])["spacing"] = None  # a copy
    assert cache.meta(records[1])["spacing"] == [0.5, 0.25]


def npy(cache_dir: Path) -> Path:
    (path,) = cache_dir.rglob("*.npy")
    return path


@pytest.mark.parametrize(
    "damage",
    [Path.unlink, lambda path: path.write_bytes(b""), lambda path: path.write_bytes(path.read_bytes()[:-1])],
)
def test_entries_lost_during_a_run_are_made_again(tmp_path: Path, damage: Callable[[Path], Any]) -> None:
    record = clip(tmp_path / "a")
    cache, calls = counted(tmp_path / "cache")
    cache.fill([record], progress=False)
    damage(npy(tmp_path / "cache"))
    for _ in range(2):
        assert cache.frames(record).tobytes() == (tmp_path / "a").read_bytes()
    assert len(calls) == 2
    damage(npy(tmp_path / "cache"))
    clip(tmp_path / "a", seed=1)  # the file was changed as well
    for _ in range(2):
        assert cache.frames(record).tobytes() == (tmp_path / "a").read_bytes()
    assert len(calls) == 3


def test_use_is_noted(tmp_path: Path) -> None:
    record = clip(tmp_path / "a")
    cache, _ = counted(tmp_path / "cache")
    cache.fill([record], progress=False)
    for use in (counted(tmp_path / "cache")[0].frames, lambda record: cache.fill([record], progress=False)):
        os.utime(npy(tmp_path / "cache"), (1000, 1000))
        use(record)
        assert npy(tmp_path / "cache").stat().st_mtime > time.time() - 60


def test_dataset_items(tmp_path: Path) -> None:
    records = [clip(tmp_path / f"clip{i}", seed=i) for i in range(3)]
    cache, calls = counted(tmp_path / "cache")
    dataset = CineDataset(records, cache)
    assert len(dataset) == 3 and not calls  # nothing is read before it is needed
    item = dataset[1]
    assert item["label"] == 1 and item[Keys.PATIENT_ID] == "d/1"
    assert item[Keys.IMAGE].tobytes() == (tmp_path / "clip1").read_bytes()
    assert item["frame_times"].tolist() == [0.0, 0.04, 0.08]
    assert calls == [str(tmp_path / "clip1")]
    assert dataset.data == records  # the records stay as they are
    transformed = CineDataset(records, cache, [Lambdad("label", lambda x: x + 1)])
    assert [transformed[i]["label"] for i in range(3)] == [2, 2, 2]


def test_what_cannot_be_read_is_dropped(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"bad")
    records = [clip(tmp_path / "a"), {Keys.IMAGE: str(tmp_path / "bad")}, clip(tmp_path / "b", seed=1)]
    datalist = Datalist("d", ["x"], training=records, validation=[], testing=[])
    kept = keep_readable(datalist, counted(tmp_path / "cache")[0])
    assert kept.training == [records[0], records[2]] and len(datalist.training) == 3


def test_a_training_part_without_readable_clips_stops_the_run(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"bad")
    bad = {Keys.IMAGE: str(tmp_path / "bad")}
    datalist = Datalist("d", ["x"], training=[bad], validation=[clip(tmp_path / "a")], testing=[])
    with pytest.raises(InputError, match="none of 1 training clips"):
        keep_readable(datalist, counted(tmp_path / "cache")[0])


def test_a_cine_without_times(tmp_path: Path) -> None:
    cache = FrameCache(tmp_path / "cache", lambda data: {Keys.IMAGE: torch.zeros(1, 2, 4, 4, dtype=torch.uint8)})
    assert CineDataset([clip(tmp_path / "a")], cache)[0]["frame_times"] is None


def first_frame(item: dict[str, Any]) -> dict[str, Any]:
    return {"frame": torch.from_numpy(np.array(item[Keys.IMAGE][:, 0])), "label": item["label"]}


def test_workers_share_the_cache(tmp_path: Path) -> None:
    records = [clip(tmp_path / f"clip{i}", seed=i, frames=1000) for i in range(6)]
    dataset = CineDataset(records, FrameCache(tmp_path / "cache", Compose([ReadBytesd()])), first_frame)
    dataset.cache.fill(records, progress=False)
    _ = dataset[0]
    assert len(pickle.dumps(dataset)) < 16_000  # the frames of one clip
    loader = DataLoader(dataset, batch_size=2, num_workers=2)
    frames = torch.cat([batch["frame"] for batch in loader])
    expected = [(tmp_path / f"clip{i}").read_bytes()[:16] for i in range(6)]
    assert [frame.numpy().tobytes() for frame in frames] == expected


def test_real_clips(ultrasound_data: Path, tmp_path: Path) -> None:
    records = open_datalist(ultrasound_data / "covid_blues").validation[:3]
    dataset = CineDataset(records, FrameCache(tmp_path / "cache", preprocessing(64)))
    assert dataset.cache.fill(records, progress=False).ok == 3
    for item, record in zip(dataset, records, strict=True):
        assert item[Keys.IMAGE].shape == (1, int(record["frames"]), 64, 64)
        assert np.allclose(np.diff(item["frame_times"]), 0.04)
        meta = dataset.cache.meta(record)
        assert meta["original_size"] == [350, 350] and meta["source_kind"] == "video"
        direct = preprocessing(64)({Keys.IMAGE: record[Keys.IMAGE]})[Keys.IMAGE]
        assert np.array_equal(item[Keys.IMAGE], direct.numpy())
