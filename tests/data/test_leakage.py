# SPDX-License-Identifier: Apache-2.0
"""The leakage gate: planted leaks of each kind are named, clean parts pass, and nothing else is touched."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, zoom

from bundle.data import (
    FrameCache,
    check_leakage,
    find_leaks,
    fingerprints,
    read_fingerprints,
    read_training_clips,
    records_from_table,
    write_fingerprints,
    write_leaks,
)
from bundle.data.fingerprints import clips_beside
from bundle.errors import InputError
from bundle.transforms import preprocessing

SIZE = 96


def scan(seed: int, n_frames: int = 8) -> np.ndarray:
    """``(T, 96, 96)`` uint8: texture in a sector on black."""
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(n_frames + 4, SIZE, SIZE)), (2, 3, 3))[2:-2]
    rows, columns = np.indices((SIZE, SIZE)) / SIZE
    inside = (abs(columns - 0.5) < 0.15 + 0.35 * rows) & (rows > 0.05) & (rows < 0.95)
    return ((110 + 45 * field / field.std()).clip(20, 255) * inside).astype(np.uint8)


def video(path: Path, frames: np.ndarray, crf: int = 20) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": str(crf)})
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            colour = np.repeat(np.ascontiguousarray(frame)[..., None], 3, axis=2)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(colour, format="rgb24")))
        container.mux(stream.encode())
    return path


def record(path: Path, patient: str, name: str = "") -> dict[str, str]:
    return {"image": str(path), "patient_id": patient, "video_id": name or path.stem}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four clips of four patients: ``0.mp4`` to ``3.mp4``."""
    folder = tmp_path_factory.mktemp("clips")
    for seed in range(4):
        video(folder / f"{seed}.mp4", scan(seed))
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return FrameCache(tmp_path_factory.mktemp("cache"), preprocessing(64))


@pytest.fixture
def parts(folder):
    clips = [record(folder / f"{number}.mp4", f"p{number}") for number in range(4)]
    return {"training": clips[:2], "testing": clips[2:]}


PLANTED = {  # what is added to the testing part, and what it then shares with clip 0 of the training part
    "patient": (lambda clip, to: record(video(to / "new.mp4", scan(9)), "p0"), ["patient"]),
    "video": (lambda clip, to: record(video(to / "new.mp4", scan(9)), "", "0"), ["video"]),
    "file": (lambda clip, to: record(clip, "", "new"), ["file", "content"]),
    "copy": (lambda clip, to: record(Path(shutil.copy(clip, to / "new.mp4")), ""), ["content"]),
    "re-encoded": (lambda clip, to: record(video(to / "new.mp4", scan(0), crf=38), "p7"), ["look-alike"]),
    "smaller": (lambda clip, to: record(video(to / "new.mp4", zoom(scan(0), (1, 0.5, 0.5))), ""), ["look-alike"]),
    "larger": (lambda clip, to: record(video(to / "new.mp4", zoom(scan(0), (1, 2, 2))), "p7"), ["look-alike"]),
    "bordered": (lambda clip, to: record(video(to / "new.mp4", bordered(scan(0))), "p7"), ["look-alike"]),
    "flipped": (lambda clip, to: record(video(to / "new.mp4", scan(0)[..., ::-1]), "p7"), ["look-alike"]),
    "excerpt": (lambda clip, to: record(video(to / "new.mp4", with_excerpt(scan(0)[3:5])), "p7"), ["look-alike"]),
    "still": (lambda clip, to: record(still(to / "new.png", scan(0)[4]), "p7"), ["look-alike"]),
}


def bordered(frames: np.ndarray) -> np.ndarray:
    return np.pad(frames, ((0, 0), (30, 10), (8, 40)))


def with_excerpt(frames: np.ndarray) -> np.ndarray:
    return np.concatenate([scan(8), frames, scan(7)])


