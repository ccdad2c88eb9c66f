# SPDX-License-Identifier: Apache-2.0
"""Whether an exported bundle is whole, true and works without this repository: all checks in one command.

    python scripts/verify_bundle.py bundles/us_lesion_segmentation

A line a check: ok, FAIL, or not run (a package or the network is missing: no pass). The exit status is 0 where all are
ok, 1 where one failed, 3 where none failed but one was not run. It works on a copy, from `/`, in processes in which of
this project's code only the bundle's is there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import bundle_checks as checks
import bundle_runs as runs
from bundle_inside import FAILED, JOBS, NOT_RUN, OK, attempt

from bundle.errors import InputError, show_input_errors_plainly

OF_FILES = {
    check.__name__: check for check in (checks.files, checks.texts, checks.configs, checks.metadata, runs.schema)
}
OF_NETWORK = [name for name in JOBS if name != "weights"]
RUNS = tuple(runs.OUTCOMES)  # inference and evaluation first: training puts another model in the place of the weights
NAMES = (*OF_FILES, *JOBS, "net_in_out", *RUNS)
EXIT_STATUS = {OK: 0, FAILED: 1, NOT_RUN: 3}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what each check found; the exit status."""
    args = _parse(arguments)
    source = Path(args.bundle).resolve()
    if not (source / "configs").is_dir():
        raise InputError(f"{args.bundle}: found no folder configs in it, expected the folder of an exported bundle")
    with tempfile.TemporaryDirectory(prefix="verify_") as scratch:
        root = Path(scratch) / "bundles" / source.name
        shutil.copytree(source, root)
        subject = runs.Subject(root, Path(scratch), args.schema and Path(args.schema))
        statuses = []
        for name, status, text in outcomes(subject, args.only or NAMES):
            print(f"{status:8}{name}: {text}", flush=True)
            statuses.append(status)
    return next((EXIT_STATUS[status] for status in (FAILED, NOT_RUN) if status in statuses), 0)


def outcomes(subject: runs.Subject, chosen: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Name, status and text of each of the ``chosen`` checks, as they are done."""
    for name, check in OF_FILES.items():
        if name in chosen:
            yield name, *attempt(check, subject)
    if "properties" in chosen:
        status, text = attempt(lambda: str(subject.phantom))  # the data sets are made
        if status != OK:
            yield "properties", status, text
            chosen = [name for name in chosen if name != "properties"]
    for jobs in (["weights"], OF_NETWORK):
        yield from _inside(subject, [job for job in jobs if job in chosen])
    if "net_in_out" in chosen:
        yield "net_in_out", *attempt(runs.net_in_out, subject)
    for name in RUNS:
        if name in chosen:
            yield name, *attempt(runs.run_config, subject, name)


def _inside(subject: runs.Subject, jobs: list[str]) -> Iterator[tuple[str, str, str]]:
    """Jobs of `bundle_inside.py`, in one process."""
    if not jobs:
        return
    status, text = attempt(runs.run_inside, subject, *jobs)
    if status != OK:
        yield ", ".join(jobs), status, text
        return
    told = [json.loads(line) for line in text.splitlines()]
    yield from ((one["job"], one["status"], one["text"]) for one in told)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", metavar="BUNDLE_DIR", help="the folder of an exported bundle")
    parser.add_argument("--schema", metavar="FILE", help="schema of metadata (default: fetched from where they say)")
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="CHECK", help=f"some of: {', '.join(NAMES)}")
    args = parser.parse_args(arguments)
    if args.schema and not Path(args.schema).is_file():
        raise InputError(
            f"{args.schema}: no such file, expected the schema of metadata; leave --schema out to fetch it"
        )
    return args


if __name__ == "__main__":
    show_input_errors_plainly()
    sys.exit(main())
