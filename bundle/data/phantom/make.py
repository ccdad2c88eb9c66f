# SPDX-License-Identifier: Apache-2.0
"""Makes the phantom: a small data set of simulated ultrasound clips with labels, masks and fixations."""

from __future__ import annotations

import csv
import multiprocessing
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...files import cannot_write, made_folder
from .clip import CLASSES, ClipPlan, simulate
from .dicom_writer import write_cine
from .gaze import Fixation

_README = """\
# Ultrasound phantom

Simulated ultrasound clips made by ultrasound-video-ssl (`bundle.data.phantom`, seed {seed}). No patient, no machine:
everything here is synthetic. Licence: Apache-2.0.

- `clips/`: {clips} Ultrasound Multi-frame DICOM files of {patients} simulated patients, {frames} frames each
- `labels.csv`: one row a clip; paths are relative to this folder
- `masks/`: the lesion of each `liver_lesion` clip as NIfTI, uint8, array axes (T, H, W) in screen pixels, 1 is lesion
- `fixations.csv`: simulated gaze; `x` is the column and `y` the row in screen pixels, `time` and `duration` are seconds

Classes: {classes}. Patients' numbers say nothing of the class.
"""


def plan_phantom(seed: int, patients_per_class: int, clips_per_patient: int, n_frames: int) -> list[ClipPlan]:
    """All clips, by patient; the classes are dealt to the patients at random."""
    labels = np.repeat(np.arange(len(CLASSES)), patients_per_class)
    np.random.default_rng([seed, 2**31]).shuffle(labels)
    return [
        ClipPlan(seed, patient, CLASSES[label], clip, n_frames)
        for patient, label in enumerate(labels, start=1)
        for clip in range(clips_per_patient)
    ]


def _make_clip(plan: ClipPlan, folder: Path) -> tuple[dict[str, object], list[Fixation]]:
    """Write the files of one clip; returns its row of the table and its fixations."""
    clip = simulate(plan)
    device, converter = clip.device, clip.converter
    file, mask = f"clips/{plan.video_id}.dcm", ""
    names = (f"{plan.seed}", plan.patient_id, plan.video_id)
    write_cine(
        folder / file,
        clip.frames,
        device.frame_time,
        converter.box,
        converter.cm_per_pixel,
        plan.patient_id.upper(),
        names,
        device.clock,
    )
    if clip.mask is not None:
        mask = f"masks/{plan.video_id}.nii.gz"
        _write_mask(folder / mask, clip.mask)
    _, height, width = clip.frames.shape
    row = {
        "file": file,
        "video_id": plan.video_id,
        "patient_id": plan.patient_id,
        "label": plan.label,
        "frames": plan.n_frames,
        "fps": round(1 / device.frame_time, 3),
        "width": width,
        "height": height,
        "depth_cm": device.depth,
        "mask": mask,
        "fixations": "fixations.csv",
        "simulated": "yes",
    }
    return row, clip.fixations


def _write_mask(path: Path, mask: np.ndarray) -> None:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(mask, np.eye(4)), path)


def _make_all(plans: list[ClipPlan], folder: Path, processes: int) -> list[tuple[dict[str, object], list[Fixation]]]:
    from tqdm import tqdm

    work = partial(_make_clip, folder=folder)
    bar = partial(tqdm, total=len(plans), desc="making the phantom", unit="clip")
    if processes <= 1:
        return list(bar(map(work, plans)))
    # a fork of this process would take locks along that threads of decoders or of torch hold just now, and never end
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([__name__])  # imported once, not by each worker
    with context.Pool(processes) as pool:
        return list(bar(pool.imap(work, plans, chunksize=2)))


def _write_table(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _put_in_place(folder: Path, output_dir: Path) -> None:
    try:
        if output_dir.is_dir():
            output_dir.rmdir()  # empty unless someone filled it since
        folder.rename(output_dir)
    except OSError as error:
        raise InputError(f"{output_dir}: was filled by someone else meanwhile; give another folder") from error


def make_phantom(
    output_dir: str | Path,
    seed: int = 0,
    patients_per_class: int = 16,
    clips_per_patient: int = 2,
    n_frames: int = 16,
    processes: int | None = None,
) -> Path:
    """Make the phantom in ``output_dir`` and return that folder.

    The same arguments give the same frames, whatever ``processes`` (default: the cores there are, at most 4).
    The folder appears only when it is complete.

    Raises:
        InputError: the folder exists and is not empty or can't be written, or a number is out of range.
    """
    output_dir = Path(output_dir)
    counts = {"patients_per_class": patients_per_class, "clips_per_patient": clips_per_patient, "n_frames": n_frames}
    for name, value in counts.items():
        if value < 1:
            raise InputError(f"{name}: found {value}, expected 1 or more")
    if seed < 0:
        raise InputError(f"seed: found {seed}, expected 0 or more")
    if output_dir.exists() and (not output_dir.is_dir() or any(output_dir.iterdir())):
        raise InputError(f"{output_dir}: exists and is not empty; give another folder or delete this one first")
    plans = plan_phantom(seed, patients_per_class, clips_per_patient, n_frames)
    made_folder(output_dir.parent)
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{output_dir.name}-", dir=output_dir.parent))
    except OSError as error:
        raise cannot_write(output_dir, error) from error
    try:
        (folder / "clips").mkdir()
        (folder / "masks").mkdir()
        made = _make_all(plans, folder, processes or min(4, os.cpu_count() or 1))
        _write_table(folder / "labels.csv", [row for row, _ in made])
        _write_table(folder / "fixations.csv", [dict(f) for _, fixations in made for f in fixations])
        text = _README.format(
            seed=seed, clips=len(plans), patients=plans[-1].patient, frames=n_frames, classes=", ".join(CLASSES)
        )
        (folder / "README.md").write_text(text, encoding="utf-8")
        folder.chmod(0o755)
        _put_in_place(folder, output_dir)
    except OSError as error:
        raise cannot_write(output_dir, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return output_dir


def ensure_phantom(output_dir: str | Path) -> Path:
    """The default phantom at ``output_dir``, made if it is not there yet.

    Several processes may call this at once: each that finds nothing makes one, the first to finish puts it in place
    and the others drop theirs.

    Raises:
        InputError: the folder holds something else than a phantom.
    """
    output_dir = Path(output_dir)
    if not (output_dir / "labels.csv").is_file():
        try:
            make_phantom(output_dir)
        except InputError:
            if not (output_dir / "labels.csv").is_file():
                raise
    return output_dir
