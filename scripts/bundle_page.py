# SPDX-License-Identifier: Apache-2.0
"""What an exported bundle says of itself to people: a README by the zoo's template, and the licence of its data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bundle_facts import circumstances
from bundle_tasks import ExportTask

from bundle.errors import InputError
from bundle.keys import LEGACY
from bundle.networks import EMBEDDING, only_simulated, sources
from bundle.networks.provenance import SMALL
from bundle.networks.trained_model import TrainedModel
from bundle.reports.tables import LEGACY_NOTE, SIMULATED

DATA = {
    "classification": "Clips with a class each: a folder with a `labels.csv` (columns `file`, `patient_id`, `label`) "
    "or a `datalist.json`.",
    "segmentation": "Clips with a mask each: a folder with a `labels.csv` (columns `file`, `patient_id`, `mask`) or a "
    "`datalist.json`. A mask has a value for each pixel of each frame, 1 where the lesion is.",
    "detection": "Clips with a mask each, whose outline gives the boxes: a folder with a `labels.csv` (columns "
    "`file`, `patient_id`, `mask`) or a `datalist.json`.",
    "saliency": "Clips, and a `fixations.csv` of where people looked (columns `video_id`, `frame` or `time` in "
    "seconds, `x`, `y` in pixels, `duration` in seconds).",
    EMBEDDING: "Clips, most without a label: a folder of them is enough; a `labels.csv` (columns `file`, `patient_id`, "
    "`label`) adds patients and classes.",
}
FORMATS = (
    "DICOM cines and stills, video, MetaImage, NRRD, NIfTI and folders of frames are read. Parts are divided by "
    "patient. Frames are made grey, cropped to the scan sector, padded to a square and resampled. Without a data "
    "folder the configs make a simulated phantom and use that."
)
TRAINS = (
    "The run lies in `eval/train`, its model too; `--publish True` puts that in the place of `models/model.pt`. "
    "Without `--dataset_dir` it is a run on the simulated phantom."
)
RESULTS = {
    "classification": "probabilities of frames and clips (`results.json`, `frames.csv`, `clips.csv`)",
    "segmentation": "masks on the original frames (`NAME_mask.nii.gz`), marked pixels and mm² (`frames.csv`)",
    "saliency": "maps on the original frames (`NAME_map.nii.gz`), each frame sums to 1",
    "detection": "boxes with scores in pixels of the original frames (`results.json`)",
    EMBEDDING: "a vector of each frame with ids (`embeddings.npz`, `embeddings.csv`)",
}
LABEL = """The bundle loads in the `monaibundle` app of MONAI Label, without a network connection:

