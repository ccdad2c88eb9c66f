# SPDX-License-Identifier: Apache-2.0
"""One cine in every format that `scripts/write_formats.py` writes: exact, each frame alone, damaged copies."""

from __future__ import annotations

import importlib.util
import random
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.errors import InputError
from bundle.readers import array, nifti, read_cine, sequence, stills
from bundle.readers.grey_levels import to_uint8

ROOT = Path(__file__).resolve().parents[2]
COUNT, WIDTH, HEIGHT = 14, 64, 48
LOSSY = {  # mean grey levels from the source, of colour with grain
    **{"h264.dcm": 6, "key_frames.mp4": 6, "one_key_frame.mp4": 6, "mjpeg.avi": 4, "mpeg2.mpg": 9, "vp9.webm": 6},
    **{"jpeg.dcm": 4, "frames_jpg": 6, "a.gif": 6},
}
NO_TIMES = ("array.npy", "frames_jpg", "frames_png", "pages.tif")
WITH_SPACING = (".dcm", ".mha", ".nrrd", ".nii", ".gz")
DAMAGED_COPIES = 20


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = importlib.util.spec_from_file_location("write_formats", ROOT / "scripts/write_formats.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    folder = tmp_path_factory.mktemp("formats") / "all"
    script.main([str(folder), "--frames", str(COUNT), "--size", str(WIDTH), str(HEIGHT)])
    with pytest.raises(InputError, match="not empty"):
        script.main([str(folder)])
    return folder


def test_frames_times_and_spacing(written: Path) -> None:
    source = np.load(written / "array.npy")
    clips = sorted(written.iterdir())
    assert len(clips) == 27 and len({frame.tobytes() for frame in source}) == COUNT
    for path in clips:
        cine = read_cine(path)
        assert cine.frames.shape == source.shape, path.name
        assert np.abs(cine.frames.astype(int) - source).mean() <= LOSSY.get(path.name, 0), path.name
        nearest = [np.abs(source.astype(int) - frame).mean(axis=(1, 2, 3)).argmin() for frame in cine.frames]
        assert nearest == list(range(COUNT)), path.name
        if path.name in NO_TIMES:
            assert "frame_times" not in cine.meta, path.name
        else:
            np.testing.assert_allclose(cine.meta["frame_times"], np.arange(COUNT) / 25, atol=1e-6, err_msg=path.name)
        if path.suffix in WITH_SPACING:
            assert cine.meta["spacing"] == pytest.approx((0.3, 0.2)), path.name
        else:
            assert "spacing" not in cine.meta, path.name


def test_frame_k_is_frame_k(written: Path) -> None:
    for path in sorted(written.iterdir()):
        whole = read_cine(path)
        for chosen in (*([k] for k in range(COUNT)), [9, 2, 2, 13]):
            some = read_cine(path, chosen)
            np.testing.assert_array_equal(some.frames, whole.frames[chosen], err_msg=f"{path.name} {chosen}")
            assert some.meta["n_frames"] == COUNT
            if "frame_times" in whole.meta:
                np.testing.assert_array_equal(some.meta["frame_times"], whole.meta["frame_times"][chosen])


@pytest.mark.parametrize("name", ["frames_png", "frames_jpg", "pages.tif"])
def test_only_chosen_pictures_are_decoded(written: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    pixels = stills._pixels
    monkeypatch.setattr(stills, "_pixels", lambda image, path: decoded.append(path) or pixels(image, path))
    read_cine(written / name, [13, 4, 7])
    assert len(decoded) == 3


@pytest.mark.parametrize("name", ["array.npy", "raw.igs.mha", "raw.seq.nrrd", "grey.nii"])
def test_plain_arrays_are_mapped(
    written: Path, tmp_path: Path, grey_cine: np.ndarray, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is handed on is a view of the file, of which only the wanted frames are copied."""
    path = written / name
    if name == "grey.nii":
        import nibabel

        path = tmp_path / name
        nibabel.save(nibabel.Nifti1Image(grey_cine[..., 0].transpose(2, 1, 0), np.eye(4)), path)
    handed = []

    def watched(values: np.ndarray, *rest: Any) -> np.ndarray:
        handed.append(values)
        return to_uint8(values, *rest)

    for module in (array, sequence, nifti):
        monkeypatch.setattr(module, "to_uint8", watched)
    assert read_cine(path, [3, 1]).frames.shape == (2, HEIGHT, WIDTH, 1 if name == "grey.nii" else 3)
    (values,) = handed
    while not isinstance(values, np.memmap):
        assert values is not None, "a copy in memory"
        values = values.base


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Cut, with a part lost, added or overwritten, or with some bytes changed, in the header more often than not."""
    edited = bytearray(data)
    at = chance.randrange(len(data))
    kind = chance.randrange(10)
    if kind == 0:
        del edited[at:]
    elif kind == 1:
        del edited[at : at + chance.randrange(1, 400)]
    elif kind == 2:
        edited[at:at] = chance.randbytes(chance.randrange(1, 100))
    elif kind == 3:
        edited[at : at + 500] = bytes([chance.choice((0, 255))]) * len(edited[at : at + 500])
    else:
        for _ in range(chance.choice((1, 1, 2, 8))):
            place = chance.randrange(min(len(data), chance.choice((200, 2000, len(data)))))
            edited[place] = chance.choice((0, 127, 128, 255, edited[place] ^ 1 << chance.randrange(8)))
    return bytes(edited)


def outcomes(folder: Path) -> Iterator[str]:
    """Read damaged copies of each file: frames, one line that names the file, or else."""
    for path in sorted(file for file in folder.iterdir() if file.is_file()):
        chance = random.Random(path.name)
        bad = folder.parent / f"bad{''.join(path.suffixes[-2:])}"
        for k in range(DAMAGED_COPIES):
            bad.unlink(missing_ok=True)
            bad.write_bytes(damaged(path.read_bytes(), chance))
            try:
                frames = read_cine(bad, None if k % 2 else [0]).frames
                yield "frames" if frames.dtype == np.uint8 and frames.ndim == 4 and len(frames) else f"{path.name} {k}"
            except InputError as error:
                plain = str(error).startswith(str(bad)) and "\n" not in str(error)
                yield "refused" if plain else f"{path.name} {k}: {error}"
            except Exception as error:
                yield f"{path.name} {k}: {type(error).__name__} {error}"


def test_damaged_copies_never_do_worse_than_refuse(written: Path) -> None:
    """In a process of its own, which a decoder might end."""
    done = subprocess.run(
        [sys.executable, __file__, str(written)], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = Counter(done.stdout.splitlines())
    assert found.total() == 25 * DAMAGED_COPIES
    assert set(found) == {"frames", "refused"}, found
    assert min(found.values()) > 100


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print("\n".join(outcomes(Path(sys.argv[1]))))
