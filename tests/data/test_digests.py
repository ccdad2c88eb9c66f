# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import functools
import json
import os
import pickle
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import Compose, Lambdad, ScaleIntensityd

import bundle.data.digests
from bundle.data import ContentDigests, describe_transform


def clip(path: Path, seed: int = 0) -> None:
    path.write_bytes(np.random.default_rng(seed).integers(1, 90, 48, dtype=np.uint8).tobytes())


def test_bytes_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    sha256_of_file = bundle.data.digests.sha256_of
    monkeypatch.setattr(bundle.data.digests, "sha256_of", lambda path: read.append(path) or sha256_of_file(path))
    monkeypatch.setattr(bundle.data.digests, "_SETTLED_NS", -(10**12))  # every file counts as settled
    clip(tmp_path / "a")
    digests = ContentDigests(tmp_path / "digests.json")
    first = digests.digest(tmp_path / "a")
    digests.save()
    # what another process found meanwhile is kept
    clip(tmp_path / "b", seed=1)
    one, other = ContentDigests(tmp_path / "digests.json"), ContentDigests(tmp_path / "digests.json")
    one.digest(tmp_path / "b")
    clip(tmp_path / "c", seed=2)
    other.digest(tmp_path / "c")
    one.save()
    other.save()
    assert len(read) == 3
    again = ContentDigests(tmp_path / "digests.json")
    assert again.digest(tmp_path / "a") == first
    assert len({again.digest(tmp_path / name) for name in "abc"}) == 3
    assert len(read) == 3
    clip(tmp_path / "a", seed=3)
    assert again.digest(tmp_path / "a") != first
    (tmp_path / "digests.json").write_text("[broken")
    assert ContentDigests(tmp_path / "digests.json").digest(tmp_path / "b") == again.digest(tmp_path / "b")


def test_what_is_remembered_needs_no_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle.data.digests, "_SETTLED_NS", -(10**12))
    clip(tmp_path / "a")
    digests = ContentDigests(tmp_path / "digests.json")
    assert digests.remembered(tmp_path / "a") is None and digests.remembered(tmp_path / "gone") is None
    digest = digests.digest(tmp_path / "a")
    assert digests.remembered(tmp_path / "a") == digest
    sent = pickle.loads(pickle.dumps(digests))  # holds nothing, and looks into the file
    assert sent.remembered(tmp_path / "a") is None
    digests.save()
    assert pickle.loads(pickle.dumps(digests)).remembered(tmp_path / "a") == digest
    clip(tmp_path / "a", seed=1)
    assert digests.remembered(tmp_path / "a") is None


def test_a_file_just_written_is_not_remembered(tmp_path: Path) -> None:
    clip(tmp_path / "a")
    digests = ContentDigests(tmp_path / "digests.json")
    digests.digest(tmp_path / "a")
    digests.save()
    assert not (tmp_path / "digests.json").exists()


@pytest.mark.parametrize(
    ("name", "header"),
    [("a.mhd", "NDims = 3\nElementDataFile = a.raw\n"), ("a.nhdr", "NRRD0004\ndata file: ./a.raw\n")],
)
def test_the_data_file_of_a_header_counts(tmp_path: Path, name: str, header: str) -> None:
    (tmp_path / name).write_text(header)
    clip(tmp_path / "a.raw", seed=0)
    digests = ContentDigests(tmp_path / "digests.json")
    first = digests.digest(tmp_path / name)
    clip(tmp_path / "a.raw", seed=1)
    assert digests.digest(tmp_path / name) != first


class Settings:
    """Something with public and private attributes."""

    def __init__(self, **attributes: Any) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)


def test_descriptions_hold_the_settings_only() -> None:
    one = describe_transform(Settings(size=(4, 4), mode="area", R=np.random.RandomState(1), _state=1))
    assert one == {"class": "Settings", "mode": "area", "size": [4, 4]}
    assert one == describe_transform(Settings(mode="area", _state=2, R=np.random.RandomState(2), size=[4, 4]))
    assert json.dumps(one, sort_keys=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Settings(size=4), Settings(size=5)),
        (Settings(inner=Settings(size=4)), Settings(inner=Settings(size=5))),
        (Compose([ScaleIntensityd("image", 0)]), Compose([ScaleIntensityd("image", 1)])),
        (Lambdad("image", lambda x: x + 1), Lambdad("image", lambda x: x + 2)),
        (Lambdad("image", lambda x: x.min()), Lambdad("image", lambda x: x.max())),
        (functools.partial(max, 1), functools.partial(max, 2)),
        (Settings(weights=np.ones(3)), Settings(weights=np.ones((3, 1)))),
        (Settings(weights=torch.ones(3)), Settings(weights=torch.zeros(3))),
        (Settings(kind=int), Settings(kind=float)),
        (Settings(dtype=torch.uint8), Settings(dtype=torch.float32)),
        ({"a": 1}, {"a": "1"}),
        (b"a", b"b"),
    ],
)
def test_different_settings_are_told_apart(one: Any, other: Any) -> None:
    assert describe_transform(one) != describe_transform(other)


def test_an_object_that_holds_itself_can_be_described() -> None:
    loop = Settings()
    loop.me = loop
    assert describe_transform(loop) == {"class": "Settings", "me": "..."}


def test_descriptions_are_the_same_in_every_process(tmp_path: Path) -> None:
    script = tmp_path / "describe.py"
    script.write_text(
        "import json\n"
        "from bundle.transforms import preprocessing\n"
        "from bundle.data import describe_transform\n"
        "member = lambda x: x in {'a', 'b', 'c', 'd', 'e'}\n"
        "things = [preprocessing(64), {'a', 'b', 'c', 'd', 'e'}, member]\n"
        "found = json.dumps([describe_transform(thing) for thing in things], sort_keys=True)\n"
        "print(found)\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    other = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == runpy.run_path(str(script))["found"]
    assert '"size": 64' in other.stdout