def still(path: Path, frame: np.ndarray) -> Path:
    Image.fromarray(frame).save(path)
    return path


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_leak_stops_with_names_and_a_picture(planted, folder, parts, cache, tmp_path):
    plant, kinds = PLANTED[planted]
    earlier = tmp_path / "run"
    earlier.mkdir()
    (earlier / "last.pt").write_bytes(b"weights")
    parts["testing"].append(plant(folder / "0.mp4", tmp_path))
    with pytest.raises(InputError) as caught:
        check_leakage(fingerprints(parts, cache), cache, earlier)
    message = str(caught.value)
    assert message.startswith("leakage: testing and training share ") and "\n" not in message
    assert all(f"1 {kind} (" in message for kind in kinds)
    assert str(earlier / "leakage.png") in message and "allow_leakage" in message
    assert np.asarray(Image.open(earlier / "leakage.png").convert("L")).std() > 10
    assert (earlier / "last.pt").read_bytes() == b"weights"
    assert sorted(path.name for path in earlier.iterdir()) == ["last.pt", "leakage.json", "leakage.png"]
    rows = json.loads((earlier / "leakage.json").read_text())
    assert sorted(row["kind"] for row in rows) == sorted(kinds)
    for row in rows:
        assert row["parts"] == ["testing", "training"] and row["clips"][1] == "0"
        assert row["flipped"] == (planted == "flipped") or row["kind"] in ("patient", "video")
    assert str(tmp_path) not in json.dumps(rows) and str(folder) not in json.dumps(rows)


