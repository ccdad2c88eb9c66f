# SPDX-License-Identifier: Apache-2.0
"""Handlers one by one, on engines of a few lines. The recipe as a whole is tested in tests/configs."""

from __future__ import annotations

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.transforms import RandScaleIntensity

from bundle.errors import InputError
from bundle.handlers import EpochSeed, LossParts, TerminateOnNan, TrainingLog, open_run_folder
from bundle.handlers.training_log import write_table


def drawing_engine(transform, seen):
    def step(engine, batch):
        transform.randomize()
        seen.setdefault(engine.state.epoch, []).append((float(torch.rand(())), transform.factor, int(batch)))

    return Engine(step)


def draws(seed, epochs, first_epoch=0, epoch_length=None):
    """What two epochs' iterations draw: torch's number, the transform's, and the order of the data."""
    transform = RandScaleIntensity(0.5, prob=1.0)
    loader = torch.utils.data.DataLoader(torch.arange(5), shuffle=True)
    seen: dict = {}
    engine = drawing_engine(transform, seen)
    EpochSeed(seed, transform).attach(engine)

    def resume(engine):
        engine.state.epoch = first_epoch

    engine.add_event_handler(Events.STARTED, resume)
    engine.run(loader, max_epochs=epochs, epoch_length=epoch_length)
    return seen


def test_an_epoch_draws_the_same_whether_reached_or_resumed():
    whole = draws(3, epochs=4)
    torch.rand(17)
    assert draws(3, epochs=4, first_epoch=2) == {3: whole[3], 4: whole[4]}
    assert whole[1] != whole[2]
    assert draws(4, epochs=1)[1] != whole[1]


@pytest.mark.parametrize("epoch_length", [2, 7])
def test_an_epoch_that_is_no_pass_over_the_data_is_the_same_when_resumed(epoch_length):
    whole = draws(3, epochs=3, epoch_length=epoch_length)
    assert draws(3, epochs=3, first_epoch=1, epoch_length=epoch_length) == {2: whole[2], 3: whole[3]}
    assert all(len({place for *_, place in epoch[:5]}) == min(5, epoch_length) for epoch in whole.values())


def test_each_rank_draws_for_itself(monkeypatch):
    alone = draws(3, epochs=1)
    monkeypatch.setattr("ignite.distributed.get_rank", lambda: 1)
    second = draws(3, epochs=1)
    assert all(one[:2] != other[:2] for one, other in zip(alone[1], second[1], strict=True))
    monkeypatch.setattr("ignite.distributed.get_rank", lambda: 0)
    assert draws(3, epochs=1) == alone


def loss_engine(losses):
    loss = SimpleNamespace(parts={})

    def step(engine, batch):
        loss.parts = {"contrast": torch.tensor(2.0 * losses[batch])}
        return {"loss": torch.tensor(losses[batch])}

    return Engine(step), loss


def test_loss_parts_are_means_of_their_own_epoch():
    engine, loss = loss_engine([1.0, 2.0, 6.0])
    LossParts(loss).attach(engine)
    state = engine.run([0, 1, 2], max_epochs=2)
    assert state.metrics["loss"] == pytest.approx(3.0)
    assert state.metrics["contrast"] == pytest.approx(6.0)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_with_an_error(bad):
    engine, _ = loss_engine([1.0, bad, 1.0])
    TerminateOnNan().attach(engine)
    completed = []
    engine.add_event_handler(Events.COMPLETED, lambda: completed.append(True))
    with pytest.raises(InputError, match="iteration 2"):
        engine.run([0, 1, 2], max_epochs=1)
    assert not completed


def test_log_and_its_state(tmp_path):
    engine, loss = loss_engine([1.0, 2.0])
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.25)
    LossParts(loss).attach(engine)
    log = TrainingLog(tmp_path, optimizer, interval=2)
    log.attach(engine)
    engine.run([0, 1], max_epochs=3)
    rows = json.loads((tmp_path / "metrics.json").read_text())
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert all(row["learning_rate"] == 0.25 and row["loss"] == pytest.approx(1.5) for row in rows)
    assert (tmp_path / "curves.png").stat().st_size > 1000
    other = TrainingLog(tmp_path, optimizer)
    other.load_state_dict(log.state_dict())
    assert other.rows == log.rows and other.rows[0] is not log.rows[0]


def test_table_leaves_blank_what_a_row_lacks(tmp_path):
    write_table(tmp_path, [{"epoch": 0, "knn": 0.5}, {"epoch": 1, "loss": 1 / 3}])
    rows = list(csv.reader((tmp_path / "metrics.csv").open()))
    assert rows == [["epoch", "knn", "loss"], ["0", "0.5", ""], ["1", "", "0.333333"]]


def test_run_folder_is_opened_once(tmp_path):
    folder = tmp_path / "a" / "run"
    with pytest.raises(InputError, match="nothing to resume"):
        open_run_folder(folder, resume=True)
    assert not folder.exists()
    open_run_folder(folder)
    assert json.loads((folder / "run.json").read_text())["releases"]["numpy"] == np.__version__
    open_run_folder(folder)  # no checkpoint yet: nothing can be lost
    (folder / "last.pt").write_bytes(b"x")
    (folder / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="--resume True"):
        open_run_folder(folder)
    open_run_folder(folder, resume=True)
    open_run_folder(folder, overwrite=True)
    assert not (folder / "last.pt").exists() and (folder / "mine.txt").exists()
    with pytest.raises(InputError, match="is a file"):
        open_run_folder(folder / "mine.txt")
