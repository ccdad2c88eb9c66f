# SPDX-License-Identifier: Apache-2.0
"""What identifies cached frames: the content of a file, and the settings of a transform."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import json
import os
import re
import time
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import CodeType
from typing import Any

import numpy as np
import torch

from ..files import replacing, sha256_of

_SETTLED_NS = 2 * 10**9


class ContentDigests:
    """SHA-256 of what files hold, remembered so that a second start does not read all bytes again.

    A digest is remembered by absolute path, size and times of change, in one small file next to the cache. That file
    holds hashes only, no path. A file that changed within the last two seconds is not remembered, because another
    change might leave the same times.
    """

    def __init__(self, remembered: str | os.PathLike[str]) -> None:
        self.path = Path(remembered)
        self._known: dict[str, str] | None = None  # read when first needed, and not sent to other processes
        self._new = False

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_known": None, "_new": False}

    def remembered(self, path: str | os.PathLike[str]) -> str | None:
        """Digest of a file or folder as far as it is known without reading it; None if it is not."""
        try:
            return self._all_known().get(_signature(_stats(_files_of(Path(path)))))
        except OSError:
            return None

    def digest(self, path: str | os.PathLike[str]) -> str:
        """Digest of a file, of a folder's names and contents, or of a MetaImage or NRRD header and its data file.

        Raises:
            OSError: the file is not there or cannot be read.
        """
        files = _files_of(Path(path))
        stats = _stats(files)
        signature = _signature(stats)
        known = self._all_known().get(signature)
        if known is not None:
            return known
        digests = [sha256_of(file) for file in files]
        if len(files) == 1 and not Path(path).is_dir():
            digest = digests[0]
        else:
            named = [(file.name, one) for file, one in zip(files, digests, strict=True)]
            digest = hashlib.sha256(json.dumps(named).encode()).hexdigest()
        if all(max(stat.st_mtime_ns, stat.st_ctime_ns) < time.time_ns() - _SETTLED_NS for _, stat in stats):
            self._all_known()[signature] = digest
            self._new = True
        return digest

    def save(self) -> None:
        """Write what is new, together with what other processes wrote meanwhile."""
        if not self._new:
            return
        known = {**self._read(), **self._all_known()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as beside:
            beside.write_text(json.dumps(known, indent=0, sort_keys=True), encoding="utf-8")
        self._known, self._new = known, False

    def _all_known(self) -> dict[str, str]:
        if self._known is None:
            self._known = self._read()
        return self._known

    def _read(self) -> dict[str, str]:
        # a file that is missing or damaged only means that the bytes are read again
        with contextlib.suppress(OSError, ValueError, TypeError):
            return dict(json.loads(self.path.read_text(encoding="utf-8")))
        return {}


def _stats(files: list[Path]) -> list[tuple[str, os.stat_result]]:
    return [(os.path.abspath(file), file.stat()) for file in files]


def _signature(stats: list[tuple[str, os.stat_result]]) -> str:
    seen = [(name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for name, stat in stats]
    return hashlib.sha256(json.dumps(seen).encode()).hexdigest()


def _files_of(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    if path.suffix.lower() in (".mhd", ".nhdr"):
        named = re.search(rb"^\s*(?:ElementDataFile\s*=|data ?file:)\s*(\S.*?)\s*$", path.read_bytes(), re.MULTILINE)
        data = path.parent / os.fsdecode(named.group(1)) if named else path
        return [path, data] if data.is_file() and data != path else [path]
    return [path]


def describe_transform(value: Any) -> Any:
    """The settings of a transform as plain JSON values: class names and public attributes, all the way down.

    Equal settings give equal descriptions in every process, in whatever order the attributes were set. Private
    attributes and random states are left out. Classes go by their name without the module, since an exported bundle
    holds the same code under another package name.
    """
    return _describe(value, ())


def _describe(value: Any, above: tuple[int, ...]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Enum | bytes | complex | range | slice):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray | torch.Tensor):
        array = np.ascontiguousarray(value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value)
        return {"array": hashlib.sha256(array.tobytes()).hexdigest(), "dtype": str(array.dtype), "shape": array.shape}
    if id(value) in above:
        return "..."
    above = (*above, id(value))
    if isinstance(value, Mapping):
        return {str(key): _describe(value[key], above) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [_describe(item, above) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((_describe(item, above) for item in value), key=str)
    if isinstance(value, type | np.dtype | torch.dtype | torch.device | os.PathLike):
        return value.__name__ if isinstance(value, type) else str(value)
    if isinstance(value, functools.partial):
        return {"partial": [_describe(part, above) for part in (value.func, value.args, value.keywords)]}
    if inspect.isroutine(value):
        return _describe_function(value, above)
    attributes = {name: item for name, item in _attributes(value).items() if not isinstance(item, _RANDOM)}
    described = {name: _describe(attributes[name], above) for name in sorted(attributes) if not name.startswith("_")}
    return {"class": type(value).__name__, **described}


_RANDOM = (np.random.RandomState, np.random.Generator, torch.Generator)


def _attributes(value: Any) -> dict[str, Any]:
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    found = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    return {**found, **getattr(value, "__dict__", {})}


def _describe_function(function: Any, above: tuple[int, ...]) -> Any:
    described: dict[str, Any] = {"function": getattr(function, "__qualname__", str(function))}
    if hasattr(function, "__code__"):
        # two lambdas differ only here
        described["code"] = _describe_code(function.__code__)
        described["defaults"] = _describe([function.__defaults__, function.__kwdefaults__], above)
        described["closure"] = _describe([cell.cell_contents for cell in function.__closure__ or ()], above)
    owner = getattr(function, "__self__", None)
    if owner is not None and not inspect.ismodule(owner):
        described["of"] = _describe(owner, above)
    return described


def _describe_code(code: CodeType) -> list[Any]:
    constants = [_describe_code(item) if isinstance(item, CodeType) else _describe(item, ()) for item in code.co_consts]
    return [hashlib.sha256(code.co_code).hexdigest(), list(code.co_names), constants]
