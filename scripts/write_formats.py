# SPDX-License-Identifier: Apache-2.0
"""Write one simulated cine in every format that can be written, to try readers: ours, or those of other programs.

25 frames a second, 0.3 mm a pixel down and 0.2 across, where the format can say so.
"""

from __future__ import annotations

import argparse
import gzip
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bundle.errors import InputError, show_input_errors_plainly

RATE, SPACING = 25, (0.3, 0.2)
STEP_MS = 1000 // RATE

DICOM: dict[str, tuple[str, str]] = {  # file: transfer syntax, photometric interpretation
    "implicit": ("1.2.840.10008.1.2", "RGB"),
    "explicit": ("1.2.840.10008.1.2.1", "RGB"),
    "deflated": ("1.2.840.10008.1.2.1.99", "RGB"),
    "big_endian": ("1.2.840.10008.1.2.2", "RGB"),
    "rle": ("1.2.840.10008.1.2.5", "RGB"),
    "jpeg": ("1.2.840.10008.1.2.4.50", "YBR_FULL"),
    "jpeg_lossless": ("1.2.840.10008.1.2.4.70", "RGB"),
    "jpeg_ls": ("1.2.840.10008.1.2.4.80", "RGB"),
    "jpeg_2000": ("1.2.840.10008.1.2.4.90", "YBR_RCT"),
    "h264": ("1.2.840.10008.1.2.4.102", "YBR_PARTIAL_420"),
}
VIDEO = {  # file: codec, pixel format, options
    "key_frames.mp4": ("libx264", "yuv444p", {"g": "12", "crf": "12"}),
    "one_key_frame.mp4": ("libx264", "yuv444p", {"g": "100000", "sc_threshold": "0", "crf": "12"}),
    "mjpeg.avi": ("mjpeg", "yuvj444p", {"qmin": "2", "qmax": "2"}),
    "mpeg2.mpg": ("mpeg2video", "yuv420p", {"g": "12", "qmin": "2", "qmax": "2"}),
    "vp9.webm": ("libvpx-vp9", "yuv444p", {"g": "12", "crf": "8", "b": "0", "cpu-used": "8"}),
    "ffv1.mkv": ("ffv1", "bgr0", {}),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the files."""
    args = _parse(arguments)
    folder = Path(args.output)
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder}: found a folder that is not empty, expected a new one; name another")
    folder.mkdir(parents=True, exist_ok=True)
    write_all(simulated(args.frames, *args.size), folder)
    print(f"wrote {len(list(folder.iterdir()))} clips of {args.frames} frames to {folder}")


def simulated(count: int, width: int, height: int) -> np.ndarray:
    """``(T, H, W, 3)`` uint8: moving grain in a sector with a coloured patch, black around it."""
    y, x = np.mgrid[:height, :width]
    grain = np.random.default_rng(0).normal(0, 18, (height, 2 * width))
    inside = (np.abs(x - width / 2) < 0.5 * y + 0.1 * width) & (np.hypot(x - width / 2, y) < 0.97 * height)
    frames = np.empty((count, height, width, 3), np.uint8)
    for t in range(count):
        depth = 140 + 40 * np.sin(y / 17 + t / 9) * np.cos(x / 23 - t / 13) - 60 * y / height
        grey = depth + np.roll(grain, -t, axis=1)[:, :width]
        flow = np.hypot(x - width * (0.5 + 0.1 * np.sin(t / 15)), y - height * 0.6) < height * 0.1
        colour = np.stack([grey + 70 * flow, grey - 30 * flow, grey - 50 * flow], axis=-1)
        frames[t] = np.clip(colour * inside[..., None], 0, 255)
    return frames


def write_all(cine: np.ndarray, folder: Path) -> None:
    """One file (or folder of frames) for each format."""
    for name, (codec, layout, options) in VIDEO.items():
        _write_video(cine, folder / name, codec, layout, options)
    for name in DICOM:
        _write_dicom(cine, folder / f"{name}.dcm", *DICOM[name], folder)
    _write_pictures(cine, folder)
    _write_arrays(cine, folder)


def _write_video(cine: np.ndarray, path: Path, codec: str, layout: str, options: dict[str, str]) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, RATE, options=options)
        stream.height, stream.width, stream.pix_fmt = *cine.shape[1:3], layout
        for picture in cine:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def _write_dicom(cine: np.ndarray, path: Path, syntax: str, photometric: str, folder: Path) -> None:
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.sequence import Sequence as Items
    from pydicom.uid import UID, RLELossless, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.3.1")
    meta.MediaStorageSOPInstanceUID = generate_uid()
    big = path.stem == "big_endian"
    dataset = FileDataset(
        str(path), {}, b"\0" * 128, meta, is_implicit_VR=path.stem == "implicit", is_little_endian=not big
    )
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.FrameTime = "US", STEP_MS
    region = Dataset()
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = cine.shape[2] - 1, cine.shape[1] - 1
    region.RegionSpatialFormat = region.RegionDataType = 1
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaY, region.PhysicalDeltaX = (mm / 10 for mm in SPACING)
    dataset.SequenceOfUltrasoundRegions = Items([region])
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = cine.shape
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation, dataset.PlanarConfiguration = 7, 0, 0
    dataset.PhotometricInterpretation = photometric
    if path.stem == "h264":
        dataset.PixelData = encapsulate([(folder / "key_frames.mp4").read_bytes()], has_bot=False)
    elif path.stem in _ENCODERS:
        dataset.PixelData = encapsulate([_ENCODERS[path.stem](picture) for picture in cine])
    else:
        dataset.PixelData = cine.tobytes()
    dataset["PixelData"].VR = "OB"
    if path.stem == "rle":
        meta.TransferSyntaxUID = UID(DICOM["explicit"][0])
        dataset.compress(RLELossless, encoding_plugin="pydicom")
    dataset["PixelData"].is_undefined_length = path.stem not in ("implicit", "explicit", "deflated", "big_endian")
    dataset.save_as(str(path))


def _jpeg(picture: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def _jpeg_lossless(picture: np.ndarray) -> bytes:
    import av

    coder: Any = av.CodecContext.create("ljpeg", "w")
    coder.height, coder.width, coder.pix_fmt, coder.framerate = *picture.shape[:2], "yuvj444p", RATE
    planes = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture.transpose(2, 0, 1)), format="yuvj444p")
    return b"".join(bytes(packet) for packet in [*coder.encode(planes), *coder.encode(None)])


def _jpeg_ls(picture: np.ndarray) -> bytes:
    import jpeg_ls

    return bytes(jpeg_ls.encode_array(picture))


def _jpeg_2000(picture: np.ndarray) -> bytes:
    from openjpeg.utils import encode_array

    return encode_array(picture, photometric_interpretation=1)


_ENCODERS: dict[str, Callable[[np.ndarray], bytes]] = {
    "jpeg": _jpeg,
    "jpeg_lossless": _jpeg_lossless,
    "jpeg_ls": _jpeg_ls,
    "jpeg_2000": _jpeg_2000,
}


def _write_pictures(cine: np.ndarray, folder: Path) -> None:
    from PIL import Image

    pictures = [Image.fromarray(picture) for picture in cine]
    rest = {"save_all": True, "append_images": pictures[1:]}
    pictures[0].save(folder / "pages.tif", **rest)
    pictures[0].save(folder / "a.gif", duration=STEP_MS, **rest)
    for suffix in ("png", "jpg"):
        (folder / f"frames_{suffix}").mkdir()
        for k, picture in enumerate(pictures):
            picture.save(folder / f"frames_{suffix}" / f"f{k}.{suffix}", quality=95)


def _write_arrays(cine: np.ndarray, folder: Path) -> None:
    import zlib

    import nibabel

    count, height, width, _ = cine.shape
    np.save(folder / "array.npy", cine)
    down, across = SPACING
    stamps = "".join(f"Seq_Frame{k:04d}_Timestamp = {k / RATE}\n" for k in range(count))
    for name, packed in (("raw.igs.mha", False), ("packed.igs.mha", True)):
        header = (
            f"ObjectType = Image\nNDims = 3\nDimSize = {width} {height} {count}\nElementSpacing = {across} {down} 1\n"
            f"ElementType = MET_UCHAR\nElementNumberOfChannels = 3\nBinaryData = True\nCompressedData = {packed}\n"
            f"Kinds = domain domain list\n{stamps}ElementDataFile = LOCAL\n"
        )
        data = cine.tobytes()
        (folder / name).write_bytes(header.encode() + (zlib.compress(data) if packed else data))
    for name, coding in (("raw.seq.nrrd", "raw"), ("packed.seq.nrrd", "gzip")):
        indices = " ".join(str(k * STEP_MS) for k in range(count))
        header = (
            f"NRRD0005\ntype: unsigned char\ndimension: 4\nsizes: 3 {width} {height} {count}\nencoding: {coding}\n"
            f'kinds: RGB-color domain domain list\nspacings: nan {across} {down} nan\nunits: "" "mm" "mm" "ms"\n'
            f"axis 3 index values:={indices}\n\n"
        )
        data = cine.tobytes()
        (folder / name).write_bytes(header.encode() + (gzip.compress(data, 6) if coding == "gzip" else data))
    voxels = np.ascontiguousarray(cine.transpose(2, 1, 0, 3)[:, :, None]).view([(name, "u1") for name in "RGB"])[..., 0]
    image = nibabel.Nifti1Image(voxels, np.eye(4))
    image.header.set_zooms((across, down, 1, STEP_MS))
    image.header.set_xyzt_units("mm", "msec")
    for name in ("raw.nii", "packed.nii.gz"):
        nibabel.save(image, folder / name)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python scripts/write_formats.py runs/formats --frames 240"
    )
    parser.add_argument("output", help="a new folder")
    parser.add_argument("--frames", type=int, default=240, help="how many (default: 240)")
    size = {"type": int, "nargs": 2, "metavar": ("WIDTH", "HEIGHT"), "default": (320, 240)}
    parser.add_argument("--size", **size, help="of the frames, even numbers (default: 320 240)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    show_input_errors_plainly()
    main()
