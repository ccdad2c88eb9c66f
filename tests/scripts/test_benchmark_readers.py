# SPDX-License-Identifier: Apache-2.0
"""The reader benchmark: what it says of exactness must be able to be no."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/benchmark_readers.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_readers", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up there
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def clip(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (6, 24, 32), dtype=np.uint8)
    np.save(tmp_path / "clip.npy", frames)
    return tmp_path / "clip.npy"


def test_a_line_for_each_kind(benchmark, clip, tmp_path, capsys):
    benchmark.main([str(clip), "--runs", "1", "--output", str(tmp_path / "costs.json")])
    printed = capsys.readouterr().out
    assert "| array .npy | 1 | 6 | yes | no | no |" in printed
    [cost] = json.loads((tmp_path / "costs.json").read_text())
    assert (cost["frames"], cost["size"], cost["exact"]) == (6, "32 x 24", True)


def test_frames_that_differ_are_an_error(benchmark, clip, monkeypatch):
    real = benchmark.read_cine

    def shifted(path, frames=None):
        return real(path, None if frames is None else [(k + 1) % 6 for k in frames])

    monkeypatch.setattr(benchmark, "read_cine", shifted)
    with pytest.raises(SystemExit, match="differ"):
        benchmark.main([str(clip), "--runs", "1"])


def test_the_error_from_the_source(benchmark, clip, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    frames = np.load(clip)
    np.save(other / "a.npy", frames // 2)
    benchmark.main([str(other), "--runs", "1", "--source", str(clip)])
    error = float(capsys.readouterr().out.strip().rsplit("|", 2)[1])
    assert error == pytest.approx((frames - frames // 2).mean(), rel=0.01)
