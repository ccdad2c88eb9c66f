# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from bundle.errors import InputError
from bundle.metrics import ProbeFrames, ProbeResult, grouped_folds, knn_probabilities, probe_out_of_fold, probe_split

KINDS = ["linear", "knn"]


def world(seed=0, n_groups=30, signal=0.0, dim=8, n_classes=3):
    """Clips of one to three a group with one to six frames; features hold the class, the group and noise."""
    random = np.random.default_rng(seed)
    features, clips, labels, groups, folds = [], [], [], [], []
    for group in range(n_groups):
        of_group = random.normal(size=dim)
        for clip in range(random.integers(1, 4)):
            for _ in range(random.integers(1, 7)):
                label = group % n_classes
                features.append(signal * np.eye(dim)[label] + of_group + 0.2 * random.normal(size=dim))
                clips.append(f"g{group}c{clip}")
                labels.append(label)
                groups.append(f"g{group}")
                folds.append(group // n_classes % 5)
    return ProbeFrames(np.array(features), clips, np.array(labels), groups), np.array(folds)


@pytest.mark.parametrize("kind", KINDS)
def test_perfect_features_give_one(kind):
    frames, folds = world()
    result = probe_out_of_fold(replace(frames, features=np.eye(3)[frames.labels]), folds, kind)
    assert (result.per_frame, result.per_clip, result.per_patient, result.fold_mean) == (1, 1, 1, 1)
    assert result.fold_spread == 0 and set(result.per_fold) == set("01234")


@pytest.mark.parametrize("kind", KINDS)
def test_features_that_know_only_the_patient_give_chance(kind):
    """Each group lies in a corner of its own: a split by clips would give 1, folds by group give 1/3."""
    found = [probe_out_of_fold(*world(seed=seed, signal=0.0), kind).per_clip for seed in range(3)]
    assert np.mean(found) == pytest.approx(1 / 3, abs=0.17)
    frames, _ = world(seed=0, signal=0.0)
    clip_number = np.array([int(c[-1]) for c in frames.clips])
    leaking = replace(frames, groups=frames.clips)
    several = np.isin(frames.groups, [g for g, c in zip(frames.groups, frames.clips, strict=True) if c[-1] == "1"])
    assert probe_out_of_fold(leaking.where(several), clip_number[several] % 2, "knn").per_clip > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_signal_is_found(kind):
    assert probe_out_of_fold(*world(signal=4.0), kind).per_clip > 0.85


@pytest.mark.parametrize("kind", KINDS)
def test_order_of_the_frames_does_not_matter(kind):
    frames, folds = world(signal=1.5)
    order = np.random.default_rng(0).permutation(len(frames))
    moved = ProbeFrames(
        frames.features[order],
        [frames.clips[i] for i in order],
        frames.labels[order],
        [frames.groups[i] for i in order],
    )
    first, second = probe_out_of_fold(frames, folds, kind), probe_out_of_fold(moved, folds[order], kind)
    assert second.per_frame == pytest.approx(first.per_frame)
    assert (second.per_clip, second.per_fold, second.chosen_c) == (first.per_clip, first.per_fold, first.chosen_c)
    assert second.interval(200) == first.interval(200)
    by_clip = {clip.clip: clip for clip in second.clips}
    assert set(by_clip) == {clip.clip for clip in first.clips}
    for clip in first.clips:
        assert by_clip[clip.clip].probabilities == pytest.approx(clip.probabilities, abs=1e-3)


def test_equals_the_protocol_written_out():
    frames, folds = world(signal=1.0)
    result = probe_out_of_fold(frames, folds, "knn")
    votes, truth, frame_right = {}, {}, {0: [], 1: [], 2: []}
    for i in range(len(frames)):
        train = [j for j in range(len(frames)) if folds[j] != folds[i]]
        scores = knn_probabilities(
            torch.tensor(frames.features[[i]]).float(),
            torch.tensor(frames.features[train]).float(),
            torch.tensor(frames.labels[train]),
            3,
        )[0].tolist()
        votes.setdefault(frames.clips[i], []).append(scores)
        truth[frames.clips[i]] = int(frames.labels[i])
        frame_right[truth[frames.clips[i]]].append(scores.index(max(scores)) == frames.labels[i])
    means = {clip: np.mean(rows, axis=0) for clip, rows in votes.items()}
    assert [clip.clip for clip in result.clips] == list(means)
    for clip in result.clips:
        assert clip.probabilities == pytest.approx(means[clip.clip], abs=1e-5)
        assert clip.label == truth[clip.clip] and clip.group == clip.clip.split("c")[0]
    assert result.per_frame == pytest.approx(np.mean([np.mean(r) for r in frame_right.values()]))

    def recall_mean(names):
        right = {}
        for name in names:
            right.setdefault(truth[name], []).append(means[name].argmax() == truth[name])
        return np.mean([np.mean(values) for values in right.values()])

    assert result.per_clip == pytest.approx(recall_mean(means))
    of_fold = {clip: fold for clip, fold in zip(frames.clips, folds.tolist(), strict=True)}
    per_fold = [recall_mean([c for c in means if of_fold[c] == fold]) for fold in range(5)]
    assert list(result.per_fold.values()) == pytest.approx(per_fold)
    assert result.fold_mean == pytest.approx(np.mean(per_fold))
    assert result.fold_spread == pytest.approx(np.std(per_fold, ddof=1))
    assert np.sum(result.confusion_per_clip) == len(means)


@pytest.mark.parametrize("kind", KINDS)
def test_the_query_never_shapes_its_own_probe(kind):
    """Spoiling the labels of one fold changes nothing in that fold's predictions."""
    frames, folds = world(signal=1.0)
    spoiled = replace(frames, labels=np.where(folds == 2, (frames.labels + 1) % 3, frames.labels))
    first, second = (probe_out_of_fold(f, folds, kind) for f in (frames, spoiled))
    changed = {fold: 0 for fold in "01234"}
    for a, b in zip(first.clips, second.clips, strict=True):
        changed[a.fold] += a.probabilities != b.probabilities
        assert (a.label != b.label) == (a.fold == "2")
    assert changed.pop("2") == 0 and min(changed.values()) > 0


def test_json_keeps_everything():
    result = probe_out_of_fold(*world(signal=1.0), "linear", class_names=["a", "b", "c"])
    assert ProbeResult.from_dict(json.loads(json.dumps(result.to_dict(), allow_nan=False))) == result
    assert result.class_names == ["a", "b", "c"] and len(result.chosen_c) == 5


def test_a_group_in_two_folds_is_named():
    frames, folds = world()
    folds[[i for i, g in enumerate(frames.groups) if g == "g7"][-1]] += 1
    with pytest.raises(InputError, match="group g7 is in fold 2 and in fold 3"):
        probe_out_of_fold(frames, folds)


def test_a_clip_with_two_labels_or_groups_is_named():
    with pytest.raises(InputError, match="clip x: found label 0 and label 1"):
        ProbeFrames(np.zeros((2, 3)), ["x", "x"], np.array([0, 1]), ["p", "p"])
    with pytest.raises(InputError, match="clip x: found group p and group q"):
        ProbeFrames(np.zeros((2, 3)), ["x", "x"], np.array([0, 0]), ["p", "q"])


def test_a_broken_encoder_is_named_not_scored():
    features = np.zeros((2, 3))
    features[1, 2] = np.nan
    with pytest.raises(InputError, match="clip y: its features are not finite"):
        ProbeFrames(features, ["x", "y"], np.array([0, 1]), ["p", "q"])


@pytest.mark.parametrize("blank", ["", "  ", None, float("nan")])
def test_blank_groups_equal_nothing(blank):
    frames = ProbeFrames(np.eye(4), ["a", "b", "c", "d"], np.array([0, 1, 0, 1]), [blank] * 4)
    assert len(set(frames.groups)) == 4
    assert len(probe_out_of_fold(frames, [0, 0, 1, 1], "knn").clips) == 4


def test_a_class_missing_from_a_training_side_is_named():
    frames, folds = world()
    only_once = np.where(frames.labels == 2, 3, folds)
    with pytest.raises(InputError, match="training side of fold 3 has no clip of class heart"):
        probe_out_of_fold(frames, only_once, class_names=["lung", "liver", "heart"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"folds": 0}, "at least two folds"),
        ({"kind": "forest"}, "forest"),
        ({"labels": -1}, "leave unlabelled out"),
        ({"class_names": ["a", "b"]}, "class indices"),
    ],
)
def test_what_cannot_be_used_is_said(change, message):
    frames, folds = world()
    if "labels" in change:
        frames = replace(frames, labels=np.where(folds == 0, -1, frames.labels))
    if "folds" in change:
        folds = np.zeros_like(folds)
    with pytest.raises(InputError, match=message):
        probe_out_of_fold(frames, folds, change.get("kind", "knn"), change.get("class_names"))


