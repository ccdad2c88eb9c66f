# SPDX-License-Identifier: Apache-2.0
"""Show, trim or clear a cache of decoded frames."""

from __future__ import annotations

import argparse
import logging
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.data.cache_entries import (
    Entry,
    forget_settings,
    read_entries,
    read_settings,
    remove_left_behind,
)
from bundle.data.cache_limits import GB, IN_USE_S, remove_unused
from bundle.errors import InputError, show_input_errors_plainly

DAY_S = 86400


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments and do what is asked."""
    args = _parse(arguments)
    cache_dir = Path(args.cache_dir)
    if cache_dir.exists() and not cache_dir.is_dir():
        raise InputError(f"{cache_dir}: not a folder: expected the folder of a frame cache (--cache-dir)")
    entries = read_entries(cache_dir)
    chosen = _chosen(entries, args)
    if args.action == "list":
        print(f"{cache_dir}: {table(chosen, read_settings(cache_dir))}")
        return
    before = time.time() - IN_USE_S if args.action == "trim" else math.inf
    n_bytes = _excess(entries, args)
    if args.action == "clear" and chosen and not args.yes:
        raise InputError(f"{cache_dir}: {_size(chosen)} would be removed: add --yes to do so")
    removed = remove_unused(chosen, n_bytes, before=before)
    left_behind = remove_left_behind(cache_dir)
    left = read_entries(cache_dir)
    forget_settings(cache_dir, {entry.settings for entry in left})
    unfinished = f" and {left_behind / 1e6:.1f} MB of unfinished files" if left_behind else ""
    print(f"{cache_dir}: removed {_size(removed)}{unfinished}; {_size(left)} left")
    if args.max_gb is not None and sum(entry.n_bytes for entry in left) > args.max_gb * GB:
        print("the rest was used within the last hour, so it stays")


def table(entries: Sequence[Entry], settings: Mapping[str, Any]) -> str:
    """How many entries of which settings there are, their size and last use; what was used last comes first."""
    rows = [["settings", "files", "MB", "last used", "made by"]]
    for key in dict.fromkeys(entry.settings for entry in reversed(entries)):
        of_key = [entry for entry in entries if entry.settings == key]
        last = time.strftime("%Y-%m-%d %H:%M", time.localtime(of_key[-1].last_used))
        size = f"{sum(entry.n_bytes for entry in of_key) / 1e6:.1f}"
        made_by = summary(settings[key].get("preprocessing")) if key in settings else "not known"
        rows.append([key or "older", str(len(of_key)), size, last, made_by])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([_size(entries), *(lines if entries else [])])


def summary(described: Any) -> str:
    """A description of a preprocessing (see `describe_transform`) in one line: its steps with their numbers."""
    if not isinstance(described, Mapping):
        return str(described)
    if isinstance(described.get("transforms"), list):
        return ", ".join(map(summary, described["transforms"]))
    values = {key: value for key, value in described.items() if key not in ("class", "function", "code")}
    plain = [f"{key}={value}" for key, value in values.items() if isinstance(value, int | float | str)]
    shown = [text for text in plain if not text.endswith(("=True", "=False"))]
    name = str(described.get("class") or described.get("function") or "a function")
    return name + (f"({', '.join(shown)})" if shown else "")


def _chosen(entries: Sequence[Entry], args: argparse.Namespace) -> list[Entry]:
    """The entries the options speak of, those longest unused first."""
    before = math.inf if args.older_than is None else time.time() - args.older_than * DAY_S
    chosen = [entry for entry in entries if entry.last_used < before]
    if args.settings is None:
        return chosen
    if args.settings not in {entry.settings for entry in entries}:
        known = ", ".join(sorted({entry.settings for entry in entries})) or "none"
        raise InputError(f"{args.cache_dir}: no entries of settings {args.settings!r}: expected one of {known}")
    return [entry for entry in chosen if entry.settings == args.settings]


def _excess(entries: Sequence[Entry], args: argparse.Namespace) -> float:
    """How many bytes are to go."""
    if args.max_gb is None:
        return math.inf
    return sum(entry.n_bytes for entry in entries) - args.max_gb * GB


def _size(entries: Sequence[Entry]) -> str:
    n_bytes = sum(entry.n_bytes for entry in entries)
    size = f"{n_bytes / GB:.2f} GB" if n_bytes >= GB else f"{n_bytes / 1e6:.1f} MB"
    return f"{len(entries)} {'entry' if len(entries) == 1 else 'entries'}, {size}"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="examples: python scripts/manage_cache.py list; python scripts/manage_cache.py trim --max-gb 10; python "
        "scripts/manage_cache.py clear --older-than 30 --yes",
    )
    actions = parser.add_subparsers(dest="action", required=True)
    common = argparse.ArgumentParser(add_help=False)
    add = common.add_argument
    add("--cache-dir", default=".cache/frames", help="the cache (default: .cache/frames)")
    add("--older-than", type=_at_least_0, metavar="DAYS", help="only what was not used for so many days")
    add("--settings", metavar="DIGEST", help="only what was made with these settings, as 'list' shows them")
    actions.add_parser("list", parents=[common], help="entries by settings: how many, how large, when last used")
    trim = actions.add_parser(
        "trim", parents=[common], help="remove what was not used for longest, nothing of the last hour"
    )
    trim.add_argument("--max-gb", type=_at_least_0, metavar="GB", help="only until the cache is no larger than this")
    clear = actions.add_parser("clear", parents=[common], help="remove entries, used or not")
    clear.add_argument("--yes", action="store_true", help="do it")
    clear.set_defaults(max_gb=None)
    args = parser.parse_args(arguments)
    if args.action == "trim" and args.max_gb is None and args.older_than is None:
        trim.error("say what is too much: --max-gb or --older-than")
    return args


def _at_least_0(text: str) -> float:
    number = float(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: expected a number of at least 0")
    return number


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    show_input_errors_plainly()
    main()
