# SPDX-License-Identifier: Apache-2.0
"""The frames of a DICOM file as they are meant to be seen: grey or RGB, uint8.

Each frame is found, decoded and coloured on its own, the same way under pydicom 2.4 and 3.

Grey levels: rescale or modality LUT, then VOI LUT or the first window; without a VOI the full range that BitsStored
allows is mapped to 0 to 255 (8 bits stay as they are, 16 bits are divided by 257, whatever the values used).
MONOCHROME1 is inverted. Colour: YBR_FULL and YBR_FULL_422 are converted by PS3.3 C.7.6.3.1.2; JPEG 2000 undoes YBR_ICT
and YBR_RCT itself; palettes are applied, 16-bit entries by their high byte (as they are when no entry exceeds 255).
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from .dicom_codecs import decoder_of, fragments_of, frames_of
from .video import decode_stream

if TYPE_CHECKING:
    from pydicom import Dataset

PIXEL_ATTRIBUTES = [
    *("PixelData", "NumberOfFrames", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation"),
    *("PlanarConfiguration", "BitsAllocated", "BitsStored", "PixelRepresentation"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    *(
        f"{colour}PaletteColorLookupTable{part}"
        for colour in ("Red", "Green", "Blue")
        for part in ("Descriptor", "Data")
    ),
    *(f"Segmented{colour}PaletteColorLookupTableData" for colour in ("Red", "Green", "Blue")),
]
_NEEDED = ("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated")
_GREY = ("MONOCHROME1", "MONOCHROME2")
_YBR = ("YBR_FULL", "YBR_FULL_422")
_NATIVE = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
)
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_VIDEO = tuple(f"1.2.840.10008.1.2.4.{n}" for n in range(100, 109))


class Pixels:
    """Frames by index: ``count`` of them, ``frame(k)`` is ``(H, W, C)`` uint8, ``times`` those of a video stream."""

    def __init__(self, count: int, frame: Callable[[int], np.ndarray], times: np.ndarray | None = None) -> None:
        self.count = count
        self.frame = frame
        self.times = times


def open_pixels(dataset: Dataset, path: Path) -> Pixels:
    """Find the frames of a file.

    Raises:
        InputError: when there are no pixels, or they are stored in a way that cannot be decoded.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if not dataset.get("PixelData"):
        raise InputError(f"{path}: found a DICOM file without pixels, expected an image or a cine; leave it out")
    missing = [name for name in _NEEDED if dataset.get(name) in (None, "")]
    if missing:
        raise InputError(f"{path}: found no {', '.join(missing)}, expected a DICOM image; export it again")
    if str(syntax) in _VIDEO:
        stream = b"".join(fragments_of(dataset.PixelData))
        decoded = decode_stream(io.BytesIO(stream), path, None)
        return Pixels(decoded.count, decoded.pictures.__getitem__, decoded.times)

    colour = _Display(dataset, path)
    if str(syntax) in _NATIVE:
        return _native(dataset, colour, path)
    decode = decoder_of(str(syntax))
    if decode is None:
        raise InputError(
            f"{path}: found transfer syntax {syntax.name} ({syntax}), expected one that can be decoded "
            "(uncompressed, RLE, JPEG, JPEG-LS, JPEG 2000, MPEG); convert it, for example with dcmdjpeg or gdcmconv"
        )
    coded = frames_of(dataset.PixelData, str(syntax))
    if not coded:
        raise InputError(f"{path}: found no start of a frame in the pixel data, expected {syntax.name}; copy it again")

    def frame(k: int) -> np.ndarray:
        try:
            return colour(*decode(coded[k], dataset))
        except InputError:
            raise
        except Exception as error:  # each decoder has its own errors
            raise InputError(
                f"{path}: frame {k} cannot be decoded as {syntax.name} ({error}); copy it again"
            ) from error

    return Pixels(len(coded), frame)