@pytest.mark.parametrize("kind", KINDS)
def test_two_folds_are_enough(kind):
    frames, folds = world(signal=4.0)
    assert probe_out_of_fold(frames, folds % 2, kind).per_clip > 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_a_split_is_one_fold(kind):
    frames, folds = world(signal=1.0)
    split = probe_split(frames.where(folds != 4), frames.where(folds == 4), kind)
    assert {clip.fold for clip in split.clips} == {"0"} and split.fold_mean == split.per_clip
    if kind == "knn":
        whole = [clip for clip in probe_out_of_fold(frames, folds, kind).clips if clip.fold == "4"]
        assert [clip.probabilities for clip in split.clips] == [clip.probabilities for clip in whole]


def test_a_split_that_leaks_or_lacks_is_refused():
    frames, folds = world()
    train, test = frames.where(folds != 4), frames.where(folds == 4)
    with pytest.raises(InputError, match="group g3 is in part gallery and in part query"):
        probe_split(train, frames.where((folds == 4) | (np.array(frames.groups) == "g3")))
    with pytest.raises(InputError, match="gallery has no clip of class 1"):
        probe_split(train.where(train.labels != 1), test)
    with pytest.raises(InputError, match="query has no labelled clip"):
        probe_split(train, test.where(test.labels > 5))


