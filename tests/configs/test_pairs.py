# SPDX-License-Identifier: Apache-2.0
"""The contrastive recipe with every preset of pairs: it trains, and resumes as if it had not been stopped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Events
from PIL import Image

from bundle.data import datalist_content, records_from_table, split_parts, write_datalist
from bundle.keys import Keys
from bundle.transforms import PAIR_PRESETS

GAPS = {"meta-uscl": 0.2, "ivpp": 0.1, "us-ucl": 0.05}  # seconds, for clips of six frames


@pytest.fixture(scope="session")
def two_clips_a_patient(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A datalist of the tiny phantom in which two patients of a class are one; the last one stays alone."""
    records = records_from_table(phantom / "labels.csv")
    patients = list(dict.fromkeys(record[Keys.PATIENT_ID] for record in records))
    one = {patient: f"joined/{min(i // 2, 13)}" for i, patient in enumerate(patients[:-2])}
    for record in records:
        record[Keys.PATIENT_ID] = one.get(record[Keys.PATIENT_ID], record[Keys.PATIENT_ID])
    path = tmp_path_factory.mktemp("datalist") / "datalist.json"
    parts = split_parts(records, {"training": 0.8, "validation": 0.2}, seed=0)
    write_datalist(path, datalist_content(parts, name="joined"))
    return path


@pytest.mark.parametrize("preset", PAIR_PRESETS)
def test_every_preset_trains_and_resumes_exactly(workflow, tiny, two_clips_a_patient, tmp_path, preset):
    tiny |= {"pair_preset": preset, "pair_gap": GAPS.get(preset), "datalist_file": str(two_clips_a_patient)}
    whole = workflow("train.yaml", **tiny)
    batches = []
    trainer = whole.parser.get_parsed_content("train#trainer")
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: batches.append(engine.state.batch))
    folder, broken = Path(tiny["output_dir"]), tmp_path / "broken"
    trainer.add_event_handler(Events.EPOCH_STARTED(once=2), lambda engine: shutil.copytree(folder, broken))
    whole.run()
    rows = json.loads((folder / "metrics.json").read_text())
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert all(np.isfinite(row[part]) for row in rows[1:] for part in ("loss", "contrast", "label"))
    trained = json.loads((folder / "encoder.json").read_text())["trained"]
    assert trained["method"].endswith(f"pairs {preset}") and trained["pair_gap"] == GAPS.get(preset)

    for batch in batches:
        assert batch[Keys.VIEWS].shape[1] == PAIR_PRESETS[preset].n_views
        assert (Keys.PAIR_WEIGHT in batch) == (preset == "ivpp")
        assert (Keys.NEGATIVE_MASK in batch) == (preset == "us-ucl")
        assert (Keys.PAIR_INDEX in batch) == (preset == "echoclr")
    if preset == "us-ucl":
        assert all(batch[Keys.NEGATIVE_MASK].any() for batch in batches)
    if preset == "echoclr":
        own, other = torch.cat([batch[Keys.PAIR_INDEX] for batch in batches]).T
        assert (own != other).any()
        records = whole.parser.get_parsed_content("train#dataset").data
        assert all(records[a][Keys.PATIENT_ID] == records[b][Keys.PATIENT_ID] for a, b in zip(own, other, strict=True))
        assert whole.parser.get_parsed_content("loss").losses["contrast"].contrast.mask_same_patient

    torch.manual_seed(1234)
    workflow("train.yaml", **{**tiny, "output_dir": str(broken)}, resume=True).run()
    kept, resumed = (torch.load(run / "last.pt", weights_only=True)["network"] for run in (folder, broken))
    assert all(torch.equal(value, resumed[name]) for name, value in kept.items())


@pytest.mark.parametrize("preset", ["us-ucl", "echoclr"])
def test_what_else_a_pair_can_have_is_drawn(workflow, tiny, two_clips_a_patient, tmp_path, pictures, preset):
    tiny |= {"pair_preset": preset, "pair_gap": GAPS.get(preset), "datalist_file": str(two_clips_a_patient)}
    montage = workflow("train.yaml", **tiny).parser.get_parsed_content("montage")
    montage.figure([0, 1]).savefig(tmp_path / "pairs.png")
    assert np.asarray(Image.open(tmp_path / "pairs.png").convert("L")).std() > 10


def test_gap_and_preset_are_checked(refused, workflow, tiny):
    assert "pair_gap: found 0.5, but the preset uscl has no gap" in refused(**tiny, pair_gap=0.5)
    assert "pair preset 'usclr' is not known" in refused(**tiny, pair_preset="usclr")
    tiny |= {"pair_preset": "ivpp", "max_epochs": 1}
    workflow("train.yaml", **tiny).run()
    assert "pair_gap None, now it is 0.5" in refused(**tiny, pair_gap=0.5, resume=True)


def test_no_patient_with_two_videos_is_said(workflow, tiny, caplog):
    workflow("train.yaml", **tiny, pair_preset="echoclr").parser.get_parsed_content("train#dataset")
    assert "20 of 20 training patients have one video only" in caplog.text
