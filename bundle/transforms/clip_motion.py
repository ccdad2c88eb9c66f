# SPDX-License-Identifier: Apache-2.0
"""How much the frames of a clip differ by what they show, rather than by brightness, noise or compression."""

from __future__ import annotations

import torch
import torch.nn.functional as F

MOTION_THRESHOLD = 0.5
"""Grey levels. Clips with a smaller `least_difference` have no order that can be seen.

Chosen on frames of 64 pixels. Real stills repeated, with brightness drifting by 20 % and encoded as H.264 (crf 18, 28)
or MPEG-4, stay below it (most of them at 0 to 0.4, the largest at 0.58; without drift below 0.25), at crf 36 19 of 20
do. Of clips of 4 frames drawn 0.1 to 0.3 seconds apart 1 % of COVID-BLUES, 4 % of POCUS lung and 7 % of the phantom are
below it; their medians are 1.4, 2.4 and 1.2 (0.05 to 0.15 seconds apart: 6, 19 and 10 %; 1.0, 1.4 and 1.0).
"""


def even_brightness(frames: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Gives the frames of a clip ``(n, C, H, W)``, 0 to 1, one mean and one standard deviation: the clip's averages.

    What drifts in brightness or contrast (gain, exposure) would otherwise tell the order. Counted is what is lit (above
    0) in any frame and ``seen`` ``(H, W)``: a bar that grows beside what is seen would otherwise darken all of it, step
    by step. Changed is all that is lit; what lies outside the sector stays 0.
    """
    lit = (frames > 0).any(dim=0)
    counted = frames[:, lit & seen]
    if counted.numel() == 0:
        return frames
    mean, std = counted.mean(dim=1, keepdim=True), counted.std(dim=1, correction=0, keepdim=True)
    even = torch.zeros_like(frames)
    even[:, lit] = ((frames[:, lit] - mean) / std.clamp(min=1e-3) * std.mean() + mean.mean()).clamp(0, 1)
    return even


def least_difference(frames: torch.Tensor) -> float:
    """How much the two most alike frames of a clip ``(n, C, H, W)``, 0 to 1, differ, in grey levels of 0 to 255.

    The mean absolute difference inside the sector (what is lit in any frame), after a box blur over 1/20 of the
    frame's side, 3 pixels of 64, so that little is left of the noise and compression of a file a few times larger. All
    pairs are compared, not neighbours alone: where a motion returns, two frames far apart can be exchanged as well. The
    frames should have even brightness (`even_brightness`).
    """
    lit = (frames > 0).any(dim=0).any(dim=0)
    if not lit.any():
        return 0.0
    radius = max(1, round(max(frames.shape[-2:]) / 40 - 0.5))
    smooth = F.avg_pool2d(frames.mean(dim=1, keepdim=True), 2 * radius + 1, stride=1, padding=radius)[:, 0, lit]
    first, second = torch.triu_indices(len(frames), len(frames), offset=1)
    return 255 * float((smooth[first] - smooth[second]).abs().mean(dim=1).min())
