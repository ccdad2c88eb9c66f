# SPDX-License-Identifier: Apache-2.0
"""Errors a person can act on are found behind MONAI's and shown in one line; files are whole or not there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from monai.transforms import Compose, Lambda

from bundle.errors import InputError, input_error_in
from bundle.files import written_beside


def refuse(_):
    raise InputError("a.dcm: found nothing, expected a cine; copy it again")


def test_the_error_behind_a_transform_chain_is_found():
    with pytest.raises(RuntimeError) as caught:
        Compose([Lambda(refuse)])(0)
    assert str(input_error_in(caught.value)) == "a.dcm: found nothing, expected a cine; copy it again"
    assert input_error_in(RuntimeError("another")) is None
    assert input_error_in(None) is None


@pytest.mark.parametrize(
    ("raised", "shown"),
    [("InputError('x: found y')", "error: x: found y\n"), ("ValueError('deep')", "ValueError: deep\n")],
)
def test_only_input_errors_lose_their_traceback(raised, shown):
    program = (
        "from bundle.errors import InputError, show_input_errors_plainly\n"
        f"show_input_errors_plainly()\ntry:\n    raise {raised}\nexcept Exception as e:\n    raise e"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.endswith(shown)
    assert ("Traceback" in done.stderr) == ("ValueError" in shown)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path):
    path = tmp_path / "a.txt"
    with written_beside(path) as beside:
        beside.write_text("one")
        assert not path.exists()
    with pytest.raises(RuntimeError), written_beside(path) as beside:
        beside.write_text("half of tw")
        raise RuntimeError
    assert path.read_text() == "one"
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