def _native(dataset: Dataset, colour: _Display, path: Path) -> Pixels:
    """Uncompressed frames: slices of the pixel data."""
    bits, samples = int(dataset.BitsAllocated), int(dataset.SamplesPerPixel)
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if bits not in (8, 16):
        raise InputError(f"{path}: found {bits} bits a sample, expected 8 or 16; convert it")
    big = str(dataset.file_meta.TransferSyntaxUID) == _BIG_ENDIAN
    raw = np.frombuffer(dataset.PixelData, np.uint8)
    if big and bits == 8 and dataset["PixelData"].VR == "OW":
        raw = raw[: len(raw) // 2 * 2].reshape(-1, 2)[:, ::-1].reshape(-1)  # bytes travel in swapped pairs
    halved = str(dataset.PhotometricInterpretation) == "YBR_FULL_422" and samples == 3
    length = rows * columns * (2 if halved else samples)
    values = raw[: len(raw) // (bits // 8) * (bits // 8)].view(np.dtype(f"{'>' if big else '<'}u{bits // 8}"))
    if len(values) < length or length == 0:
        raise InputError(
            f"{path}: found {len(raw)} bytes of pixels, expected {length * bits // 8} for one frame of "
            f"{columns} x {rows}; copy it again"
        )

    def frame(k: int) -> np.ndarray:
        flat = values[k * length : (k + 1) * length]
        if halved:  # Y0 Y1 Cb Cr for two pixels
            quads = flat.reshape(rows, columns // 2, 4)
            chroma = np.repeat(quads[..., 2:], 2, axis=1)
            return colour(np.dstack([quads[..., :2].reshape(rows, columns), chroma]), False)
        if samples > 1 and dataset.get("PlanarConfiguration") == 1:
            return colour(flat.reshape(samples, rows, columns).transpose(1, 2, 0), False)
        return colour(flat.reshape(rows, columns, samples), False)

    return Pixels(len(values) // length, frame)


class _Display:
    """Stored values ``(H, W)`` or ``(H, W, C)`` -> what is shown, ``(H, W, 1 or 3)`` uint8."""

    def __init__(self, dataset: Dataset, path: Path) -> None:
        self.kind = str(dataset.PhotometricInterpretation)
        samples = int(dataset.SamplesPerPixel)
        known = {1: (*_GREY, "PALETTE COLOR"), 3: ("RGB", "YBR_ICT", "YBR_RCT", *_YBR)}
        if self.kind not in known.get(samples, ()):
            raise InputError(
                f"{path}: found {samples} samples a pixel as {self.kind}, expected grey, palette, RGB or YBR_FULL; "
                "convert it"
            )
        self.bits = int(dataset.get("BitsStored") or dataset.BitsAllocated)
        if not 1 < self.bits <= 16:
            raise InputError(f"{path}: found {self.bits} bits stored, expected 2 to 16; convert it")
        self.table = None  # stored value -> shown, for one sample a pixel
        if self.kind in _GREY:
            self.table = _grey_table(dataset, self.bits)
        elif self.kind == "PALETTE COLOR":
            self.table = _palette_table(dataset, self.bits, path)

    def __call__(self, values: np.ndarray, is_rgb: bool) -> np.ndarray:
        """``is_rgb``: the decoder has already undone the file's colour transform."""
        if self.table is not None:
            plane = values[..., 0] if values.ndim == 3 else values
            shown = self.table[plane & np.uint16((1 << self.bits) - 1)]
            return shown if shown.ndim == 3 else shown[..., None]
        if values.shape[2:] != (3,):
            raise ValueError(f"a picture of shape {values.shape} where three samples a pixel are needed")
        if self.bits != 8 and values.dtype != np.uint8:
            values = np.rint(values * (255.0 / ((1 << self.bits) - 1))).astype(np.uint8)
        return _ybr_to_rgb(values) if self.kind in _YBR and not is_rgb else np.ascontiguousarray(values)


def _ybr_to_rgb(values: np.ndarray) -> np.ndarray:
    luma = values[..., 0].astype(np.float32)
    blue, red = (values[..., k].astype(np.float32) - 128 for k in (1, 2))
    rgb = np.stack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue], axis=-1)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def _grey_table(dataset: Dataset, bits: int) -> np.ndarray:
    """Shown grey level for each stored pattern of ``bits`` bits."""
    pattern = np.arange(1 << bits)
    signed = bool(dataset.get("PixelRepresentation"))
    stored = np.where(signed & (pattern >= 1 << (bits - 1)), pattern - (1 << bits), pattern)
    values = stored.astype(np.float64)
    if dataset.get("ModalityLUTSequence"):
        values = np.asarray(_pydicom("apply_modality_lut")(stored, dataset), np.float64)
    elif dataset.get("RescaleSlope") is not None:
        values = values * float(dataset.RescaleSlope) + float(dataset.get("RescaleIntercept") or 0)
    if dataset.get("VOILUTSequence"):
        entries = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        share = np.asarray(_pydicom("apply_voi")(values.astype(np.int64), dataset), np.float64) / ((1 << entries) - 1)
    elif (window := _window(dataset)) is not None:
        share = _windowed(values, *window, str(dataset.get("VOILUTFunction") or "LINEAR"))
    else:
        share = (values - values.min()) / max(values.max() - values.min(), 1e-12)
    shown = np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
    return 255 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown


def _window(dataset: Dataset) -> tuple[float, float] | None:
    pair = [dataset.get("WindowCenter"), dataset.get("WindowWidth")]
    if any(value in (None, "") for value in pair):
        return None
    centre, width = (float(v[0] if hasattr(v, "__iter__") else v) for v in pair)
    return (centre, width) if width > 1 else None


def _windowed(values: np.ndarray, centre: float, width: float, function: str) -> np.ndarray:
    """PS3.3 C.11.2.1.2 and C.11.2.1.3, as a share of the output range."""
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - centre) / width))
    if function == "LINEAR_EXACT":
        return (values - centre) / width + 0.5
    return (values - (centre - 0.5)) / (width - 1) + 0.5


