# SPDX-License-Identifier: Apache-2.0
"""One simulated clip: a patient, a view and a machine make frames, masks and fixations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .device import Device, draw_device, vary_device
from .fetal_head import FetalHead
from .gaze import Fixation, draw_fixations
from .heart import Heart
from .liver import LiverLesion
from .lung import LungALines, LungBLines
from .scene import Scene
from .screen import draw_screen
from .sector import ScanConverter
from .speckle import Imager, find_gain, level_to_grey

SCENES: dict[str, type[Scene]] = {
    scene.label: scene for scene in (FetalHead, Heart, LungALines, LungBLines, LiverLesion)
}
CLASSES = tuple(SCENES)


@dataclass(frozen=True)
class ClipPlan:
    """What decides a clip entirely: the seed, the patient's number and class, the clip's number, the frames."""

    seed: int
    patient: int
    label: str
    clip: int
    n_frames: int

    @property
    def patient_id(self) -> str:
        return f"phantom-{self.patient:04d}"

    @property
    def video_id(self) -> str:
        return f"{self.patient_id}-{self.clip + 1}"

    def rng(self, *words: int) -> np.random.Generator:
        """A stream of its own for each purpose, so that no clip depends on how many others were made."""
        return np.random.default_rng([self.seed, self.patient, *words])


@dataclass
class Clip:
    """``frames`` and ``mask`` are (T, H, W) uint8; the mask is of the lesion, None for classes without one."""

    plan: ClipPlan
    device: Device
    scene: Scene
    converter: ScanConverter
    frames: np.ndarray
    frame_times: np.ndarray
    mask: np.ndarray | None
    fixations: list[Fixation]


def plan_scene(plan: ClipPlan) -> tuple[Device, Scene]:
    """The machine and the body part of a clip."""
    examination = draw_device(plan.rng(0))
    device = vary_device(examination, plan.rng(1, plan.clip))
    # anatomy is in proportion to the examination's depth: operators choose the depth to suit the organ
    scene = SCENES[plan.label](examination, plan.rng(2), plan.rng(3, plan.clip))  # type: ignore[call-arg]
    return device, scene


def simulate(plan: ClipPlan) -> Clip:
    """Make the clip of a plan."""
    device, scene = plan_scene(plan)
    imager = Imager(device, scene, plan.rng(4, plan.clip))
    converter = ScanConverter(device, imager.grid)
    times = np.arange(plan.n_frames) * device.frame_time
    gain: float | None = None
    inside = converter.inside
    frames = np.repeat(draw_screen(device, converter, plan.patient_id.upper())[None], plan.n_frames, axis=0)
    for k, time in enumerate(times):
        level = converter(imager(float(time)))
        if gain is None:  # set on the first frame, then left alone
            gain = find_gain(level, device)
        frames[k][inside] = np.round(255 * level_to_grey(level, device, gain))
    lesions = [scene.lesion(converter.x, converter.z, float(time)) for time in times]
    mask = None
    if lesions[0] is not None:
        mask = np.stack([lesion & inside for lesion in lesions]).astype(np.uint8)
    fixations = draw_fixations(plan.video_id, scene, converter, times, plan.rng(5, plan.clip))
    return Clip(plan, device, scene, converter, frames, times, mask, fixations)
