# SPDX-License-Identifier: Apache-2.0
"""What a task leaves: ``results.json``, a table, the pictures, and one page with all of it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..files import made_folder, written_beside
from ..keys import LEGACY
from . import pictures, tables
from .page import Picture, Section, write_page
from .results import CLASSIFICATION, DETECTION, Entry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OVERLAYS = "overlays.png"
"""The picture that a run of saliency, segmentation or detection leaves beside its predictions."""


class TaskReport:
    """Writes the results of a task to a folder; under `LEGACY` the protocol's name stands before every file's.

    Files: ``results.json``, ``table.md``, ``report.html``, and the page's pictures in ``pictures/``.

    Args:
        output_dir: the folder.
        results: what `task_results` gave.
        entries: what it was given.
        examples: entry -> picture of frames told rightly and wrongly, or None.
        commands: what made it, the first is the one that a person types.
    """

    def __init__(
        self,
        output_dir: Path,
        results: Mapping[str, Any],
        entries: Sequence[Entry],
        examples: Callable[[Entry], Figure | None] = lambda entry: None,
        commands: Sequence[str] = (),
    ) -> None:
        self.folder = made_folder(output_dir)
        self.results = results
        self.entries = list(entries)
        self.examples = examples
        self.commands = list(commands)

    def path(self, name: str) -> Path:
        """Where the file ``name`` goes."""
        return self.folder / (f"{LEGACY}_{name}" if self.results["protocol"] == LEGACY else name)

    def write(self) -> None:
        """Writes all files."""
        with written_beside(self.path("results.json")) as beside:
            beside.write_text(json.dumps(_plain(self.results), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        with written_beside(self.path("table.md")) as beside:
            beside.write_text(tables.markdown(self.results), encoding="utf-8")
        sections = self._of_classification() if self.results["task"] == CLASSIFICATION else self._of_measures()
        sections.append(Section("Commands", commands=self.commands))
        notes, lead = tables.notes(self.results), tables.describe(self.results)
        write_page(self.path("report.html"), self.results["title"], notes, lead, sections)

    def _of_classification(self) -> list[Section]:
        results, mark = self.results, tables.mark(self.results)
        few = any(entry.labelled_patients is not None for entry in self.entries)
        some, entries = self._with_most_labels()
        folds = results["tested"]["folds"] > 1
        summary = Section("Summary", tables=[(mark, tables.summary_rows(results))])
        summary.pictures.append(self._picture("overview", pictures.overview(some)))
        classes = Section("Classes", tables=[(mark, tables.class_rows(some))])
        classes.pictures.append(
            self._picture(
                "confusion", pictures.confusions(some), "Counts are means of the seeds; colour: share of the row."
            )
        )
        return [
            summary,
            Section(
                "Label efficiency", pictures=[self._picture("label_efficiency", pictures.label_efficiency(results))]
            )
            if few
            else Section("Label efficiency"),
            self._differences(),
            classes,
            Section("ROC", pictures=[self._picture("roc", pictures.rocs(some, entries), "In the legend: AUROC.")]),
            Section("Calibration", pictures=[self._picture("reliability", pictures.reliabilities(some, entries))]),
            self._training(some, entries),
            self._map(some, entries, folds),
            self._examples(entries, folds),
        ]

    def _of_measures(self) -> list[Section]:
        results, mark = self.results, tables.mark(self.results)
        summary = Section("Summary", tables=[(mark, tables.summary_rows(results))])
        names = list(results["rows"][0]["figures"])
        summary.pictures += [self._picture(f"overview_{name}", pictures.overview(results, name)) for name in names]
        some, entries = self._with_most_labels()
        patients = Section("Patients", pictures=[self._picture("patients", pictures.by_patient(some, entries))])
        overlays = Section("Examples")
        for entry in entries:
            files = [folder / OVERLAYS for folder in entry.folders if (folder / OVERLAYS).exists()]
            if files:
                caption = f"{mark}: {entry.encoder}, run {files[0].parent.name}"
                overlays.pictures.append(Picture(files[0].read_bytes(), caption))
        curve = Section("FROC")
        if results["task"] == DETECTION:
            curve.pictures.append(self._picture("froc", pictures.froc(some, entries)))
        return [summary, self._differences(), curve, patients, self._training(some, entries), overlays]

    def _differences(self) -> Section:
        if not self.results["differences"]:
            return Section("Differences")
        table = (tables.mark(self.results), tables.difference_rows(self.results))
        return Section("Differences", ["Paired on the same items and the same resamples of patients."], [table])

    def _training(self, results: Mapping[str, Any], entries: Sequence[Entry]) -> Section:
        drawn = pictures.training_curves(results, {entry.encoder: entry.folders for entry in entries})
        caption = "Thin lines are the runs (folds, seeds), thick ones their mean."
        return Section("Training", pictures=[self._picture("training", drawn, caption)] if drawn else [])

    def _map(self, results: Mapping[str, Any], entries: Sequence[Entry], folds: bool) -> Section:
        files = {entry.encoder: entry.folders[0] / "embeddings.npz" for entry in entries if entry.folders}
        drawn = pictures.embedding_map(results, files)
        shown = "the first fold and seed" if folds else "the first seed"
        caption = (
            f"Of the run of {shown}: each run has features of its own. Distances between groups mean little in t-SNE."
        )
        return Section("Embedding map", pictures=[self._picture("embedding_map", drawn, caption)] if drawn else [])

    def _examples(self, entries: Sequence[Entry], folds: bool) -> Section:
        section = Section("Examples")
        for number, entry in enumerate(entries):
            drawn = self.examples(entry)
            if drawn is not None:
                section.pictures.append(self._picture(f"examples_{number}", drawn))
        if section.pictures:
            section.text.append(
                "The surest right and the surest wrong frames, at most one a clip, of the run of "
                f"{'the first fold and seed' if folds else 'the first seed'}. Beside each frame Grad-CAM for the told "
                "class: red is where the evidence is. It is as coarse as the encoder's last maps."
            )
        return section

    def _with_most_labels(self) -> tuple[dict[str, Any], list[Entry]]:
        """Results and entries of the largest number of labelled patients only."""
        amounts = [entry.labelled_patients for entry in self.entries]
        most = None if None in amounts else max(amount for amount in amounts if amount is not None)
        rows = [row for row in self.results["rows"] if row["labelled_patients"] == most]
        return {**self.results, "rows": rows}, [one for one in self.entries if one.labelled_patients == most]

    def _picture(self, name: str, drawn: Figure, caption: str = "") -> Picture:
        """The picture for the page, and as a file."""
        data = io.BytesIO()
        drawn.savefig(data, format="png", dpi=110)
        path = self.path(f"{name}.png")
        with written_beside(made_folder(self.folder / "pictures") / path.name) as beside:
            beside.write_bytes(data.getvalue())
        return Picture(data.getvalue(), f"{tables.mark(self.results)}. {caption}".strip())


def _plain(value: Any) -> Any:
    """For JSON: what is no number (NaN) becomes null."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and value != value else value