def _palette_table(dataset: Dataset, bits: int, path: Path) -> np.ndarray:
    """RGB for each stored value, PS3.3 C.7.6.3.1.5 and .6; past either end its last entry counts."""
    stored = np.arange(1 << bits)
    try:
        if dataset.get("SegmentedRedPaletteColorLookupTableData"):
            table = np.asarray(_pydicom("apply_color_lut")(stored, dataset))
        else:
            # not by pydicom, which counts entries in the entries' own 8 bits
            table = np.stack([_palette_of(colour, stored, dataset) for colour in ("Red", "Green", "Blue")], axis=-1)
    except (AttributeError, KeyError, ValueError, IndexError, TypeError) as error:
        raise InputError(
            f"{path}: its palette cannot be used ({error}), expected three lookup tables; convert it"
        ) from error
    return (table >> 8).astype(np.uint8) if table.max() > 255 else table.astype(np.uint8)


def _palette_of(colour: str, stored: np.ndarray, dataset: Dataset) -> np.ndarray:
    entries, first, _ = (int(n) for n in getattr(dataset, f"{colour}PaletteColorLookupTableDescriptor"))
    entries = entries or 1 << 16
    data = getattr(dataset, f"{colour}PaletteColorLookupTableData")
    order = ">" if str(dataset.file_meta.TransferSyntaxUID) == _BIG_ENDIAN else "<"
    table = np.frombuffer(data, f"{order}u2" if len(data) >= 2 * entries else "u1")[:entries]
    return table[np.clip(stored - first, 0, len(table) - 1)]


def _pydicom(name: str) -> Any:
    """pydicom 3 keeps its LUT functions in ``pydicom.pixels``, pydicom 2 in ``pydicom.pixel_data_handlers``."""
    import importlib

    try:
        home = importlib.import_module("pydicom.pixels")
    except ImportError:
        home = importlib.import_module("pydicom.pixel_data_handlers")
    return getattr(home, name)
