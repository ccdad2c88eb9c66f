# SPDX-License-Identifier: Apache-2.0
"""Sequences, NIfTI, images, folders, arrays; how a file's kind is found; errors of the path itself."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.errors import InputError
from bundle.readers import read_cine
from bundle.readers.grey_levels import to_uint8


def write_mha(path: Path, cine: np.ndarray, extra: str = "", packed: bool = False, order: str = "<") -> Path:
    count, rows, columns, channels = cine.shape
    kind = {"u1": "MET_UCHAR", "u2": "MET_USHORT", "f4": "MET_FLOAT"}[cine.dtype.str[1:]]
    data = cine.astype(cine.dtype.newbyteorder(order)).tobytes()
    header = (
        f"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = {order == '>'}\n"
        f"CompressedData = {packed}\nDimSize = {columns} {rows} {count}\nElementNumberOfChannels = {channels}\n"
        f"ElementType = {kind}\n{extra}"
    )
    data = zlib.compress(data) if packed else data
    if path.suffix == ".mhd":
        path.with_suffix(".raw").write_bytes(data)
        path.write_text(header + f"ElementDataFile = {path.stem}.raw\n")
    else:
        path.write_bytes(header.encode() + b"ElementDataFile = LOCAL\n" + data)
    return path


def write_nrrd(path: Path, values: np.ndarray, kinds: str, extra: str = "", packed: bool = False) -> Path:
    """``values`` has numpy's order: its last axis is NRRD's first."""
    kind = {"u1": "unsigned char", "u2": "ushort", "f4": "float"}[values.dtype.str[1:]]
    header = (
        f"NRRD0005\n# a comment: with a colon\ntype: {kind}\ndimension: {values.ndim}\n"
        f"sizes: {' '.join(str(n) for n in values.shape[::-1])}\nkinds: {kinds}\nendian: little\n"
        f"encoding: {'gzip' if packed else 'raw'}\n{extra}\n"
    )
    data = values.tobytes()
    path.write_bytes(header.encode() + (gzip.compress(data) if packed else data))
    return path


def plus_times(times: list[float]) -> str:
    return "".join(f"Seq_Frame{k:04d}_Timestamp = {t}\n" for k, t in enumerate(times))


@pytest.mark.parametrize("suffix", [".mha", ".mhd"])
@pytest.mark.parametrize("packed", [False, True])
def test_metaimage(tmp_path: Path, colour_cine: np.ndarray, grey_cine: np.ndarray, suffix: str, packed: bool) -> None:
    path = tmp_path / f"a{suffix}"
    times = [7.5, 7.6, 7.8, 7.9, 8.5]
    cine = read_cine(write_mha(path, colour_cine, "ElementSpacing = 0.2 0.3 1\n" + plus_times(times), packed))
    np.testing.assert_array_equal(cine.frames, colour_cine)
    np.testing.assert_allclose(cine.meta["frame_times"], np.array(times) - 7.5)
    assert cine.meta["spacing"] == (0.3, 0.2) and cine.meta["source_kind"] == "sequence"
    cine = read_cine(write_mha(path, grey_cine, "ElementSpacing = 1 1 1\n", packed))
    np.testing.assert_array_equal(cine.frames, grey_cine)
    assert set(cine.meta) == {"filename_or_obj", "source_kind", "n_frames"}


def test_metaimage_of_another_byte_order(tmp_path: Path, grey_cine: np.ndarray) -> None:
    wide = grey_cine.astype(np.uint16)
    np.testing.assert_array_equal(read_cine(write_mha(tmp_path / "a.mha", wide, order=">")).frames, grey_cine)


def test_metaimage_agrees_with_itk(tmp_path: Path, colour_cine: np.ndarray, grey_cine: np.ndarray) -> None:
    itk = pytest.importorskip("itk")
    itk.imwrite(itk.image_from_array(grey_cine[..., 0]), str(tmp_path / "a.mha"), compression=True)
    itk.imwrite(itk.image_from_array(colour_cine, is_vector=True), str(tmp_path / "b.mha"))
    itk.imwrite(itk.image_from_array(grey_cine[..., 0]), str(tmp_path / "c.nrrd"), compression=True)
    for name, expected in (("a.mha", grey_cine), ("b.mha", colour_cine), ("c.nrrd", grey_cine)):
        np.testing.assert_array_equal(read_cine(tmp_path / name).frames, expected)


@pytest.mark.parametrize(
    ("orientation", "rows", "columns"), [("MF", 1, 1), ("UF", 1, -1), ("MN", -1, 1), ("UN", -1, -1), ("MFA", 1, 1)]
)
def test_plus_orientation(tmp_path: Path, grey_cine: np.ndarray, orientation: str, rows: int, columns: int) -> None:
    path = write_mha(tmp_path / "a.mha", grey_cine, f"UltrasoundImageOrientation = {orientation}\n")
    np.testing.assert_array_equal(read_cine(path).frames, grey_cine[:, ::rows, ::columns])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "kinds", ["domain domain list", "domain domain time", "domain domain domain", "space space list"]
)
def test_nrrd(tmp_path: Path, grey_cine: np.ndarray, kinds: str, packed: bool) -> None:
    path = write_nrrd(tmp_path / "a.nrrd", grey_cine[..., 0], kinds, "spacings: 0.2 0.3 NaN\n", packed)
    cine = read_cine(path)
    np.testing.assert_array_equal(cine.frames, grey_cine)
    assert cine.meta["spacing"] == (0.3, 0.2)


def test_nrrd_of_slicer(tmp_path: Path, grey_cine: np.ndarray) -> None:
    values = np.moveaxis(grey_cine[None, ..., 0], 1, -1)  # (1, H, W, T): time runs fastest
    extra = (
        'space directions: none (0.2,0,0) (0,0.3,0) (0,0,1)\nlabels: "time" "" "" ""\nunits: "ms" "mm" "mm" "mm"\n'
        "axis 0 index type:=numeric\naxis 0 index values:=5 10 20 40 80\n"
    )
    path = write_nrrd(tmp_path / "a.seq.nrrd", values, "list domain domain domain", extra)
    cine = read_cine(path)
    np.testing.assert_array_equal(cine.frames, grey_cine)
    np.testing.assert_allclose(cine.meta["frame_times"], [0, 0.005, 0.015, 0.035, 0.075])
    assert cine.meta["spacing"] == pytest.approx((0.3, 0.2))


def test_nrrd_colour_of_plus(tmp_path: Path, colour_cine: np.ndarray) -> None:
    extra = "".join(f"Seq_Frame{k:04d}_Timestamp:={k / 8}\n" for k in range(5))
    path = write_nrrd(tmp_path / "a.nrrd", colour_cine, "vector domain domain list", extra)
    cine = read_cine(path)
    np.testing.assert_array_equal(cine.frames, colour_cine)
    np.testing.assert_allclose(cine.meta["frame_times"], np.arange(5) / 8)


def test_sequence_errors(tmp_path: Path, grey_cine: np.ndarray) -> None:
    short = write_mha(tmp_path / "short.mha", grey_cine)
    short.write_bytes(short.read_bytes()[:-100])
    torn = write_mha(tmp_path / "torn.mha", grey_cine, packed=True)
    torn.write_bytes(torn.read_bytes()[: torn.stat().st_size // 2])
    volumes = write_nrrd(tmp_path / "volumes.nrrd", np.zeros((4, 9, 9, 5), "u1"), "list domain domain domain")
    lost = write_mha(tmp_path / "lost.mhd", grey_cine)
    lost.with_suffix(".raw").unlink()
    text = tmp_path / "text.nrrd"
    text.write_text("NRRD0005\ntype: uchar\nsizes: 9 9\nencoding: ascii\n\n0 0 0")
    odd = tmp_path / "odd.nrrd"  # ITK would end the process
    odd.write_bytes(b"NRRD0005\ntype: uchar\ndimension: 2\nsizes: 9 9\nencoding: raw\xff(" + bytes(99))
    for path, message in (
        (short, "expected 15360"),
        (torn, "expected 15360"),
        (volumes, "write the slice you want"),
        (lost, "lost.raw"),
        (text, "found pixels as text"),
        (odd, "an encoding that is none of raw, gzip"),
    ):
        with pytest.raises(InputError, match=message):
            read_cine(path)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti(tmp_path: Path, grey_cine: np.ndarray, suffix: str) -> None:
    import nibabel

    path = tmp_path / f"a{suffix}"
    image = nibabel.Nifti1Image(grey_cine[..., 0].transpose(2, 1, 0), np.diag([0.2, 0.3, 1, 1]))
    nibabel.save(image, path)
    cine = read_cine(path)
    np.testing.assert_array_equal(cine.frames, grey_cine)
    assert cine.meta["spacing"] == pytest.approx((0.3, 0.2)) and cine.meta["source_kind"] == "nifti"
    assert "frame_times" not in cine.meta  # no unit of time

    image = nibabel.Nifti1Image(grey_cine[..., 0].transpose(2, 1, 0)[:, :, None].astype(np.float32), np.eye(4))
    image.header.set_zooms((0.2, 0.3, 1, 40))
    image.header.set_xyzt_units("mm", "msec")
    nibabel.save(image, path)
    cine = read_cine(path)
    np.testing.assert_array_equal(cine.frames, grey_cine)
    np.testing.assert_allclose(cine.meta["frame_times"], np.arange(5) * 0.04)


def test_nifti_colour_and_volumes(tmp_path: Path, colour_cine: np.ndarray) -> None:
    import nibabel

    packed = np.ascontiguousarray(colour_cine.transpose(2, 1, 0, 3)).view([("R", "u1"), ("G", "u1"), ("B", "u1")])[
        ..., 0
    ]
    nibabel.save(nibabel.Nifti1Image(packed, np.eye(4)), tmp_path / "rgb.nii")
    np.testing.assert_array_equal(read_cine(tmp_path / "rgb.nii").frames, colour_cine)
    vectors = colour_cine.transpose(2, 1, 0, 3)[:, :, :, None]
    nibabel.save(nibabel.Nifti1Image(vectors, np.eye(4)), tmp_path / "vector.nii")
    np.testing.assert_array_equal(read_cine(tmp_path / "vector.nii").frames, colour_cine)
    nibabel.save(nibabel.Nifti1Image(np.zeros((9, 9, 4, 3), "u1"), np.eye(4)), tmp_path / "volumes.nii")
    with pytest.raises(InputError, match=r"volumes over time .sizes \[9, 9, 4, 3\]"):
        read_cine(tmp_path / "volumes.nii")


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".jpg"])
def test_one_image(tmp_path: Path, colour_cine: np.ndarray, grey_cine: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    for cine in (colour_cine, grey_cine):
        Image.fromarray(cine[0].squeeze()).save(path, **({"quality": 98} if suffix == ".jpg" else {}))
        read = read_cine(path)
        assert read.frames.shape == cine[:1].shape
        assert np.abs(read.frames.astype(int) - cine[:1]).max() <= (8 if suffix == ".jpg" else 0)
        assert read.meta == {"filename_or_obj": str(path), "source_kind": "image", "n_frames": 1}


def test_image_modes(tmp_path: Path, colour_cine: np.ndarray, grey_cine: np.ndarray) -> None:
    path = tmp_path / "a.png"
    alpha = np.full_like(grey_cine[0], 128)
    Image.fromarray(np.concatenate([colour_cine[0], alpha], -1)).save(path)
    assert np.abs(read_cine(path).frames[0] - colour_cine[0] * (128 / 255)).max() <= 1
    Image.fromarray(grey_cine[0, ..., 0].astype(np.uint16) * 257).save(path)
    np.testing.assert_array_equal(read_cine(path).frames, grey_cine[:1])
    palette = Image.fromarray(colour_cine[0]).quantize(64)
    palette.save(path)
    np.testing.assert_array_equal(read_cine(path).frames[0], np.asarray(palette.convert("RGB")))
    turned = Image.fromarray(colour_cine[0])
    turned.getexif()[0x0112] = 6  # to be shown after a quarter turn clockwise
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "a.jpg"
    turned.save(path, exif=turned.getexif(), quality=98)
    expected = np.rot90(colour_cine[0], -1)
    assert np.abs(read_cine(path).frames[0].astype(int) - expected).max() <= 8
    assert np.abs(read_cine(path.parent).frames[0].astype(int) - expected).max() <= 8


def test_tiff_pages(tmp_path: Path, colour_cine: np.ndarray) -> None:
    pages = [Image.fromarray(picture) for picture in colour_cine]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(read_cine(tmp_path / "a.tif").frames, colour_cine)


def write_folder(folder: Path, cine: np.ndarray, repeat: int = 3) -> np.ndarray:
    """Frames f0 ... f14, so that natural and plain order differ."""
    folder.mkdir()
    pictures = np.concatenate([cine] * repeat)
    for k, picture in enumerate(pictures):
        Image.fromarray(picture.squeeze()).save(folder / f"f{k}.png")
    return pictures


def test_folder(tmp_path: Path, grey_cine: np.ndarray, colour_cine: np.ndarray) -> None:
    expected = write_folder(tmp_path / "a", grey_cine)
    (tmp_path / "a" / "notes.txt").write_text("no frame")
    (tmp_path / "a" / "._f0.png").write_text("no frame either")
    cine = read_cine(tmp_path / "a")
    np.testing.assert_array_equal(cine.frames, expected)
    assert cine.meta["source_kind"] == "frames" and cine.meta["n_frames"] == 15
    Image.fromarray(colour_cine[0]).save(tmp_path / "a" / "f99.png")
    assert read_cine(tmp_path / "a", [0]).frames.shape == (1, 48, 64, 3)  # one coloured frame makes all of them RGB


def test_folder_errors(tmp_path: Path, grey_cine: np.ndarray) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="without an image"):
        read_cine(tmp_path / "empty")
    write_folder(tmp_path / "a", grey_cine)
    Image.fromarray(grey_cine[0, :20, :30, 0]).save(tmp_path / "a" / "f3.png")
    with pytest.raises(InputError, match=r"f3.png: found a frame of 30 x 20 pixels, expected 64 x 48"):
        read_cine(tmp_path / "a")
    noise = np.random.default_rng(0).integers(0, 256, (48, 64), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a" / "f3.png")
    (tmp_path / "a" / "f3.png").write_bytes((tmp_path / "a" / "f3.png").read_bytes()[:1500])
    with pytest.raises(InputError, match="f3.png: the image is damaged"):
        read_cine(tmp_path / "a")


@pytest.mark.parametrize("kind", ["u1", "f4", "bool"])
def test_array(tmp_path: Path, colour_cine: np.ndarray, grey_cine: np.ndarray, kind: str) -> None:
    path = tmp_path / "a.npy"
    for shape, expected in (
        (colour_cine, colour_cine),
        (grey_cine, grey_cine),
        (grey_cine[..., 0], grey_cine),
        (grey_cine[0, ..., 0], grey_cine[:1]),
    ):
        values = shape > 100 if kind == "bool" else shape.astype(kind)
        np.save(path, values)
        cine = read_cine(path)
        np.testing.assert_array_equal(cine.frames, (expected > 100) * 255 if kind == "bool" else expected)
        assert cine.meta["source_kind"] == "array" and cine.meta["n_frames"] == len(expected)


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(100),
        np.zeros((3, 48, 64, 2)),
        np.zeros((3, 48, 64, 1, 1)),
        np.zeros((48, 64, 3)),
        np.zeros((0, 48, 64)),
        np.zeros((2, 16, 16), np.complex64),
        np.array([{"a": 1}]),
    ],
    ids=lambda values: f"{values.shape} {values.dtype}",
)
def test_arrays_that_are_no_frames(tmp_path: Path, values: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", values, allow_pickle=True)
    with pytest.raises(InputError, match="a.npy"):
        read_cine(tmp_path / "a.npy")


def test_to_uint8() -> None:
    here = Path("x")
    assert to_uint8(np.array([0.0, 0.5, 1.0]), here).tolist() == [0, 128, 255]
    assert to_uint8(np.array([0.0, 0.6, 254.4]), here).tolist() == [0, 1, 254]
    assert to_uint8(np.array([0, 1, 1]), here).tolist() == [0, 1, 1]
    assert to_uint8(np.array([-100, 0, 300], np.int16), here).tolist() == [0, 64, 255]
    assert to_uint8(np.array([100.0, np.nan, 600.0]), here).tolist() == [0, 0, 255]
    assert to_uint8(np.array([700, 700]), here).tolist() == [0, 0]


def test_chosen_frames_are_those_frames(
    tmp_path: Path, grey_cine: np.ndarray, write_dicom: Callable[..., Path]
) -> None:
    import nibabel

    wide = grey_cine.astype(np.uint16) * 200
    write_folder(tmp_path / "folder", grey_cine, repeat=1)
    np.save(tmp_path / "a.npy", wide[..., 0])
    nibabel.save(nibabel.Nifti1Image(wide[..., 0].transpose(2, 1, 0), np.eye(4)), tmp_path / "a.nii.gz")
    pages = [Image.fromarray(picture.squeeze()) for picture in grey_cine]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    paths = [
        *(tmp_path / "folder", tmp_path / "a.npy", tmp_path / "a.nii.gz", tmp_path / "a.tif"),
        write_mha(tmp_path / "a.mha", wide, plus_times([0, 1, 2, 4, 5])),
        write_nrrd(tmp_path / "a.nrrd", grey_cine[..., 0], "domain domain list"),
        write_dicom(wide, "MONOCHROME2", FrameTime=40),
    ]
    for path in paths:
        whole, some = read_cine(path), read_cine(path, [4, 1, 1])
        np.testing.assert_array_equal(some.frames, whole.frames[[4, 1, 1]], err_msg=str(path))
        assert some.meta["n_frames"] == 5 and len(np.unique(whole.frames)) > 50
        if "frame_times" in whole.meta:
            np.testing.assert_array_equal(some.meta["frame_times"], whole.meta["frame_times"][[4, 1, 1]])
        with pytest.raises(InputError, match="expected indices from 0 to 4"):
            read_cine(path, [5])


def test_content_decides_not_the_name(
    tmp_path: Path, colour_cine: np.ndarray, write_dicom: Callable[..., Path]
) -> None:
    dicom = write_dicom(colour_cine, "RGB", name="dicom.png")
    assert read_cine(dicom).meta["source_kind"] == "dicom"
    Image.fromarray(colour_cine[0]).save(tmp_path / "picture.dcm", format="PNG")
    assert read_cine(tmp_path / "picture.dcm").meta["source_kind"] == "image"
    np.save(tmp_path / "a.npy", colour_cine)
    bare = (tmp_path / "a.npy").rename(tmp_path / "no_suffix")
    assert read_cine(str(bare)).meta["source_kind"] == "array"


def test_path_errors(tmp_path: Path) -> None:
    for name, content, message in (
        ("missing.mp4", None, "check the path"),
        ("empty.dcm", b"", "0 bytes"),
        ("text.dcm", b"this is no image\n" * 20, "no DICOM header"),
        ("text.mp4", b"this is no clip\n" * 20, "cannot be read as video"),
        ("text.png", b"this is no image\n" * 20, "cannot be read as an image"),
        ("text.nii", b"this is no image\n" * 20, "cannot be read as NIfTI"),
        ("text.npy", b"this is no array\n" * 20, "cannot be read as an array"),
        ("table.csv", b"a,b\n1,2\n", "unknown kind"),
        ("torn.nii.gz", b"\x1f\x8b\x08\x00junk", "damaged gzip"),
    ):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InputError, match=message) as caught:
            read_cine(path)
        assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
