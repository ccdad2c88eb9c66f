# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from bundle.errors import InputError
from bundle.networks import Encoder, FrameClassifier
from bundle.reports import Entry, pool_folds, task_results
from bundle.reports.examples import choose_examples, examples_figure, grad_cam
from bundle.reports.tables import describe, difference_rows, summary_rows
from bundle.reports.task_report import TaskReport


def entries(made, **changes):
    made_by = {"random": 0.4, "joint": 0.9}
    return [
        Entry(name, [0, 1], [made(seed=seed, right=right, **changes) for seed in (3, 4)], amount)
        for amount in (1, None)
        for name, right in made_by.items()
    ]


class Outside(HTMLParser):
    """What a page would load, and the tags that are left open."""

    def __init__(self):
        super().__init__()
        self.loaded, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.loaded += [value for name, value in attrs if name in ("src", "href") and value[0] != "#"]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_holds_all_and_needs_nothing_else(tmp_path, made):
    rows = entries(made)
    results = task_results(rows, "Lung <disease>", ["random"])
    folder = tmp_path / "joint_seed0"
    folder.mkdir()
    (folder / "metrics.csv").write_text("epoch,loss,val_balanced_accuracy\n1,1.2,0.3\n2,1.0,\n")
    features = {"features": np.random.default_rng(0).normal(size=(9, 4)), "label": np.arange(9) % 3}
    np.savez(folder / "embeddings.npz", **features)
    rows[-1].folders.append(folder)
    TaskReport(tmp_path / "out", results, rows, commands=["python scripts/evaluate_task.py 'a plan'"]).write()
    page = (tmp_path / "out" / "report.html").read_text()
    outside = Outside()
    outside.feed(page)
    assert not outside.open and all(place.startswith("data:image/png;base64,") for place in outside.loaded)
    assert "Lung &lt;disease&gt;" in page and "scripts/evaluate_task.py &#x27;a plan&#x27;" in page
    assert "SIMULATED" not in page
    sections = re.findall("<h2[^>]*>(.*?)</h2>", page)
    expected = ["Summary", "Label efficiency", "Differences", "Classes", "ROC", "Calibration", "Training"]
    assert sections == [*expected, "Embedding map", "Commands"]
    pictures = sorted(path.name for path in (tmp_path / "out" / "pictures").iterdir())
    assert "label_efficiency.png" in pictures and len(pictures) == len(outside.loaded) == 7
    table = (tmp_path / "out" / "table.md").read_text()
    assert table.count("| joint | 1 | 2 |") == 1 and table.count("| joint | all | 2 |") == 1
    read = json.loads((tmp_path / "out" / "results.json").read_text())
    assert read["rows"][3]["figures"]["per_clip"]["balanced_accuracy"] > 0.8


def test_the_table_says_what_the_results_hold(made):
    results = task_results(entries(made), "Lung", ["random"], [("random", "joint")])
    head, *rows = summary_rows(results)
    by_row = {(row[0], row[1]): dict(zip(head, row, strict=True)) for row in rows}
    joint = results["rows"][3]["figures"]["per_clip"]
    low, high = (joint["intervals"]["balanced_accuracy"][key] for key in ("low", "high"))
    told = by_row["joint", "all"]["balanced accuracy per clip"]
    assert told == f"{joint['balanced_accuracy']:.2f} ({low:.2f} to {high:.2f})"
    gain = next(one for one in results["differences"] if one["per"] == "clip" and one["labelled_patients"] is None)
    assert by_row["joint", "all"]["per clip minus random"].startswith(f"{gain['value']:+.2f} (")
    assert by_row["random", "all"]["per clip minus random"] == ""
    assert by_row["random", "all"]["per clip minus joint"].startswith(f"{-gain['value']:+.2f} (")
    told = {row[0]: row[-1] for row in difference_rows(results)[1:]}
    assert told == {"joint minus random": "yes", "random minus joint": "yes"}
    with pytest.raises(InputError, match="'moco' was not run"):
        task_results(entries(made), "Lung", [], [("moco", "random")])


def test_what_the_tested_part_lacks_is_said(made):
    parts = {"0": made(fold="0", patients=range(6)), "1": made(fold="1", patients=[6, 7, 9, 10])}
    whole = pool_folds(parts)
    assert "out of fold, 2 folds; fold 1 has no regular; chance" in describe(
        task_results([Entry("random", [0], [whole])], "Lung")
    )
    run = made(about={"part": "validation"})
    assert "the validation part, which also chose the epoch" in describe(
        task_results([Entry("random", [0], [run])], "Lung")
    )


