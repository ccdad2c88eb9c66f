# SPDX-License-Identifier: Apache-2.0
"""Errors a person can act on, and their one-line form on the command line."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

_PATIENCE = 60.0  # seconds for the first of several ranks to say what was given wrongly
_UNTIL_ENDED = 10.0  # seconds for a launcher to end the ranks after one has ended
_IN_WORKER = re.compile(r"\nOriginal Traceback [\s\S]*?^(?:\w+\.)*InputError: (.*)$", re.MULTILINE)


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message names the file or setting, what was found, what was expected and what to do, in one line.
    """

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(line.strip() for line in message.splitlines()))  # libraries' words have several


def input_error_in(error: BaseException | None) -> InputError | None:
    """The `InputError` behind ``error``, if there is one.

    MONAI and ignite wrap what a transform or a config expression raises; this follows ``__cause__`` and
    ``__context__`` down to our own error. Of an error in a worker process of a data loader only the printed traceback
    comes back; there our own is looked for by its name.
    """
    for behind in _chain(error):
        if told := _IN_WORKER.search(str(behind)):
            return InputError(told[1])
        if isinstance(behind, InputError):
            return behind
    return None


def _closed_file_in(error: BaseException | None) -> InputError | None:
    """The file behind ``error`` that the system does not let one use, wherever that came to light."""
    for behind in _chain(error):
        if isinstance(behind, PermissionError) and behind.filename is not None:
            return InputError(f"{behind.filename}: {behind.strerror}: expected a file or folder one may use; allow it")
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__


@contextmanager
def told_to_client() -> Iterator[None]:
    """Within this an `InputError` is what a web server answers: status 422, and its one line as ``detail``.

    MONAI Label would say "Internal Server Error" and no more. Where there is no web framework, and so no server, the
    error stays as it is.
    """
    try:
        yield
    except InputError as error:
        try:
            from starlette.exceptions import HTTPException
        except ImportError:
            raise error from None
        raise HTTPException(status_code=422, detail=str(error)) from error


def show_input_errors_plainly() -> None:
    """From now on an uncaught `InputError` ends the program with one line on stderr and exit status 1.

    So does a file or folder for which the permission is missing. Any other error keeps its traceback. Configs call this
    in ``initialize``.

    Of several ranks (torchrun) only the first says so at once. The others wait, and so does each with any other error,
    which may be no more than that another rank has ended: the launcher ends them meanwhile, so that one line is told,
    and told once.
    """

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        found = input_error_in(error) or _closed_file_in(error)
        if os.environ.get("WORLD_SIZE", "1") != "1" and isinstance(error, Exception):
            if found is None:
                time.sleep(_UNTIL_ENDED)
            elif os.environ.get("RANK", "0") != "0":
                time.sleep(_PATIENCE)
        if found is None:
            sys.__excepthook__(kind, error, trace)
        else:
            logging.shutdown()
            print(f"error: {' '.join(str(found).splitlines())}", file=sys.stderr)

    sys.excepthook = hook