```
python -m monailabel.main apps --download --name monaibundle --output apps
mkdir -p apps/monaibundle/model && cp -r {name} apps/monaibundle/model/
python -m monailabel.main start_server --app apps/monaibundle --studies /my/studies --host 127.0.0.1 \\
    --conf models {name} --conf zoo_source ngc --conf sam2 false
```"""
NOT_FOR_LABEL = "Not for MONAI Label: a feature vector is nothing to be drawn or chosen there."
LEAKAGE = (
    "LEAKAGE: the run was told to go on though its parts, or pretraining and test, share patients or clips. These "
    "figures are too high."
)
PHANTOM_LICENSE = (
    "The weights come from simulated ultrasound alone, the phantom that ultrasound-video-ssl makes itself. It holds no "
    "data of any person and is, as the project's code, under the Apache License 2.0 (see LICENSE).\n"
)


def data_license(model: TrainedModel, description: Mapping[str, Any], text: str | None) -> str:
    """The content of ``docs/data_license.txt``: what was given, or that of the phantom.

    Raises:
        InputError: nothing was given, and the weights come from other clips than the phantom's.
    """
    if text is not None:
        return text
    if only_simulated(model.file.parent, description):
        return PHANTOM_LICENSE
    raise InputError(
        f"{model.file}: comes from {', '.join(sources(description))}, found no licence of these data; expected one, as "
        "they are not simulated alone: give its text with --data_license FILE if it allows to pass on weights made of "
        "them, else do not export these"
    )


def readme(
    task: ExportTask, model: TrainedModel, description: Mapping[str, Any], about: Mapping[str, Any], small: bool
) -> str:
    """The content of ``docs/README.md``.

    Args:
        task: which bundle.
        model: of the run; ``model.file`` lies in the run's folder.
        description: ``model.json`` of the weights.
        about: ``metadata.json`` of the bundle.
        small: whether the run was a small one that only shows that the bundle works.
    """
    parts = [
        "# Model Overview",
        *([f"**{SMALL}**"] if small else []),
        f"{task.about} A {description['architecture']} looks at single frames, of cines at every one.",
        about["intended_use"].partition(SMALL)[0].strip(),
        "## Data",
        f"The weights come from {about['data_source']} (docs/data_license.txt).",
        DATA[task.task],
        FORMATS,
        "## Training configuration",
        _list(_training(model, description, about)),
        "### Input",
        f"{_shape(about, 'inputs', 'image')}: {about['image_classes']}.",
        "### Output",
        f"{_shape(about, 'outputs', 'pred')}: {about['pred_classes']}.",
        _list([f"{_CALLED.get(task.task, 'Channel')} {k}: {name}" for k, name in _pred(about)["channel_def"].items()]),
        "## Performance",
        *_performance(about["eval_metrics"]),
        "## MONAI Bundle Commands",
        _commands(task),
        "## MONAI Label",
        NOT_FOR_LABEL if task.task == EMBEDDING else LABEL.format(name=task.name),
        "# References",
        "\n".join(f"[{k}] {text}\n" for k, text in enumerate(about["references"], 1)).rstrip(),
        "# License",
        f"{about['copyright']}. The code is under the Apache License, Version 2.0; see LICENSE.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _training(model: TrainedModel, description: Mapping[str, Any], about: Mapping[str, Any]) -> list[str]:
    trained, run = description.get("trained", {}), circumstances(model)
    frames = f"{model.in_channels} x {model.image_size} x {model.image_size}"
    lines = [f"Architecture: {description['architecture']}", f"Actual model input: {frames}"]
    for name, words in _TRAINED.items():
        if trained.get(name) not in (None, ""):
            lines.append(f"{words}: {trained[name]}")
    pretrained = (trained.get("encoder") or {}).get("method")
    if pretrained:
        lines.append(f"Encoder: {pretrained}, on {trained['encoder'].get('data', 'unknown data')}")
    if run:
        lines.append(f"Machine: {run['device']}; releases: {', '.join(f'{k} {v}' for k, v in run['releases'].items())}")
    return lines


_CALLED = {"segmentation": "Mask value", "saliency": "Map value"}
_TRAINED = {
    "method": "Method",
    "training_clips": "Training clips",
    "training_patients": "Training patients",
    "n_clips": "Training and validation clips",
    "label_fraction": "Share of the training patients whose labels were used",
    "tuned": "Layers that were trained",
    "learning_rate": "Learning rate of the encoder",
    "head_learning_rate": "Learning rate of what is new",
    "epoch": "Epoch of the weights",
    "of_epochs": "Epochs",
    "seed": "Seed",
}


def _performance(told: Mapping[str, Any]) -> list[str]:
    if not told:
        return ["The run that made the weights tested no clips, so nothing can be said of how good they are."]
    counts = ", ".join(f"{told[name]} {name}" for name in ("frames", "clips", "patients") if name in told)
    chosen = " It also chose the epoch, so the figures are too high." if told["part"] == "validation" else ""
    chance = f" Chance: {told['chance']:.2f}." if "chance" in told else ""
    unseen = "" if told["leakage"] else ", of patients never trained on"
    baselines = told.get("baselines", {})
    rows = [["figure", "value (95 % interval)", *baselines], ["---"] * (2 + len(baselines))]
    for name, one in told["figures"].items():
        rows.append([name, _number(one), *(_number(figures.get(name)) for figures in baselines.values())])
    return [
        *([f"**{SIMULATED}**"] if told["simulated"] else []),
        *([f"**{LEGACY_NOTE}**"] if told["protocol"] == LEGACY else []),
        *([f"**{LEAKAGE}**"] if told["leakage"] else []),
        f"{told['data']}, protocol {told['protocol']}: {counts} of the {told['part']} part{unseen}.{chosen}{chance} "
        "Intervals by bootstrap over patients, rough where these are few.",
        "\n".join(f"| {' | '.join(row)} |" for row in rows),
    ]


def _number(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return "–"
    if one["low"] is None or one["high"] is None:
        return f"{one['value']:.3f}"
    return f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})"


def _commands(task: ExportTask) -> str:
    def block(title: str, *lines: str) -> str:
        return f"#### {title}\n\n```\n" + "\n".join(lines) + "\n```"

    run = "python -m monai.bundle run --config_file configs"
    files = "--meta_file configs/metadata.json --config_file configs/inference.json"
    export = f"--net_id network_def --ckpt_file models/model.pt {files}"
    return "\n\n".join(
        [
            "From the folder of the bundle; from elsewhere add `--bundle_root /path/to/the/bundle`. Any value of "
            "a config is an override.",
            block("Execute training:", f"{run}/train.json --dataset_dir /my/clips"),
            TRAINS,
            block(
                "Execute multi-GPU training:",
                "torchrun --standalone --nnodes=1 --nproc_per_node=2 -m monai.bundle run \\",
                "    --config_file \"['configs/train.json','configs/multi_gpu_train.json']\"",
            ),
            block("Execute evaluation with the trained model:", f"{run}/evaluate.json --dataset_dir /my/clips"),
            block("Execute inference:", f"{run}/inference.json --input /my/clips --output_dir out"),
            f"It writes {RESULTS[task.task]}.",
            block("Export to TorchScript:", f"python -m monai.bundle ckpt_export --filepath models/model.ts {export}"),
            block("Export to ONNX:", f"python -m monai.bundle onnx_export --filepath models/model.onnx {export}"),
        ]
    )


def _pred(about: Mapping[str, Any]) -> Mapping[str, Any]:
    return about["network_data_format"]["outputs"]["pred"]


def _shape(about: Mapping[str, Any], side: str, name: str) -> str:
    one = about["network_data_format"][side][name]
    return f"`({', '.join(str(n) for n in ('N', one['num_channels'], *one['spatial_shape']))})`, {one['dtype']}"


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
