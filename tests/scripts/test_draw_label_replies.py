# SPDX-License-Identifier: Apache-2.0
"""Answers of a server are drawn on the frame they are about, or refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import draw_label_replies
import itk
import numpy as np
import pytest
from PIL import Image

from bundle.errors import InputError


def test_every_kind_of_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "clip.npy", np.full((5, 40, 60), 80, np.uint8))
    label = np.zeros((5, 40, 60), np.uint8)
    label[2, 10:20, 30:50] = 255
    for name, values in (("mask", label // 255), ("density", label), ("other", label[:, :-1])):
        itk.imwrite(itk.image_from_array(np.ascontiguousarray(values)), str(tmp_path / f"{name}.nrrd"))
    boxes = [{"frame": 2, "box": [30, 10, 50, 20], "score": 0.5}, {"frame": 0, "box": [0, 0, 9, 9], "score": 0.4}]
    (tmp_path / "boxes.json").write_text(json.dumps({"boxes": boxes}))
    scores = [{"label": "a", "score": 0.2}, {"label": "b", "score": 0.8}]
    (tmp_path / "classes.json").write_text(json.dumps({"prediction": scores}))

    def drawn(*answers: str) -> np.ndarray:
        words = [word for one in answers for word in (f"--{one.split('.')[0]}", str(tmp_path / one))]
        target = tmp_path / "picture.png"
        monkeypatch.setattr(sys, "argv", ["", str(tmp_path / "clip.npy"), "--picture", str(target), *words])
        draw_label_replies.main()
        return np.asarray(Image.open(target).convert("RGB")).astype(int)

    every = drawn("classes.json", "mask.nrrd", "density.nrrd", "boxes.json")
    assert every.shape[1] == pytest.approx(4 * drawn("mask.nrrd").shape[1], abs=4)
    coloured = (np.ptp(every, axis=-1) > 40).any(axis=0)
    panels = coloured.reshape(4, -1).any(axis=1)
    assert panels.tolist() == [False, True, True, True]
    label[:] = 0
    itk.imwrite(itk.image_from_array(label), str(tmp_path / "mask.nrrd"))
    assert not (np.ptp(drawn("mask.nrrd"), axis=-1) > 40).any(), "nothing is marked"
    for text in ('{"result": 1}', "no JSON", '{"boxes": [{"frame": 2}]}', '{"boxes": [2]}'):
        (tmp_path / "boxes.json").write_text(text)
        with pytest.raises(InputError, match=r"boxes.json: found no list 'boxes' .* with frame, box, score of each"):
            drawn("boxes.json")
    with pytest.raises(InputError, match="found no answer to draw"):
        drawn()
    (tmp_path / "other.nrrd").rename(tmp_path / "mask.nrrd")
    with pytest.raises(InputError, match=r"label map of \(5, 39, 60\), expected frames of \(40, 60\)"):
        drawn("mask.nrrd")