def test_grouped_folds_keep_groups_whole_and_classes_everywhere():
    frames, _ = world(n_groups=33)
    folds = grouped_folds(frames)
    for group in set(frames.groups):
        assert len({int(f) for f, g in zip(folds, frames.groups, strict=True) if g == group}) == 1
    for fold in range(5):
        assert set(frames.labels[folds == fold]) == set(frames.labels[folds != fold]) == {0, 1, 2}
    few = frames.where((frames.labels != 2) | np.isin(frames.groups, ["g2", "g5"]))
    assert set(grouped_folds(few)) == {0, 1}
    assert set(grouped_folds(frames.where((frames.labels != 2) | (np.array(frames.groups) == "g2")))) == {0}


def test_folds_of_real_tables(ultrasound_data):
    """The lung set's own folds are by group; its published folds of 2021 are by clip, and are refused."""
    with (ultrasound_data / "pocus_lung" / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    classes = ["covid", "pneumonia", "regular"]
    random = np.random.default_rng(0)
    for column in ("fold", "fold_2021"):
        chosen = [row for row in rows if row[column] and row["label"] in classes]
        labels = np.array([classes.index(row["label"]) for row in chosen])
        frames = ProbeFrames(
            np.eye(3)[labels] + 0.01 * random.normal(size=(len(chosen), 3)),
            [row["video_id"] for row in chosen],
            labels,
            [row["group_id"] for row in chosen],
        )
        folds = [row[column] for row in chosen]
        if column == "fold":
            result = probe_out_of_fold(frames, folds, "linear", classes)
            assert result.per_clip == 1 and set(result.per_fold) == set("01234") and len(result.clips) == 87
        else:
            with pytest.raises(InputError, match="a patient must be in one fold only"):
                probe_out_of_fold(frames, folds, "linear", classes)
