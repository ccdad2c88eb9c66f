# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch

from bundle.errors import InputError
from bundle.inferers import embed_clips, probe_features, probe_records
from bundle.keys import UNLABELLED, Keys
from bundle.metrics import ProbeFrames, probe_out_of_fold, probe_split
from bundle.networks import Encoder


def clips(lengths, channels=1):
    random = torch.Generator().manual_seed(0)
    return [{Keys.FRAMES: torch.rand(n, channels, 32, 32, generator=random), "frame_times": None} for n in lengths]


@pytest.mark.parametrize(("in_channels", "channels"), [(1, 1), (3, 1), (3, 3)])
@pytest.mark.parametrize("at_once", [1, 2, 16])
def test_equals_one_frame_at_a_time(in_channels, channels, at_once):
    torch.manual_seed(0)
    encoder = Encoder("resnet18", in_channels).train()
    state = {name: value.clone() for name, value in encoder.state_dict().items()}
    mean, std = (0.4, 0.2) if in_channels == 1 else ([0.1, 0.2, 0.3], [0.5, 0.6, 0.7])
    items = clips([3, 1, 4], channels)
    found = embed_clips(encoder, items, {"mean": mean, "std": std}, clips_at_once=at_once)
    assert encoder.training and all(torch.equal(state[name], value) for name, value in encoder.state_dict().items())
    encoder.eval()
    for item, features in zip(items, found, strict=True):
        assert features.shape == (len(item[Keys.FRAMES]), 512) and not features.requires_grad
        for frame, feature in zip(item[Keys.FRAMES], features, strict=True):
            planes = [
                (frame[c if channels > 1 else 0] - np.ravel(mean)[c]) / np.ravel(std)[c] for c in range(in_channels)
            ]
            with torch.no_grad():
                assert torch.allclose(encoder(torch.stack(planes)[None].float())[0], feature, atol=1e-4)


def test_colour_frames_do_not_fit_a_grey_encoder():
    with pytest.raises(InputError, match="found frames of 3 channels, expected 1"):
        embed_clips(Encoder("resnet18", 1), clips([2], 3), {"mean": 0.5, "std": 0.25})


def records(n=24):
    items = [
        {Keys.VIDEO_ID: f"v{i}", Keys.PATIENT_ID: f"p{i // 2}", Keys.LABEL: i // 2 % 2, Keys.FOLD: i // 4 % 3}
        for i in range(n)
    ]
    random = torch.Generator().manual_seed(1)
    features = [torch.randn(1 + i % 3, 5, generator=random) + 2 * item[Keys.LABEL] for i, item in enumerate(items)]
    return items, features


def frames(items, features):
    return ProbeFrames.from_clips(features, items), [
        i[Keys.FOLD] for i, f in zip(items, features, strict=True) for _ in f
    ]


def test_folds_are_judged_out_of_fold():
    items, features = records()
    found = probe_features(features, items, ["a", "b"])
    assert set(found) == {"linear", "knn"}
    for kind, result in found.items():
        assert result == probe_out_of_fold(
            frames(items, features)[0], [str(f) for f in frames(items, features)[1]], kind, ["a", "b"]
        )


def test_parts_are_judged_as_a_split_even_with_folds():
    items, features = records()
    items = [{**item, Keys.PART: "gallery" if i < 16 else "query"} for i, item in enumerate(items)]
    found = probe_features(features, items, ["a", "b"])
    sides = [ProbeFrames.from_clips(features[part], items[part]) for part in (slice(16), slice(16, None))]
    assert found["knn"] == probe_split(*sides, "knn", ["a", "b"])
    assert [clip.clip for clip in found["linear"].clips] == [f"v{i}" for i in range(16, 24)]


def test_only_labelled_records_with_a_fold_or_part_are_kept():
    items, _ = records(8)
    items[0][Keys.LABEL] = UNLABELLED
    del items[1][Keys.FOLD]
    items[2][Keys.FOLD] = ""
    assert probe_records(items) == items[3:]  # fold 0 is a fold
    parted = [*items[:6], {**items[6], Keys.PART: "query"}]
    assert probe_records(parted) == parted[6:]
    with pytest.raises(InputError, match="of 2 clips 1 have a label, and none of these a fold"):
        probe_records(items[:2])
