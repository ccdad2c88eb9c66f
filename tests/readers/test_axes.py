# SPDX-License-Identifier: Apache-2.0
"""Which axis is time: what the caller tells, else what the file says, else the rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bundle.errors import InputError
from bundle.readers import CineReader, read_cine
from bundle.readers.axes import axis_roles

HERE = Path("x")


@pytest.mark.parametrize(
    ("sizes", "told", "said", "roles"),
    [
        ((64, 48), None, "", "xy"),
        ((64, 48, 5), None, "", "xyt"),
        ((64, 48, 1), None, "", "xyt"),
        ((64, 48, 1, 5), None, "", "xyzt"),
        ((64, 48, 5, 1), None, "", "xytz"),
        ((64, 48, 1, 1), None, "", "xytz"),
        ((64, 48, 5), None, "t??", "txy"),
        ((3, 64, 48, 5), None, "c??t", "cxyt"),
        ((3, 64, 48, 5), None, "c???", "cxyt"),
        ((5, 64, 48, 1), None, "t???", "txyz"),
        ((64, 48, 5), 0, "", "txy"),
        ((64, 48, 5), 1, "", "xty"),
        ((64, 48, 5), 0, "??t", "txy"),  # the caller counts before the file
        ((3, 64, 48, 5), 1, "c??t", "ctxy"),
    ],
)
def test_roles(sizes: tuple[int, ...], told: int | None, said: str, roles: str) -> None:
    assert axis_roles(sizes, HERE, told, said) == roles


@pytest.mark.parametrize(
    ("sizes", "told", "said", "message"),
    [
        ((9, 9, 4, 5), None, "", "found volumes over time .sizes .9, 9, 4, 5., time on axis 3.*write the slice"),
        ((9, 9, 4, 5), 2, "", "found volumes over time .*time on axis 2"),
        ((9,), None, "", "found axes of sizes .9., expected columns, rows and frames"),
        ((9, 9, 9), None, "tt?", "tell which axis is time"),
        ((9, 0, 9), None, "", "found axes of sizes"),
        ((9, 9, 9), 3, "", "time_axis is 3, .* expected one of the axes .0, 1, 2."),
        ((9, 9, 9), -1, "", "time_axis is -1"),
        ((3, 9, 9, 9), 0, "c???", "time_axis is 0, .* expected one of the axes .1, 2, 3."),
    ],
)
def test_what_is_no_cine(sizes: tuple[int, ...], told: int | None, said: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        axis_roles(sizes, HERE, told, said)
    assert str(caught.value).startswith("x: ") and "\n" not in str(caught.value)


def write_mha(path: Path, values: np.ndarray, extra: str = "") -> Path:
    sizes = " ".join(map(str, values.shape[::-1]))
    header = f"ObjectType = Image\nNDims = {values.ndim}\nDimSize = {sizes}\nElementType = MET_UCHAR\n{extra}"
    path.write_bytes(header.encode() + b"ElementDataFile = LOCAL\n" + values.tobytes())
    return path


def write_nrrd(path: Path, values: np.ndarray, extra: str = "") -> Path:
    sizes = " ".join(map(str, values.shape[::-1]))
    header = f"NRRD0005\ntype: uchar\ndimension: {values.ndim}\nsizes: {sizes}\nencoding: raw\n{extra}\n"
    path.write_bytes(header.encode() + values.tobytes())
    return path


def test_metaimage_and_nrrd(tmp_path: Path, grey_cine: np.ndarray) -> None:
    last = np.moveaxis(grey_cine[..., 0], 0, -1).copy()  # (H, W, T): time runs fastest in the file
    told = [(write_mha(tmp_path / "a.mha", last), 0), (write_nrrd(tmp_path / "a.nrrd", last), 0)]
    named = [
        (write_mha(tmp_path / "b.mha", last, "Kinds = list domain domain\n"), None),
        (write_nrrd(tmp_path / "b.nrrd", last, "kinds: time domain domain\n"), None),
    ]
    wrong = [(write_mha(tmp_path / "c.mha", last, "Kinds = domain domain list\n"), 0)]
    for path, axis in (*told, *named, *wrong):
        np.testing.assert_array_equal(read_cine(path, time_axis=axis).frames, grey_cine, err_msg=path.name)
        np.testing.assert_array_equal(read_cine(path, [3], time_axis=axis).frames, grey_cine[[3]], err_msg=path.name)
    for path, _ in told:  # by the rule the columns are frames
        assert read_cine(path).frames.shape == (48, 64, 5, 1)
        with pytest.raises(InputError, match="time_axis is 7"):
            read_cine(path, time_axis=7)


def test_spacing_and_times_follow_the_axes_of_a_nifti(tmp_path: Path, grey_cine: np.ndarray) -> None:
    import nibabel

    image = nibabel.Nifti1Image(grey_cine[..., 0].transpose(0, 2, 1), np.eye(4))  # (T, W, H)
    image.header.set_zooms((40, 0.2, 0.3))
    image.header.set_xyzt_units("mm", "msec")
    nibabel.save(image, tmp_path / "a.nii")
    cine = read_cine(tmp_path / "a.nii", time_axis=0)
    np.testing.assert_array_equal(cine.frames, grey_cine)
    assert cine.meta["spacing"] == pytest.approx((0.3, 0.2))
    np.testing.assert_allclose(cine.meta["frame_times"], np.arange(5) * 0.04, atol=1e-6)


def test_arrays(tmp_path: Path, grey_cine: np.ndarray, colour_cine: np.ndarray) -> None:
    for cine, axis in ((grey_cine[..., 0], 1), (grey_cine[..., 0], 2), (colour_cine, 2), (colour_cine, 3)):
        np.save(tmp_path / "a.npy", np.moveaxis(cine, 0, axis))
        expected = cine if cine.ndim == 4 else cine[..., None]
        np.testing.assert_array_equal(read_cine(tmp_path / "a.npy", time_axis=axis).frames, expected)
        np.testing.assert_array_equal(read_cine(tmp_path / "a.npy", [4, 0], time_axis=axis).frames, expected[[4, 0]])
    with pytest.raises(InputError, match="time_axis is 4"):
        read_cine(tmp_path / "a.npy", time_axis=4)
    np.save(tmp_path / "a.npy", np.moveaxis(grey_cine[..., 0], 0, 2))
    assert CineReader(time_axis=2).read(tmp_path / "a.npy").frames.shape == (5, 48, 64, 1)


def test_formats_that_say_what_a_frame_is_pass_it_over(
    tmp_path: Path, grey_cine: np.ndarray, write_dicom: Callable[..., Path]
) -> None:
    Image.fromarray(grey_cine[0, ..., 0]).save(tmp_path / "a.png")
    for path in (write_dicom(grey_cine, "MONOCHROME2"), tmp_path / "a.png"):
        np.testing.assert_array_equal(read_cine(path, time_axis=3).frames, read_cine(path).frames)