def test_clean_parts_pass_and_leave_nothing(parts, cache, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        assert check_leakage(fingerprints(parts, cache), cache, tmp_path / "run") == []
    assert not (tmp_path / "run").exists() and "training (2), testing (2)" in caplog.text


def test_leakage_that_is_wanted_is_a_warning(folder, parts, cache, tmp_path, caplog):
    parts["testing"].append(PLANTED["re-encoded"][0](folder / "0.mp4", tmp_path))
    leaks = check_leakage(fingerprints(parts, cache), cache, tmp_path / "run", allow=True)
    assert [leak.kind for leak in leaks] == ["look-alike"] and not (tmp_path / "run").exists()
    assert "as allowed" in caplog.text and " ~ " in caplog.text
    write_leaks(leaks, cache, tmp_path / "new" / "run")
    assert (tmp_path / "new" / "run" / "leakage.png").exists()
    write_leaks([], cache, tmp_path / "new" / "run")
    assert [path.name for path in (tmp_path / "new" / "run").iterdir()] == ["leakage.json"]


def test_blank_ids_equal_nothing_and_one_part_may_repeat_itself(folder, cache, tmp_path):
    one, other = record(folder / "0.mp4", "", "a"), record(folder / "1.mp4", "", "b")
    copy = record(video(tmp_path / "copy.mp4", scan(0), crf=30), "", "copy")
    known = fingerprints({"training": [one, copy], "testing": [other], "empty": []}, cache)
    assert find_leaks(known) == [] and find_leaks({}) == []


def test_the_largest_part_is_searched_whatever_the_order(folder, cache, tmp_path):
    copy = record(video(tmp_path / "copy.mp4", scan(3), crf=30), "p9")
    parts = {"a": [copy], "b": [record(folder / f"{n}.mp4", f"p{n}") for n in range(4)]}
    known = fingerprints(parts, cache)
    for order in (("a", "b"), ("b", "a")):
        (leak,) = find_leaks({name: known[name] for name in order})
        assert leak.parts == ("b", "a") and [clip.video_id for clip in leak.clips] == ["3", "copy"]


def test_hashes_are_kept_with_the_frames(folder, parts, tmp_path, monkeypatch):
    cache = FrameCache(tmp_path / "cache", preprocessing(64))
    first = fingerprints(parts, cache)
    monkeypatch.setattr("bundle.data.frame_cache.hash_clip", lambda frames: pytest.fail("hashed again"))
    again = fingerprints(parts, FrameCache(tmp_path / "cache", preprocessing(64)))
    for one, other in zip(first["training"] + first["testing"], again["training"] + again["testing"], strict=True):
        assert (one.content, one.file) == (other.content, other.file)
        for name in ("frames", "hashes", "views"):
            assert (getattr(one.hashes, name) == getattr(other.hashes, name)).all()


def test_damaged_and_outdated_hashes_are_made_anew(folder, parts, tmp_path, monkeypatch):
    cache = FrameCache(tmp_path / "cache", preprocessing(64))
    expected = cache.hashes(parts["training"][0])
    (kept,) = (tmp_path / "cache").glob("??/*.npz")
    whole = kept.read_bytes()
    kept.write_bytes(whole[:100])
    assert (cache.hashes(parts["training"][0]).hashes == expected.hashes).all() and len(kept.read_bytes()) == len(whole)
    made = []
    monkeypatch.setattr("bundle.data.cache_entries.HASH_VERSION", 99)
    monkeypatch.setattr("bundle.data.frame_cache.hash_clip", lambda frames: made.append(1) or expected)
    cache.hashes(parts["training"][0])
    assert made == [1]


def test_fingerprints_are_found_again_without_the_clips(folder, parts, cache, tmp_path):
    known = fingerprints(parts, cache)
    encoder = tmp_path / "encoder.safetensors"
    digest = write_fingerprints(clips_beside(encoder), known["training"])
    assert str(folder).encode() not in clips_beside(encoder).read_bytes()
    stored = read_training_clips(encoder, {"clips_sha256": digest})
    assert [(clip.patient_id, clip.video_id, clip.content, clip.file) for clip in stored] == [
        (clip.patient_id, clip.video_id, clip.content, "") for clip in known["training"]
    ]
    assert find_leaks({"pretraining": stored, "testing": known["testing"]}) == []
    copy = fingerprints({"testing": [record(video(tmp_path / "x.mp4", scan(1), crf=35), "p9")]}, cache)["testing"]
    with pytest.raises(InputError, match="the pretraining and testing share 1 look-alike \\(1 ~ x, "):
        check_leakage({"testing": copy, "the pretraining": stored}, cache, tmp_path / "out")
    assert (tmp_path / "out" / "leakage.png").exists()
    assert {leak.kind for leak in find_leaks({"one": stored, "two": known["training"]})} == {
        "patient",
        "video",
        "content",
    }
    with pytest.raises(InputError, match="other clips than encoder.safetensors"):
        read_training_clips(encoder, {"clips_sha256": "0"})
    assert read_training_clips(tmp_path / "other.safetensors", {}) is None


def test_bad_fingerprints_are_told_in_one_line(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"no zip")
    with pytest.raises(InputError, match="a.npz: not a file of clips' fingerprints"):
        read_fingerprints(tmp_path / "a.npz")
    write_fingerprints(tmp_path / "b.npz", [])
    assert read_fingerprints(tmp_path / "b.npz") == []


def test_copies_among_real_files_are_found_and_nothing_else(ultrasound_data, tmp_path):
    folder = ultrasound_data / "dicom_us"
    records = records_from_table(folder / "labels.csv")
    parts = {r["video_id"].partition("/")[2]: [{**r, "image": str(folder / r["image"])}] for r in records}
    cache = FrameCache(tmp_path / "cache", preprocessing(64))
    leaks = find_leaks(fingerprints(parts, cache))
    node = ["US1_J2KI", "US1_UNCR", "examples_jpeg2k", "examples_rgb_color"]
    same = {frozenset((one, other)) for one in node for other in node if one != other}
    same |= {frozenset(("US-PAL-8-10x-echo", "jpeg-ls-Palette")), frozenset(("OBXXXX1A_2frame", "OBXXXX1A_rle_2frame"))}
    assert {frozenset(leak.parts) for leak in leaks} == same


def test_the_clip_that_a_public_table_gives_to_two_patients_is_found(ultrasound_data, tmp_path):
    folder = ultrasound_data / "pocus_lung"
    records = records_from_table(folder / "labels.csv", patient_column="patient_id", where={"probe": "linear"})
    parts: dict[str, list] = {}
    for one in records:
        parts.setdefault(one["patient_id"], []).append({**one, "image": str(folder / one["image"])})
    cache = FrameCache(tmp_path / "cache", preprocessing(64))
    (leak,) = find_leaks(fingerprints(parts, cache))
    assert set(leak.parts) == {"pocus_lung/114", "pocus_lung/116"}, "the table's group_id joins these two"
