# SPDX-License-Identifier: Apache-2.0
"""The reader inside MONAI's loaders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, LoadImage, LoadImaged

from bundle.errors import InputError, input_error_in
from bundle.readers import CineReader
from bundle.transforms import LoadCined

Loader = Callable[[Path], Any]


def load_image(path: Path) -> Any:
    return LoadImage(reader=CineReader, dtype=np.uint8, image_only=True)(path)


def load_imaged(path: Path) -> Any:
    return LoadImaged("image", reader=CineReader, dtype=np.uint8)({"image": path})["image"]


def load_cined(path: Path) -> Any:
    return LoadCined("image")({"image": str(path)})["image"]


@pytest.mark.parametrize("load", [load_image, load_imaged, load_cined])
def test_shape_and_meta(write_dicom: Callable[..., Path], colour_cine: np.ndarray, load: Loader) -> None:
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    item = Dataset()
    item.RegionLocationMinX0, item.RegionLocationMinY0, item.RegionLocationMaxX1, item.RegionLocationMaxY1 = 0, 0, 9, 9
    item.RegionSpatialFormat, item.PhysicalUnitsXDirection, item.PhysicalUnitsYDirection = 1, 3, 3
    item.PhysicalDeltaX, item.PhysicalDeltaY = 0.01, 0.02
    path = write_dicom(colour_cine, "RGB", FrameTime=40, SequenceOfUltrasoundRegions=Sequence([item]))
    cine = load(path)
    assert isinstance(cine, MetaTensor) and cine.dtype == torch.uint8
    assert cine.shape == (3, 5, 48, 64)  # C, T, H, W
    np.testing.assert_array_equal(cine.numpy().transpose(1, 2, 3, 0), colour_cine)
    np.testing.assert_allclose(cine.meta["frame_times"], np.arange(5) * 0.04)
    assert cine.meta["spacing"] == pytest.approx((0.2, 0.1))
    assert cine.meta["regions"] == [
        {"box": [0, 0, 10, 10], "kind": "2d", "spatial_format": 1, "spacing": pytest.approx((0.2, 0.1))}
    ]
    assert cine.meta["photometric_interpretation"] == "RGB"
    assert cine.meta["transfer_syntax"] == "1.2.840.10008.1.2.1"
    assert cine.meta["source_kind"] == "dicom" and cine.meta["n_frames"] == 5
    assert cine.meta["filename_or_obj"] == str(path) and cine.meta["original_channel_dim"] == 0
    assert cine.meta["spatial_shape"].tolist() == [5, 48, 64]


def test_grey_has_one_channel(tmp_path: Path, grey_cine: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", grey_cine[..., 0])
    cine = load_cined(tmp_path / "a.npy")
    assert cine.shape == (1, 5, 48, 64)
    np.testing.assert_array_equal(cine[0].numpy(), grey_cine[..., 0])


def test_our_error_comes_through(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    path.write_text("no DICOM at all")
    with pytest.raises(InputError, match="no DICOM header"):
        load_cined(path)
    with pytest.raises(RuntimeError) as caught:  # what MONAI makes of it in a chain
        Compose([LoadCined("image")])({"image": path})
    found = input_error_in(caught.value)
    assert found is not None and str(path) in str(found)


def test_ours_is_the_only_reader(tmp_path: Path) -> None:
    """A file that MONAI's own readers would take and ours refuses."""
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((4, 4, 4, 4)))
    assert load_image(path).shape == (4, 4, 4, 4)  # fell through to MONAI's NumpyReader
    with pytest.raises(InputError, match=r"\(4, 4, 4, 4\)"):
        load_cined(path)


def test_keys(tmp_path: Path, grey_cine: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", grey_cine[..., 0])
    record = {"image": tmp_path / "a.npy", "label": "x"}
    with pytest.raises(KeyError):
        LoadCined(["image", "other"])(record)
    loaded = LoadCined(["image", "other"], allow_missing_keys=True)(record)
    assert loaded["label"] == "x" and loaded["image"].shape == (1, 5, 48, 64)
    with pytest.raises(InputError, match="found 2 paths"):
        LoadCined("image")({"image": [tmp_path / "a.npy", tmp_path / "a.npy"]})
