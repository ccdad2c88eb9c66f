# SPDX-License-Identifier: Apache-2.0
"""What engines take out of a batch."""

from __future__ import annotations

import pytest
import torch

from bundle.data import PrepareFrames, PreparePretext, fixed_draws, gallery_and_query, id_codes
from bundle.errors import InputError
from bundle.inferers import FramesInferer
from bundle.keys import Keys


def test_id_codes_tell_names_apart_and_never_change():
    codes = id_codes(["a/1", "a/2", "a/1", ""])
    assert codes.dtype == torch.int64 and codes[0] == codes[2] and len(set(codes.tolist())) == 3
    assert (codes >= 0).all(), "codes below 0 mean unknown"
    assert torch.equal(codes[:2], id_codes(["a/1", "a/2"]))


def test_views_and_targets():
    batch = {
        Keys.VIEWS: torch.rand(3, 2, 1, 4, 4),
        Keys.LABEL: torch.tensor([0, -1, 2]),
        Keys.VIDEO_ID: ["a", "b", "c"],
        Keys.PATIENT_ID: ["p", "p", "q"],
    }
    images, targets = PreparePretext()(batch)
    assert list(images) == [Keys.VIEWS] and torch.equal(images[Keys.VIEWS], batch[Keys.VIEWS])
    assert set(targets) == {Keys.LABEL, Keys.VIDEO_ID, Keys.PATIENT_ID}
    patient = targets[Keys.PATIENT_ID]
    assert patient[0] == patient[1] != patient[2]
    weighted = PreparePretext()({**batch, Keys.PAIR_WEIGHT: torch.tensor([1.0, 0.5, 0.1])})[1]
    assert torch.equal(weighted[Keys.PAIR_WEIGHT], torch.tensor([1.0, 0.5, 0.1]))
    there = torch.tensor([[True], [False], [True]])
    three = {**batch, Keys.VIEWS: torch.rand(3, 3, 1, 4, 4), Keys.NEGATIVE_MASK: there}
    assert torch.equal(PreparePretext()(three)[1][Keys.NEGATIVE_MASK], there)


def test_clips_and_both():
    clips = {
        Keys.CLIPS: torch.rand(1, 2, 4, 1, 4, 4),
        Keys.ORDER: torch.tensor([3]),
        Keys.MOVING: torch.tensor([True]),
        Keys.GEOMETRY: torch.rand(1, 5),
        Keys.VIDEO_ID: ["a"],
        Keys.PATIENT_ID: ["p"],
    }
    images, targets = PreparePretext()(clips)
    assert list(images) == [Keys.CLIPS], "a single clip has an order"
    assert all(value is clips[name] for name, value in targets.items() if name in (Keys.ORDER, Keys.MOVING))
    assert torch.equal(targets[Keys.GEOMETRY], clips[Keys.GEOMETRY]) and targets[Keys.PATIENT_ID] == id_codes(["p"])
    views = {Keys.VIEWS: torch.rand(1, 2, 1, 4, 4), Keys.LABEL: torch.tensor([0])}
    with pytest.raises(InputError, match="a batch of one clip"):
        PreparePretext()({**clips, **views})


def test_frames_inferer_equals_frame_by_frame():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 5))
    frames, labels = PrepareFrames()({Keys.FRAMES: torch.rand(3, 4, 1, 4, 4), Keys.LABEL: torch.tensor([1, 0, 1])})
    assert labels.tolist() == [1, 0, 1]
    expected = torch.stack([torch.stack([network(frame[None])[0] for frame in clip]) for clip in frames])
    for batch_size in (1, 5, 100):
        assert torch.allclose(FramesInferer(batch_size)(frames, network), expected, atol=1e-6)


def test_gallery_and_query_mark_copies():
    training, testing = [{"a": 1}], [{"a": 2}]
    assert gallery_and_query(training, testing) == [{"a": 1, "part": "gallery"}, {"a": 2, "part": "query"}]
    assert training == [{"a": 1}]


def test_each_record_has_each_draw():
    given = [{Keys.VIDEO_ID: "a"}, {Keys.VIDEO_ID: "b"}]
    drawn = [(record[Keys.VIDEO_ID], record[Keys.DRAW]) for record in fixed_draws(given, 3)]
    assert drawn == [(name, (k, 3)) for name in "ab" for k in range(3)]
    assert given == [{Keys.VIDEO_ID: "a"}, {Keys.VIDEO_ID: "b"}], "the records given are left alone"
