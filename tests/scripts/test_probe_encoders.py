# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import json
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from bundle.data import (
    FrameCache,
    datalist_content,
    fingerprints,
    records_from_table,
    split_parts,
    write_datalist,
    write_fingerprints,
)
from bundle.errors import InputError
from bundle.networks import Encoder, save_encoder
from bundle.transforms import preprocessing

SCRIPT = Path(__file__).parents[2] / "scripts" / "probe_encoders.py"
CLASSES = ("bright", "dark")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """24 gif clips of 12 patients: bright or dark, so that any encoder tells them apart; one row has no fold."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("clips") / "lungs"
    folder.mkdir()
    random = np.random.default_rng(0)
    rows = []
    for i in range(25):
        label = CLASSES[i // 2 % 2]
        level = 170 if label == "bright" else 60
        frames = [random.integers(level - 40, level + 40, (40, 40)).astype(np.uint8) for _ in range(5)]
        images = [Image.fromarray(frame) for frame in frames]
        images[0].save(folder / f"{i}.gif", save_all=True, append_images=images[1:], duration=100)
        fold = str(i // 4 % 3) if i < 24 else ""
        rows.append({"file": f"{i}.gif", "patient_id": f"{i // 2}", "label": label, "fold": fold, "probe": "convex"})
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name, seed in (("mine", 7), ("other", 8)):
        torch.manual_seed(seed)
        save_encoder(
            Encoder("resnet18"),
            folder / name,
            normalisation={"mean": 0.5, "std": 0.25},
            image_size=32,
            trained={"method": "none", "data": "hearts"},
        )
    return folder


@pytest.fixture
def probe(data, cache, tmp_path, monkeypatch):
    def run(*arguments, output="out"):
        where = ["--dataset-dir", data, "--output-dir", tmp_path / output, "--cache-dir", cache, "--device", "cpu"]
        monkeypatch.setattr(sys, "argv", ["probe_encoders.py", *map(str, [*arguments, *where])])
        runpy.run_path(str(SCRIPT))["main"]()
        return json.loads((tmp_path / output / "results.json").read_text()), (
            tmp_path / output / "table.md"
        ).read_text()

    return run


def test_encoders_next_to_untrained_ones(probe, encoders, data, tmp_path, capsys):
    results, table = probe(encoders / "mine", "--untrained", "resnet18", "--seeds", 0, 1)
    assert table.strip() in capsys.readouterr().out
    assert results["data"]["clips"] == 24 and results["data"]["groups"] == 12
    assert results["data"]["classes"] == {"bright": 12, "dark": 12} and results["data"]["judged"] == "out of fold"
    figures = {(row["name"], row["kind"]): row for row in results["figures"]}
    assert set(figures) == {(n, k) for n in ("mine", "untrained resnet18, 32 pixels") for k in ("linear", "knn")}
    assert all(row["per_clip"] == 1.0 for row in figures.values())
    mine = figures["mine", "knn"]
    assert mine["difference"]["untrained resnet18, 32 pixels"] == {"value": 0, "low": 0, "high": 0, "level": 0.95}
    assert figures["untrained resnet18, 32 pixels", "linear"]["seeds"] == 2
    run = next(run for run in results["runs"] if run["name"] == "mine")
    clips = run["probes"]["linear"]["clips"]
    assert len(clips) == 24 and {len(clip["probabilities"]) for clip in clips} == {2}
    assert {clip["fold"] for clip in clips} == {"0", "1", "2"} and clips[0]["clip"] == "lungs/0.gif"
    assert run["trained"]["data"] == "hearts" and "torch" in run["releases"] and run["command"]
    assert "24 clips (12 bright, 12 dark) of 12 groups" in table and table.count("\n| ") == 6
    assert len(json.loads((tmp_path / "out" / "datalist.json").read_text())["training"]) == 24


def test_what_is_judged_is_not_judged_again(probe, encoders, monkeypatch):
    first, _ = probe(encoders / "mine")
    embedded = []
    import bundle.inferers

    original = bundle.inferers.embed_clips
    monkeypatch.setattr(bundle.inferers, "embed_clips", lambda *a, **k: embedded.append(1) or original(*a, **k))
    again, _ = probe(encoders / "mine")
    assert again["figures"] == first["figures"] and not embedded
    both, _ = probe(f"renamed={encoders / 'mine'}", encoders / "other")
    assert len(embedded) == 1 and [run["name"] for run in both["runs"]] == ["renamed", "other"]
    # what was judged before is kept, but the figures are of what was asked for
    last, table = probe(encoders / "other")
    assert len(last["runs"]) == 2 and {row["name"] for row in last["figures"]} == {"other"}
    assert "renamed" not in table and len(embedded) == 1


def test_changed_weights_are_judged_again(probe, encoders, tmp_path):
    shutil.copytree(encoders / "mine", tmp_path / "mine")
    first, _ = probe(tmp_path / "mine")
    shutil.copytree(encoders / "other", tmp_path / "mine", dirs_exist_ok=True)
    second, _ = probe(tmp_path / "mine")
    assert len(second["runs"]) == 2 and len({run["digest"] for run in second["runs"]}) == 2
    assert first["runs"][0] == second["runs"][0]


def test_one_name_for_several_files_means_seeds(probe, encoders):
    results, _ = probe(f"method={encoders / 'mine'}", f"method={encoders / 'other' / 'encoder.safetensors'}")
    assert [row["seeds"] for row in results["figures"]] == [2, 2]


def test_a_datalist_with_a_testing_part_is_a_split(probe, encoders, data, tmp_path):
    parts = split_parts(records_from_table(data / "labels.csv"), {"training": 0.7, "testing": 0.3})
    write_datalist(tmp_path / "parts.json", datalist_content(parts, name="lungs"))
    results, table = probe(encoders / "mine", "--datalist", tmp_path / "parts.json")
    assert results["data"]["clips"] == len(parts["testing"]) and results["data"]["judged"] == "on the testing part"
    assert {clip["clip"] for clip in results["runs"][0]["probes"]["knn"]["clips"]} == {
        record["video_id"] for record in parts["testing"]
    }
    assert results["figures"][0]["per_clip"] == 1.0 and "–" in table


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--untrained", "resnet18"], "--image-size"),
        (["{mine}", "{copy}"], "two encoders would be called 'mine'"),
        (["{mine}", "--fold-column", "probe"], "is in fold|at least two folds"),
        (["{mine}", "--where", "probe=linear"], "no rows"),
        (["{mine}", "--group-column", "probe"], "fold 1 and fold 2 share 1 patient .lungs/convex."),
        (["nowhere/encoder.safetensors"], "no such file"),
    ],
)
def test_what_cannot_be_judged_is_said(probe, encoders, tmp_path, arguments, message):
    shutil.copytree(encoders / "mine", tmp_path / "copy" / "mine")
    names = {"mine": encoders / "mine", "copy": tmp_path / "copy" / "mine"}
    with pytest.raises(InputError, match=message):
        probe(*[argument.format(**names) for argument in arguments])


def test_one_fold_is_told_with_the_folder_and_leaves_nothing(probe, encoders, data, tmp_path):
    with pytest.raises(InputError, match=f"^{data}: the probe needs at least two folds"):
        probe(encoders / "mine", "--where", "fold=1")
    assert not list((tmp_path / "out").iterdir())


def test_other_results_are_not_overwritten(probe, encoders, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.json").write_text('{"mine": 1}')
    with pytest.raises(InputError, match="not the results of this program"):
        probe(encoders / "mine")
    assert (tmp_path / "out" / "results.json").read_text() == '{"mine": 1}'


def test_an_encoder_that_has_seen_a_clip_is_told(probe, encoders, data, cache, tmp_path, caplog):
    copied = tmp_path / "seen"
    shutil.copytree(encoders / "mine", copied)
    records = [{"image": str(data / f"{i}.gif"), "patient_id": f"else/{i}", "video_id": f"else/{i}"} for i in (3, 24)]
    clips = fingerprints({"training": records}, FrameCache(cache, preprocessing(32)))["training"]
    digest = write_fingerprints(copied / "encoder.clips.npz", clips)
    description = json.loads((copied / "encoder.json").read_text())
    description["trained"] |= {"clips_sha256": digest}
    (copied / "encoder.json").write_text(json.dumps(description))
    with pytest.raises(InputError, match="the pretraining of seen and the clips to judge share 1 content"):
        probe(copied)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"leakage.json", "leakage.png"}, "nothing of a run"
    probe(copied, "--allow-leakage")
    (shared,) = json.loads((tmp_path / "out" / "leakage.json").read_text())
    assert shared["clips"][1] == "lungs/3.gif" and (tmp_path / "out" / "leakage.png").exists()
    assert "as allowed: the pretraining of seen" in caplog.text and "no list of the clips" not in caplog.text
    probe(encoders / "other")
    assert not list((tmp_path / "out").glob("leakage.*")), "of a run before"
    # only the clips that are judged may not be known to the encoder
    parts = {"training": [], "testing": []}
    for record in records_from_table(data / "labels.csv"):
        if "fold" in record:
            parts["testing" if record["fold"] == 1 else "training"].append(record)
    assert "lungs/3.gif" in [record["video_id"] for record in parts["training"]]
    write_datalist(tmp_path / "parts.json", datalist_content(parts, name="lungs"))
    probe(copied, "--datalist", tmp_path / "parts.json", output="split")


def test_an_encoder_that_does_not_say_what_it_saw_is_a_warning(probe, encoders, caplog):
    probe(encoders / "mine")
    assert (
        "mine: no list of the clips it was pretrained on (hearts) lies beside it, so it was not checked" in caplog.text
    )
