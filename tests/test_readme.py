# SPDX-License-Identifier: Apache-2.0
"""The README's lines of plain PyTorch do what they say."""

from __future__ import annotations

import importlib
import re
import sys
import types
from pathlib import Path

import numpy as np
import plain_networks
import pydicom
import pytest
import torch
from monai.transforms import Compose
from pydicom.uid import ExplicitVRLittleEndian

from bundle.data import make_phantom
from bundle.keys import Keys
from bundle.networks import Encoder, save_encoder
from bundle.transforms import LoadCined, ResizeFramesd, ToGreyd

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture
def torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ResNet-18, in plain PyTorch where torchvision itself is not installed or does not fit the build of torch."""
    try:
        importlib.import_module("torchvision.models")
    except (ImportError, RuntimeError):
        models = types.ModuleType("torchvision.models")
        models.resnet18 = plain_networks.resnet18  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
        monkeypatch.setitem(sys.modules, "torchvision.models", models)


def in_colour(file: Path) -> None:
    """Stores a grey cine anew as RGB, each channel another share of it."""
    cine = pydicom.dcmread(file)
    frames = (cine.pixel_array[..., None] * np.array([1.0, 0.6, 0.3])).astype(np.uint8)
    cine.PhotometricInterpretation, cine.SamplesPerPixel, cine.PlanarConfiguration = "RGB", 3, 0
    cine.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    cine["PixelData"] = pydicom.DataElement("PixelData", "OW", frames.tobytes())
    cine.save_as(file)


@pytest.mark.parametrize("colour", [False, True])
def test_ten_lines_embed_a_cine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torchvision: None, colour: bool
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (lines,) = [block for block in blocks if "torchvision" in block]
    assert len([line for line in lines.splitlines() if line]) == 10
    assert "bundle" not in lines and "monai" not in lines
    torch.manual_seed(1)
    encoder = plain_networks.with_statistics(Encoder())
    normalisation = {"mean": 0.4, "std": 0.3}
    save_encoder(encoder, tmp_path / "runs/train", normalisation=normalisation, image_size=64, trained={})
    phantom = make_phantom(tmp_path / "phantom", patients_per_class=1, clips_per_patient=1, n_frames=3, processes=1)
    clip = min((phantom / "clips").glob("*.dcm")).rename(tmp_path / "clip.dcm")
    if colour:
        in_colour(clip)
    monkeypatch.chdir(tmp_path)
    told: dict[str, torch.Tensor] = {}
    exec(lines, told)
    with torch.no_grad():
        same = encoder((told["frames"] - 0.4) / 0.3)
        chain = Compose([LoadCined(Keys.IMAGE), ToGreyd(Keys.IMAGE), ResizeFramesd(Keys.IMAGE, 64)])
        cine = torch.as_tensor(chain({Keys.IMAGE: str(clip)})[Keys.IMAGE]).movedim(1, 0).float() / 255
        ours = encoder((cine - 0.4) / 0.3)
    assert told["features"].shape == (3, 512) and told["features"].std(0).max() > 1e-3
    torch.testing.assert_close(told["features"], same, rtol=1e-4, atol=1e-4)
    # our chain rounds to grey levels after resampling, and decodes JPEG with a library of its own
    assert (told["frames"] - cine).abs().max() < 3 / 255
    assert (told["features"] - ours).norm() < 0.02 * ours.norm()
