# SPDX-License-Identifier: Apache-2.0
"""Our own error behind what other packages wrap it in."""

from __future__ import annotations

import errno
import sys

import pytest
from monai.data import DataLoader, Dataset

from bundle.errors import InputError, input_error_in, show_input_errors_plainly

SAID = "a.dcm: found nothing, expected a clip; copy it again"


def refuse(item: int) -> int:
    raise InputError(SAID)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_a_transform_is_found(workers: int) -> None:
    """MONAI wraps it in a `RuntimeError`; from a worker process it comes as printed text."""
    with pytest.raises(RuntimeError) as caught:
        list(DataLoader(Dataset([1, 2], transform=refuse), num_workers=workers))
    assert str(input_error_in(caught.value)) == SAID


def test_other_errors_are_not_taken_for_ours() -> None:
    assert input_error_in(RuntimeError("Original Traceback (most recent call last):\nValueError: x")) is None
    assert input_error_in(KeyError("x")) is None
    assert input_error_in(None) is None


def test_a_closed_file_ends_in_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    show_input_errors_plainly()
    for error in (PermissionError(errno.EACCES, "Permission denied", "/clips"), PermissionError("no file in it")):
        wrapped = RuntimeError("applying transform")
        wrapped.__cause__ = error
        sys.excepthook(RuntimeError, wrapped, None)
    plain, *traced = capsys.readouterr().err.splitlines()
    assert plain == "error: /clips: Permission denied: expected a file or folder one may use; allow it"
    assert traced[-1] == "RuntimeError: applying transform"


@pytest.mark.parametrize(
    ("rank", "error", "waits"),
    [
        ("0", InputError(SAID), False),
        ("1", InputError(SAID), True),
        ("0", RuntimeError("connection closed by peer"), True),
        ("0", KeyboardInterrupt(), False),
    ],
)
def test_of_several_ranks_the_first_tells_at_once_and_the_others_wait_to_be_ended(monkeypatch, rank, error, waits):
    slept: list[float] = []
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr("time.sleep", slept.append)
    monkeypatch.setenv("RANK", rank)
    show_input_errors_plainly()
    sys.excepthook(type(error), error, None)
    assert not slept
    monkeypatch.setenv("WORLD_SIZE", "2")
    sys.excepthook(type(error), error, None)
    assert bool(slept) == waits
