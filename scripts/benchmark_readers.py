# SPDX-License-Identifier: Apache-2.0
"""What reading costs: every frame of a file against a few chosen ones, and whether both give the same frames.

Prints a Markdown table with a line for each kind of file; the figures of one line come from one process and one run.
"frames exact": the chosen frames are those of the full read, bit by bit. "error": mean grey levels from the source.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bundle.data import records_from_folder
from bundle.errors import InputError, show_input_errors_plainly
from bundle.files import written_beside
from bundle.keys import Keys
from bundle.readers import read_cine

SYNTAXES = {  # DICOM PS3.6 A, the names users know
    "1.2.840.10008.1.2": "implicit little endian",
    "1.2.840.10008.1.2.1": "explicit little endian",
    "1.2.840.10008.1.2.1.99": "deflated",
    "1.2.840.10008.1.2.2": "explicit big endian",
    "1.2.840.10008.1.2.5": "RLE",
    "1.2.840.10008.1.2.4.50": "JPEG baseline",
    "1.2.840.10008.1.2.4.51": "JPEG extended",
    "1.2.840.10008.1.2.4.57": "JPEG lossless",
    "1.2.840.10008.1.2.4.70": "JPEG lossless SV1",
    "1.2.840.10008.1.2.4.80": "JPEG-LS",
    "1.2.840.10008.1.2.4.81": "JPEG-LS near-lossless",
    "1.2.840.10008.1.2.4.90": "JPEG 2000 lossless",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.102": "H.264",
    "1.2.840.10008.1.2.4.201": "HTJ2K lossless",
    "1.2.840.10008.1.2.4.202": "HTJ2K lossless RPCL",
    "1.2.840.10008.1.2.4.203": "HTJ2K",
}


@dataclass(frozen=True)
class Cost:
    """One file: what it is, what it says, and the seconds of both ways of reading it."""

    file: str
    kind: str
    frames: int
    size: str
    times: bool
    spacing: bool
    exact: bool
    error: float | None
    full_s: float
    chosen_s: float
    megapixels_a_second: float
    warnings: int

    @property
    def ratio(self) -> float:
        """Cost of the chosen frames, as a share of reading all."""
        return self.chosen_s / self.full_s


def main(arguments: Sequence[str] | None = None) -> None:
    """Read every file both ways and print the table."""
    args = _parse(arguments)
    files = [file for path in args.paths for file in _files(Path(path))]
    source = read_cine(args.source).frames if args.source else None
    costs, left_out = [], []
    for file in files:
        try:
            costs.append(measure(file, args.chosen, args.runs, source))
        except InputError as error:
            left_out.append(str(error))
    if not costs:
        raise InputError(f"none of {len(files)} files can be read; the first: {left_out[0]}")
    print(table(costs, each=args.each))
    for reason in left_out:
        print(f"left out: {reason}")
    if left_out:
        print(f"{len(left_out)} of {len(files)} files left out")
    if args.output:
        with written_beside(Path(args.output)) as beside:
            beside.write_text(json.dumps([asdict(cost) for cost in costs], indent=1), encoding="utf-8")
    if not all(cost.exact for cost in costs):
        raise SystemExit("chosen frames differ from those of the full read: see the table")


def measure(file: Path, chosen: int, runs: int, source: np.ndarray | None = None) -> Cost:
    """Read all frames and ``chosen`` random ones, ``runs`` times each; compare with the ``source`` of the file."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        cine = read_cine(file)
        count = cine.meta["n_frames"]
        wanted = sorted(np.random.default_rng(0).choice(count, min(chosen, count), replace=False).tolist())
        few = read_cine(file, wanted)
        full_s, chosen_s = _seconds(lambda: read_cine(file), runs), _seconds(lambda: read_cine(file, wanted), runs)
    height, width = cine.frames.shape[1:3]
    return Cost(
        file=file.name,
        kind=_kind(file, cine.meta),
        frames=count,
        size=f"{width} x {height}",
        times="frame_times" in cine.meta,
        spacing="spacing" in cine.meta,
        exact=bool(np.array_equal(few.frames, cine.frames[wanted])),
        error=_error(cine.frames, source),
        full_s=full_s,
        chosen_s=chosen_s,
        megapixels_a_second=count * height * width / full_s / 1e6,
        warnings=len({str(one.message) for one in said}),
    )


def table(costs: Sequence[Cost], each: bool = False) -> str:
    """Markdown: a line for each file, or for each kind of file with the medians of its files."""
    rows = [
        ["kind", "files", "frames", "frames exact", "times", "spacing", "Mpixel/s", "all, ms", "chosen, ms", "share"]
    ]
    if any(cost.error is not None for cost in costs):
        rows[0].append("error")
    groups: dict[str, list[Cost]] = {}
    for cost in costs:
        groups.setdefault(f"{cost.kind}, {cost.file}" if each else cost.kind, []).append(cost)
    for kind, group in sorted(groups.items()):
        rows.append(
            [
                kind,
                str(len(group)),
                _span([cost.frames for cost in group]),
                _of(group, "exact"),
                _of(group, "times"),
                _of(group, "spacing"),
                f"{median(cost.megapixels_a_second for cost in group):.0f}",
                f"{median(cost.full_s for cost in group) * 1e3:.1f}",
                f"{median(cost.chosen_s for cost in group) * 1e3:.1f}",
                f"{median(cost.ratio for cost in group):.3f}",
            ]
        )
        errors = [cost.error for cost in group if cost.error is not None]
        rows[-1] += [f"{max(errors):.2g}"] if errors else ["?"] * (len(rows[0]) - len(rows[-1]))
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return [path / record[Keys.IMAGE] for record in records_from_folder(path)]


def _kind(file: Path, meta: dict[str, Any]) -> str:
    if meta["source_kind"] == "dicom":
        syntax = SYNTAXES.get(meta["transfer_syntax"], meta["transfer_syntax"])
        return f"DICOM {syntax}, {meta['photometric_interpretation']}"
    return f"{meta['source_kind']} {file.suffix.lower()}" if file.is_file() else "folder of frames"


def _error(frames: np.ndarray, source: np.ndarray | None) -> float | None:
    """Mean difference from the source in grey levels, None when there is none or it is another cine."""
    if source is None or source.shape != frames.shape:
        return None
    return float(np.mean([np.abs(a.astype(np.int16) - b).mean() for a, b in zip(frames, source, strict=True)]))


def _seconds(read: Callable[[], Any], runs: int) -> float:
    """The least of several runs: what else the machine does only adds."""
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        read()
        taken.append(time.perf_counter() - start)
    return min(taken)


def _span(values: Sequence[int]) -> str:
    return str(values[0]) if min(values) == max(values) else f"{min(values)} to {max(values)}"


def _of(group: Sequence[Cost], name: str) -> str:
    yes = sum(getattr(cost, name) for cost in group)
    return "yes" if yes == len(group) else "no" if yes == 0 else f"{yes} of {len(group)}"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python scripts/benchmark_readers.py data/pocus_lung data/dicom_us"
    )
    parser.add_argument("paths", nargs="+", help="clips, or folders of clips")
    parser.add_argument("--chosen", type=int, default=4, help="how many frames to choose (default: 4)")
    parser.add_argument("--runs", type=int, default=3, help="runs of which the fastest counts (default: 3)")
    parser.add_argument("--source", help="the cine that the files were made of (write_formats.py): tells their error")
    parser.add_argument("--each", action="store_true", help="a line for each file, not for each kind")
    parser.add_argument("--output", help="also write all figures to this JSON file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    show_input_errors_plainly()
    main()
