# SPDX-License-Identifier: Apache-2.0
"""One cine in every transfer syntax, photometric interpretation, depth and arrangement that can be written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.encaps import encapsulate

from bundle.readers import read_cine

FORWARD = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
"""PS3.3 C.7.6.3.1.2, RGB to YBR_FULL."""

NATIVE = ("implicit", "explicit", "big", "deflated")
ARRANGEMENTS = (("3.1", 5), ("3.1", 1), ("6.1", 5), ("6.1", 1), ("3", 5), ("6", 1))  # SOP class, frames
TABLES = ("basic", "none", "extended", "wrong")


@dataclass
class Stored:
    """What is written and what has to come out."""

    photometric: str
    values: np.ndarray
    shown: np.ndarray
    bits: int = 8
    attributes: dict[str, Any] = field(default_factory=dict)
    error: int = 0


def grey(cine: np.ndarray, syntax: str) -> Stored:
    return Stored("MONOCHROME2", cine[..., :1], cine[..., :1])


def inverted(cine: np.ndarray, syntax: str) -> Stored:
    return Stored("MONOCHROME1", cine[..., :1], 255 - cine[..., :1])


def deep(bits: int, signed: bool, cine: np.ndarray, syntax: str) -> Stored:
    """Grey of more bits, of which the lowest differ from pixel to pixel."""
    spread = 1 << (bits - 8)
    values = cine[..., :1].astype(int) * spread + np.arange(cine.shape[2])[:, None] % spread
    shown = np.rint(values * (255 / ((1 << bits) - 1)))
    values = (values - (1 << (bits - 1))).astype(np.int16) if signed else values.astype(np.uint16)
    return Stored("MONOCHROME2", values, shown, bits, {"BitsStored": bits, "PixelRepresentation": int(signed)})


def palette(bits: int, cine: np.ndarray, syntax: str) -> Stored:
    """Indices 0 to 255, or three times as many in 16 bits, into three tables of 16-bit entries."""
    factor = 1 if bits == 8 else 3
    indices = cine[..., :1] if bits == 8 else cine[..., :1].astype(np.uint16) * 3
    entries = 256 * factor
    tables = [np.arange(entries) * step % 256 for step in (1, 7, 19)]
    attributes: dict[str, Any] = {}
    for name, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        attributes[f"{name}PaletteColorLookupTableDescriptor"] = [entries, 0, 16]
        stored = (table * 257).astype(">u2" if syntax == "big" else "<u2")
        attributes[f"{name}PaletteColorLookupTableData"] = stored.tobytes()
    return Stored("PALETTE COLOR", indices, np.stack(tables, -1)[indices[..., 0]], bits, attributes)


def rgb(cine: np.ndarray, syntax: str) -> Stored:
    return Stored("RGB", cine, cine)


def rgb_16(cine: np.ndarray, syntax: str) -> Stored:
    return Stored("RGB", cine.astype(np.uint16) * 257, cine, 16)


def to_ybr(rgb: np.ndarray) -> np.ndarray:
    return (rgb @ FORWARD.T + [0, 128, 128]).round().clip(0, 255).astype(np.uint8)


def from_ybr(ybr: np.ndarray) -> np.ndarray:
    return ((ybr - np.array([0, 128, 128])) @ np.linalg.inv(FORWARD).T).round().clip(0, 255)


def ybr_full(cine: np.ndarray, syntax: str) -> Stored:
    if syntax.startswith("jpeg") and "l" not in syntax[4:7]:  # the encoder converts
        return Stored("YBR_FULL", cine, cine)
    ybr = to_ybr(cine)
    return Stored("YBR_FULL", ybr, from_ybr(ybr), error=1)


def ybr_full_422(cine: np.ndarray, syntax: str) -> Stored:
    if syntax not in NATIVE:
        smooth = np.repeat(cine[..., :1], 3, axis=-1) + np.array([0, 20, 40])  # even colour: little to lose
        return Stored("YBR_FULL_422", smooth.clip(0, 255).astype(np.uint8), smooth.clip(0, 255), error=16)
    ybr = to_ybr(cine)
    chroma = ybr[:, :, ::2, 1:]
    quads = np.concatenate([ybr[:, :, ::2, :1], ybr[:, :, 1::2, :1], chroma], axis=-1)
    shown = from_ybr(np.concatenate([ybr[..., :1], np.repeat(chroma, 2, axis=2)], axis=-1))
    return Stored("YBR_FULL_422", quads.reshape(len(cine), cine.shape[1], -1, 2), shown, error=1)


def ybr_of_jpeg_2000(cine: np.ndarray, syntax: str) -> Stored:
    return Stored("YBR_ICT" if syntax == "j2k" else "YBR_RCT", cine, cine)


KINDS: dict[str, Callable[[np.ndarray, str], Stored]] = {
    "grey": grey,
    "inverted": inverted,
    "grey of 10 bits": lambda cine, syntax: deep(10, False, cine, syntax),
    "grey of 12 bits": lambda cine, syntax: deep(12, False, cine, syntax),
    "grey of 16 bits": lambda cine, syntax: deep(16, False, cine, syntax),
    "signed 12 bits": lambda cine, syntax: deep(12, True, cine, syntax),
    "signed 16 bits": lambda cine, syntax: deep(16, True, cine, syntax),
    "palette": lambda cine, syntax: palette(8, cine, syntax),
    "palette of 16 bits": lambda cine, syntax: palette(16, cine, syntax),
    "rgb": rgb,
    "rgb of 16 bits": rgb_16,
    "ybr_full": ybr_full,
    "ybr_full_422": ybr_full_422,
    "ybr of jpeg 2000": ybr_of_jpeg_2000,
}
GREYS, PALETTES = list(KINDS)[:7], list(KINDS)[7:9]
EXACT = [*GREYS, *PALETTES, "rgb", "ybr_full"]
GRID: dict[str, list[str]] = {
    **dict.fromkeys(NATIVE, [*EXACT, "rgb of 16 bits", "ybr_full_422"]),
    "rle": [*EXACT, "rgb of 16 bits"],
    "jpeg": ["grey", "inverted", "rgb", "ybr_full", "ybr_full_422"],
    "jpeg_extended": ["grey", "inverted", "rgb", "ybr_full", "ybr_full_422"],
    "jpeg_lossless": [*EXACT, "rgb of 16 bits"],
    "jpeg_lossless_57": [*EXACT, "rgb of 16 bits"],
    "jpeg_ls": [*EXACT, "rgb of 16 bits"],
    "jpeg_ls_near": ["grey", "inverted", "grey of 10 bits", "grey of 12 bits", "grey of 16 bits", "rgb"],
    "j2k_lossless": [*GREYS, *PALETTES, "ybr of jpeg 2000"],
    "j2k": [*GREYS, "ybr of jpeg 2000"],
}
BOUND = {"jpeg": 9, "jpeg_extended": 9, "jpeg_ls_near": 2, "j2k": 11}
"""Largest difference of the grey levels shown, of lossy syntaxes, for the settings of the encoders here."""


def packed(coded: list[bytes], table: str) -> tuple[bytes, dict[str, Any]]:
    """Frames in fragments, with one kind of offset table."""
    pixels = encapsulate(coded, has_bot=table != "none")
    offsets, items = np.frombuffer(pixels, "<u4", len(coded), 8), pixels[8 + 4 * len(coded) :]
    if table == "extended":
        lengths = np.array([len(frame) for frame in coded], "<u8").tobytes()
        extended = {"ExtendedOffsetTable": offsets.astype("<u8").tobytes(), "ExtendedOffsetTableLengths": lengths}
        return pixels[:4] + b"\0\0\0\0" + items, extended
    if table == "wrong":
        pixels = pixels[:8] + (offsets + 2 * np.arange(len(coded))).astype("<u4").tobytes() + items
    return pixels, {}


@pytest.mark.parametrize(("syntax", "kind"), [(syntax, kind) for syntax, kinds in GRID.items() for kind in kinds])
def test_every_combination(
    write_dicom: Callable[..., Path],
    encode: Callable[..., list[bytes]],
    sector_cine: np.ndarray,
    syntax: str,
    kind: str,
) -> None:
    stored = KINDS[kind](sector_cine, syntax)
    bound = max(stored.error, BOUND.get(syntax, 0))
    subsampling = {"RGB": None, "YBR_FULL_422": 1}.get(stored.photometric, 0)
    coded = [] if syntax in NATIVE else encode(stored.values, syntax, stored.bits, subsampling)
    planes = (0, 1) if stored.values.shape[3] == 3 else (0,)
    tables = ("",) if syntax in NATIVE else TABLES
    for planar, table, (sop_class, count) in product(planes, tables, ARRANGEMENTS):
        case = f"planar {planar}, {table} table, class {sop_class}, {count} frames"
        attributes = {
            **stored.attributes,
            "SOPClassUID": f"1.2.840.10008.5.1.4.1.1.{sop_class}",
            "NumberOfFrames": count if sop_class.startswith("3") else "",
        }
        if stored.shown.shape[3] == 3 and kind not in ("palette", "palette of 16 bits"):
            attributes |= {"SamplesPerPixel": 3, "PlanarConfiguration": planar}
        if syntax in NATIVE:
            attributes |= {"Columns": sector_cine.shape[2]}
            path = write_dicom(stored.values[:count], stored.photometric, syntax, **attributes)
        else:
            pixels, offsets = packed(coded[:count], table)
            depth = {"BitsAllocated": 8 * stored.values.itemsize, "BitsStored": stored.bits}
            size = {"Rows": sector_cine.shape[1], "Columns": sector_cine.shape[2]}
            samples = {"SamplesPerPixel": stored.values.shape[3]}
            path = write_dicom(
                pixels, stored.photometric, syntax, **{**depth, **size, **samples, **offsets, **attributes}
            )
        whole = read_cine(path)
        assert whole.frames.dtype == np.uint8 and whole.meta["n_frames"] == count, case
        assert whole.frames.shape == stored.shown[:count].shape, case
        assert np.abs(whole.frames.astype(int) - stored.shown[:count]).max() <= bound, case
        some = [3, 0, 4] if count > 1 else [0]
        np.testing.assert_array_equal(read_cine(path, some).frames, whole.frames[some], case)
