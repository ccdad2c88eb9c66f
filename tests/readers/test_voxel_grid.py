# SPDX-License-Identifier: Apache-2.0
"""Voxels are where ITK puts them, and nowhere in space where it does not know the file."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from bundle.readers.voxel_grid import voxel_grid

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def test_of_nifti_volumes_and_pictures(tmp_path: Path) -> None:
    c, s = np.cos(0.3), np.sin(0.3)
    affine = np.array([[c, -s, 0, 5], [s, c, 0, -7], [0, 0, 1, 2], [0, 0, 0, 1]]) @ np.diag([0.3, 0.4, 2, 1])
    for name, shape in (("volume", (20, 16, 5)), ("slice", (20, 16, 1)), ("time", (20, 16, 1, 5))):
        image = nibabel.Nifti1Image(np.zeros(shape, np.uint8), affine)  # type: ignore[attr-defined, no-untyped-call]
        nibabel.save(image, tmp_path / f"{name}.nii.gz")  # type: ignore[attr-defined]
    for name, frames in (("volume", 5), ("slice", 1)):
        found = voxel_grid(tmp_path / f"{name}.nii.gz", 20, 16, frames)
        assert found == pytest.approx(RAS_TO_LPS @ affine, abs=1e-5)
    assert np.array_equal(voxel_grid(tmp_path / "volume.nii.gz", 16, 20, 5), np.eye(4)), "other axes"
    assert np.array_equal(voxel_grid(tmp_path / "time.nii.gz", 20, 16, 5), np.eye(4)), "time is no axis of space there"
    Image.fromarray(np.zeros((16, 20), np.uint8)).save(tmp_path / "a.png")
    assert np.array_equal(voxel_grid(tmp_path / "a.png", 20, 16, 1), np.eye(4))


def test_of_files_that_itk_does_not_know(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5, 16, 20), np.uint8))
    (tmp_path / "cut.nrrd").write_bytes(b"NRRD0004\ntype: uint8\n")
    for name in ("a.npy", "cut.nrrd", "missing.mp4"):
        assert np.array_equal(voxel_grid(tmp_path / name, 20, 16, 5), np.eye(4))