def test_protocol_and_simulation_stand_everywhere(tmp_path, made):
    rows = entries(made, protocol="legacy-uscl", data="phantom", simulated=True)[2:]
    results = task_results(rows, "Lung", ["random"])
    assert results["main"] == ["frame", "accuracy"]
    TaskReport(tmp_path, results, rows).write()
    names = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert len(names) > 5 and all(name.startswith("legacy-uscl_") for name in names)
    for name in ("legacy-uscl_table.md", "legacy-uscl_report.html"):
        text = (tmp_path / name).read_text()
        assert "PROTOCOL legacy-uscl" in text and "SIMULATED DATA" in text
        assert "accuracy per clip" in text, "frames do not stand alone"
    mixed = [rows[0], entries(made, data="phantom")[3]]
    with pytest.raises(InputError, match="joint: protocol 'patient', but 'legacy-uscl' of random"):
        task_results(mixed, "Lung")


def test_measures_have_a_page_too(tmp_path, measures):
    rows = [Entry(name, [0], [measures(0, level)], None, [tmp_path / name]) for name, level in (("a", 0.6), ("b", 0.8))]
    (tmp_path / "b").mkdir()
    from PIL import Image

    Image.new("L", (8, 8)).save(tmp_path / "b" / "overlays.png")
    results = task_results(rows, "Breast", ["a"])
    TaskReport(tmp_path / "out", results, rows).write()
    table = (tmp_path / "out" / "table.md").read_text()
    row = next(line for line in table.splitlines() if line.startswith("| b | 1 | Dice |"))
    assert "| +0.2" in row or "| +0.1" in row
    assert (tmp_path / "out" / "report.html").read_text().count("data:image/png") == 4


def test_examples_are_the_surest_of_different_clips(made):
    run = made(right=0.6)
    chosen = choose_examples(run, right=3, wrong=2)
    right, wrong = chosen[:3], chosen[3:]
    assert all(item["told"] == item["label"] for item in right) and all(i["told"] != i["label"] for i in wrong)
    assert {item["label"] for item in right} == {0, 1, 2}
    assert len({item["video_id"] for item in right}) == 3
    assert len(wrong) == 2 and wrong[0]["surety"] == max(
        max(i["probabilities"]) for i in run.items if int(np.argmax(i["probabilities"])) != i["label"]
    )


class Corners(torch.nn.Module):
    """Class 0 is told by the upper half of the frame, class 1 by the lower."""

    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Sequential()
        self.encoder.add_module("pool", torch.nn.AvgPool2d(4))

    def forward(self, x):
        maps = self.encoder(x)
        half = maps.shape[2] // 2
        return torch.stack([maps[:, :, :half].sum((1, 2, 3)), maps[:, :, half:].sum((1, 2, 3))], dim=1)


def test_grad_cam_is_high_where_the_evidence_is():
    image = torch.zeros(1, 1, 32, 32)
    image[..., 4:12, 4:12] = 1.0
    heat = grad_cam(Corners(), image.requires_grad_(), [0])[0]
    assert heat.max() == pytest.approx(1) and heat[8, 8] > 0.9 and heat[24, 24] == pytest.approx(0)
    assert not grad_cam(Corners(), torch.zeros(1, 1, 32, 32).requires_grad_(), [1]).any()


def test_examples_of_a_real_network(made):
    torch.manual_seed(0)
    network = FrameClassifier(Encoder("resnet18"), 3)
    results = {"data": "lung", "simulated": False, "protocol": "patient"}
    run = made(patients=range(3))
    figure = examples_figure(results, "one", run, network, lambda item: torch.rand(1, 40, 32), 0.5, 0.25)
    chosen = choose_examples(run)
    titles = [axes.get_title().splitlines()[0] for axes in figure.axes]
    assert (
        len(titles) == len(chosen)
        and titles[0] == f"right: {run.class_names[chosen[0]['told']]} {chosen[0]['surety']:.2f}"
    )


def test_grad_cam_stands_layers_that_work_in_place():
    torch.manual_seed(0)
    heat = grad_cam(FrameClassifier(Encoder("densenet121"), 3), torch.rand(1, 1, 32, 32), [2])
    assert heat.shape == (1, 32, 32) and 0 <= heat.min() <= heat.max() <= 1
