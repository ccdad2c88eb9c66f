# SPDX-License-Identifier: Apache-2.0
"""The data set of cines: partners of the same patient, and that what an epoch draws depends on its seed alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import DataLoader, MetaTensor
from monai.transforms import Compose, SelectItemsd

from bundle.data import CineDataset, Datalist, FrameCache, PreparePretext, keep_readable
from bundle.errors import InputError
from bundle.keys import Keys
from bundle.transforms import RandPairViewsd


def load(data: dict[str, Any]) -> dict[str, Any]:
    """A file holds the number of frames, their grey value and their rate (0: the file says nothing of time)."""
    n_frames, value, rate = map(int, Path(data[Keys.IMAGE]).read_text().split())
    meta = {Keys.FRAME_TIMES: (np.arange(n_frames) / rate).tolist()} if rate else {}
    return {Keys.IMAGE: MetaTensor(torch.full((1, n_frames, 8, 8), value, dtype=torch.uint8), meta=meta)}


VIDEOS = [("p", "a", 5), ("p", "b", 5), ("p", "c", 5), ("q", "d", 5), ("r", "e", 5), ("r", "f", 5), ("r", "f", 5)]
"""Patient, video and number of frames; grey values are 10, 20, 30 ..."""


@pytest.fixture
def records(tmp_path: Path) -> list[dict[str, Any]]:
    made = []
    for index, (patient, video, n_frames) in enumerate(VIDEOS):
        path = tmp_path / f"{index}.txt"
        path.write_text(f"{n_frames} {10 * (index + 1)} 25")
        made.append({Keys.IMAGE: str(path), Keys.VIDEO_ID: video, Keys.PATIENT_ID: patient, Keys.LABEL: index})
    return made


@pytest.fixture
def cache(tmp_path: Path) -> FrameCache:
    return FrameCache(tmp_path / "cache", load)


def test_partners_are_the_other_videos_of_the_patient(records, cache, caplog):
    dataset = CineDataset(records, cache, partners=True)
    indices = [[get()[Keys.INDEX] for get in dataset[index][Keys.PARTNERS]] for index in range(len(records))]
    assert indices == [[1, 2], [0, 2], [0, 1], [], [5, 6], [4], [4]], "another file of the same video is none"
    partner = dataset[0][Keys.PARTNERS][1]()
    assert partner[Keys.VIDEO_ID] == "c" and Keys.PARTNERS not in partner
    assert np.array_equal(partner[Keys.FRAME_TIMES], np.arange(5) / 25)
    assert not partner[Keys.IMAGE].flags.owndata and not partner[Keys.IMAGE].flags.writeable, "mapped, not read"
    assert (partner[Keys.IMAGE] == 30).all()
    assert caplog.text.count("1 of 3 training patients have one video only") == 1
    assert Keys.PARTNERS not in CineDataset(records, cache)[0]


def test_partners_of_one_patient_are_refused(records, cache):
    with pytest.raises(InputError, match="found 1 patient, expected at least two"):
        CineDataset(records[:3], cache, partners=True)


def loader(records, cache, seed: int, workers: int) -> DataLoader:
    pairs = RandPairViewsd(preset="echoclr", mean=0, std=1)
    pairs.set_random_state(seed=seed)
    keys = [Keys.VIEWS, Keys.PAIR_INDEX, Keys.PAIR_FRAMES, Keys.LABEL, Keys.VIDEO_ID, Keys.PATIENT_ID]
    dataset = CineDataset(records, cache, Compose([pairs, SelectItemsd(keys)]), partners=True)
    torch.manual_seed(seed)  # as EpochSeed does; worker processes are seeded from it
    return DataLoader(dataset, batch_size=7, num_workers=workers)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_batch_of_same_patient_pairs(records, cache, workers):
    keep_readable(Datalist("some", [], records, [], []), cache)
    (batch,) = loader(records, cache, 0, workers)
    pairs = batch[Keys.PAIR_INDEX]
    assert pairs[:, 0].tolist() == list(range(7))
    for item, (own, other) in enumerate(pairs.tolist()):
        (patient, video, _), (other_patient, other_video, _) = VIDEOS[own], VIDEOS[other]
        assert patient == other_patient and (video != other_video or patient == "q")
        greys = batch[Keys.VIEWS][item].mean(dim=(1, 2, 3)) * 255
        assert greys.tolist() == pytest.approx([10 * (own + 1), 10 * (other + 1)], rel=1e-5)
    assert torch.equal(batch[Keys.LABEL], pairs)
    images, targets = PreparePretext()(batch)
    views = images[Keys.VIEWS]
    assert views.shape == (7, 2, 1, 8, 8) and targets[Keys.LABEL].shape == (7, 2)
    (again,) = loader(records, cache, 0, workers)
    assert torch.equal(again[Keys.PAIR_INDEX], pairs) and torch.equal(again[Keys.PAIR_FRAMES], batch[Keys.PAIR_FRAMES])
    others = [next(iter(loader(records, cache, seed, workers)))[Keys.PAIR_INDEX] for seed in (1, 2)]
    assert any(not torch.equal(other, pairs) for other in others)


def test_unknown_times_are_said_once(records, cache, caplog):
    caplog.set_level("INFO")
    for index, content in ((0, "5 10 0"), (1, "5 20 0"), (2, "1 30 0")):
        Path(records[index][Keys.IMAGE]).write_text(content)
    keep_readable(Datalist("some", [], records, [], []), cache)
    assert caplog.text.count("2 of 7 training clips do not say when their frames were taken") == 1
    assert "30 frames a second" in caplog.text
    caplog.clear()
    keep_readable(Datalist("some", [], records[3:], [], []), cache)
    assert "do not say" not in caplog.text
