# SPDX-License-Identifier: Apache-2.0
"""The bundles that can be exported: what each is called, made by and good for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle.data.label_sets import FETAL_PLANES_DB, PLANES, LabelSet
from bundle.networks import EMBEDDING

ROOT = Path(__file__).resolve().parents[1]
"""Of the project."""

LARGE = 25 * 2**20
"""Bytes; the zoo wants larger files fetched from elsewhere."""

FINETUNE = ("finetune.yaml",)
SEGMENTATION = (*FINETUNE, "segmentation.yaml")
QUICK = {"image_size": 32, "frames_per_clip": 2, "test_frames_per_clip": 2}
"""Of the small runs whose weights only show that a bundle works."""

_OTHER = {"other", "background"}  # say nothing of what is looked at
VIEWS = LabelSet(
    "views of the fetus and the heart",
    tuple(
        name
        for name in (*PLANES.classes, *FETAL_PLANES_DB.classes, "apical_two_chamber", "apical_four_chamber")
        if name not in _OTHER
    ),
    PLANES.other_names,
)
LUNG = LabelSet(
    "patterns of lung ultrasound",
    (
        *("a_lines", "b_lines", "lung_a_lines", "lung_b_lines", "lung_regular", "lung_abnormal", "pleural"),
        *("covid", "pneumonia", "viral", "regular"),
    ),
)
"""What the classes are called that the sets of data known to the project have."""


@dataclass(frozen=True, kw_only=True)
class ExportTask:
    """A bundle, of one task.

    Attributes:
        name: of its folder; MONAI Label reads from it what kind of model it is.
        task: of the model, one of `bundle.networks.trained_model.NETWORKS`.
        recipes: files of ``configs/`` that train it, each laid over those before.
        title, about: for people.
        quick: settings of a small run on the phantom.
        others: classes that are another bundle's.
    """

    name: str
    task: str
    recipes: tuple[str, ...]
    title: str
    about: str
    quick: dict[str, Any]
    others: LabelSet = LabelSet("", ())


TASKS = {
    task.name: task
    for task in (
        ExportTask(
            name="us_video_representation",
            task=EMBEDDING,
            recipes=("train.yaml",),
            title="Ultrasound video representation",
            about="A feature vector of every frame, learned from ultrasound cines most of which have no label.",
            quick={"image_size": 32, "max_epochs": 4, "val_interval": 2},
        ),
        ExportTask(
            name="us_plane_classification",
            task="classification",
            recipes=FINETUNE,
            title="Ultrasound plane classification",
            about="Which of the known views a frame or clip shows.",
            quick={**QUICK, "max_epochs": 3},
            others=LUNG,
        ),
        ExportTask(
            name="us_lung_classification",
            task="classification",
            recipes=FINETUNE,
            title="Lung ultrasound classification",
            about="Which of the known patterns a frame or clip of lung ultrasound shows.",
            quick={**QUICK, "max_epochs": 6, "where": "{label: [lung_a_lines, lung_b_lines]}"},
            others=VIEWS,
        ),
        ExportTask(
            name="us_saliency_segmentation",
            task="saliency",
            recipes=(*FINETUNE, "saliency.yaml"),
            title="Ultrasound saliency",
            about="Where people look in a frame, as a density over its pixels.",
            quick={**QUICK, "max_epochs": 2},
        ),
        ExportTask(
            name="us_lesion_segmentation",
            task="segmentation",
            recipes=SEGMENTATION,
            title="Ultrasound lesion segmentation",
            about="Which pixels of a frame belong to a lesion.",
            quick={**QUICK, "image_size": 64, "max_epochs": 4},
        ),
        ExportTask(
            name="us_lesion_detection",
            task="detection",
            recipes=(*SEGMENTATION, "detection.yaml"),
            title="Ultrasound lesion detection",
            about="Boxes around the lesions of a frame, with scores.",
            quick={**QUICK, "image_size": 64, "max_epochs": 4},
        ),
    )
}
"""By name."""
