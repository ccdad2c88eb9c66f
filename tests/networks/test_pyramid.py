# SPDX-License-Identifier: Apache-2.0
"""The networks of lesions: maps, sizes, scripting, anchors and boxes where they should be."""

from __future__ import annotations

import pytest
import torch
from monai.apps.detection.utils.box_coder import BoxCoder
from torch.nn import functional as F

from bundle.errors import InputError
from bundle.networks import AnchorGrid, DetectionNet, Encoder, PyramidNet, SegmentationNet, swap_axes
from bundle.networks.anchors import decode_boxes

OF_EACH_KIND = ("resnet18", "seresnext50", "densenet121", "efficientnet-b0")


@pytest.mark.parametrize("name", OF_EACH_KIND)
def test_the_pyramid_is_what_the_encoder_passes(name: str) -> None:
    torch.manual_seed(0)
    encoder = Encoder(name)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    net = PyramidNet(encoder)
    assert encoder.training and all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert {key.removeprefix("encoder.") for key in net.state_dict()} == set(before)
    net.eval()
    x = torch.randn(2, 1, 70, 91)
    with torch.no_grad():
        maps = net.pyramid(x)
        torch.testing.assert_close(maps[-1], encoder.feature_maps(x))
    assert [one.shape[1] for one in maps] == net.channels
    assert net.strides == ([4, 8, 16, 32] if name.startswith("se") else [2, 4, 8, 16, 32])
    assert [list(one.shape[-2:]) for one in maps] == net.map_sizes(70, 91)
    for one, stride in zip(maps, net.strides, strict=True):
        # rounded up, but for the pooling of the SE networks, which has no padding
        assert abs(one.shape[-1] - 91 / stride) <= 1 and abs(one.shape[-2] - 70 / stride) <= 1


def test_a_map_is_the_last_of_its_size() -> None:
    """ResNet-18's maps by its own layers."""
    encoder = Encoder("resnet18").eval()
    x = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        maps = PyramidNet(encoder).pyramid(x)
        x = encoder.get_submodule("act")(encoder.get_submodule("bn1")(encoder.get_submodule("conv1")(x)))
        expected = [x]
        x = encoder.get_submodule("maxpool")(x)
        for stage in range(1, 5):
            x = encoder.get_submodule(f"layer{stage}")(x)
            expected.append(x)
    for one, other in zip(maps, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", OF_EACH_KIND)
def test_one_tensor_in_and_out_scripted_or_not(name: str) -> None:
    torch.manual_seed(0)
    segmentation, detection = SegmentationNet(Encoder(name)).eval(), DetectionNet(Encoder(name)).eval()
    scripted = [torch.jit.script(net) for net in (segmentation, detection)]
    with torch.no_grad():
        for height, width in ((64, 64), (50, 91)):
            x = torch.randn(2, 1, height, width)
            logits, boxes = segmentation(x), detection(x)
            assert logits.shape == (2, 1, height, width)
            assert boxes.shape == (2, 5, len(detection.anchor_boxes(height, width)[0]))
            torch.testing.assert_close(scripted[0](x), logits, rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(scripted[1](x), boxes, rtol=1e-3, atol=1e-3)


def test_the_decoder_keeps_left_and_right() -> None:
    """A mirrored frame gives the mirrored logits of a network whose kernels are symmetric."""
    torch.manual_seed(0)
    net = SegmentationNet(Encoder("resnet18")).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data = (module.weight.data + module.weight.data.flip(-1)) / 2
    x = torch.zeros(1, 1, 65, 65)  # every stride keeps the middle column in the middle
    x[..., 20:40, 5:17] = 2
    with torch.no_grad():
        straight, mirrored = net(x), net(x.flip(-1)).flip(-1)
    torch.testing.assert_close(straight, mirrored, rtol=1e-3, atol=1e-4)
    assert (straight - straight.flip(-1)).abs().max() > 0.01


def test_anchors_cover_a_frame_that_is_not_square() -> None:
    """Against plain loops; x is the column."""
    grid = AnchorGrid([8, 16], scale=3.0, ratios=(0.5, 2.0))
    anchors = grid([[4, 7], [2, 4]], torch.zeros(1))
    expected = []
    for stride, rows, columns in ((8, 4, 7), (16, 2, 4)):
        for row in range(rows):
            for column in range(columns):
                for ratio in (0.5, 2.0):  # width to height
                    w, h = 3 * stride * ratio**0.5, 3 * stride / ratio**0.5
                    x, y = (column + 0.5) * stride, (row + 0.5) * stride
                    expected.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
    # MONAI rounds the sides to whole pixels
    assert anchors.shape == (72, 4) and (anchors - torch.tensor(expected)).abs().max() <= 0.5


def test_swapping_is_its_own_inverse() -> None:
    boxes = torch.tensor([[1.0, 2.0, 30.0, 40.0]])
    assert swap_axes(boxes).tolist() == [[2.0, 1.0, 40.0, 30.0]]
    assert torch.equal(swap_axes(swap_axes(boxes)), boxes)


def test_boxes_are_decoded_as_monai_does() -> None:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(9, 2, generator=generator) * 50
    anchors = torch.cat([corners, corners + 1 + torch.rand(9, 2, generator=generator) * 40], dim=1)
    codes = torch.randn(3, 9, 4, generator=generator)
    codes[0, 0, 2] = 9  # beyond the limit of growth
    decoded = decode_boxes(codes, anchors)
    for one, boxes in zip(codes, decoded, strict=True):
        expected = BoxCoder((1.0, 1.0, 1.0, 1.0)).decode_single(one, anchors)
        torch.testing.assert_close(boxes, expected, rtol=1e-3, atol=1e-3)


def test_a_detector_without_training_answers_with_its_anchors() -> None:
    """Codes near 0 are the anchors themselves, in the same order as they are listed, on a frame that is not square."""
    torch.manual_seed(0)
    net = DetectionNet(Encoder("resnet18")).eval()
    torch.nn.init.zeros_(net.box_head.bbox_reg.weight)
    with torch.no_grad():
        found = net(torch.randn(1, 1, 64, 128))
    anchors, places = net.anchor_boxes(64, 128)
    torch.testing.assert_close(found[0, :4].T, anchors)
    assert places == [16 * 32, 8 * 16, 4 * 8, 2 * 4] and len(anchors) == 3 * sum(places)
    assert F.sigmoid(found[0, 4]).mean() == pytest.approx(0.01, abs=0.01)  # nothing is a lesion to begin with


def test_refusals() -> None:
    with pytest.raises(InputError, match="multiple of 8"):
        DetectionNet(Encoder("resnet18"), width=20)
