# SPDX-License-Identifier: Apache-2.0
"""How known data sets are read: where the class stands, which items count, what is never torn apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import InputError


@dataclass(frozen=True)
class Preset:
    """How a data set becomes a datalist. To add a set, add an entry to `PRESETS`.

    Attributes:
        name: what the preset is called.
        about: what the set is, in a few words.
        licence: what may be done with the data.
        label_columns: columns of ``labels.csv`` that can be the class; the first is taken unless another is asked for.
        prefixes: for a set without a table, class name by how the name of a video begins (see `records_by_prefix`);
            the classes are numbered in this order.
        where: values a column must have for a row to count.
        patient_column: what must never be in two parts; None for ``group_id``, else ``patient_id``.
        fold_column: column with the set's own folds; None to split by ``parts``.
        parts: shares of training, validation and testing; None for the usual ones.
    """

    name: str
    about: str
    licence: str
    label_columns: tuple[str, ...] = ("label",)
    prefixes: Mapping[str, str] = field(default_factory=dict)
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    patient_column: str | None = None
    fold_column: str | None = None
    parts: tuple[float, float, float] | None = None

    @property
    def classes(self) -> list[str]:
        """Class names by their number; empty where they are those of a table, in alphabetical order."""
        return list(dict.fromkeys(self.prefixes.values()))


ALL_FOR_TRAINING = (1.0, 0.0, 0.0)
"""For sets that are too small to be split."""

RELEASED_PARTS = (0.8, 0.2, 0.0)
"""For US-4: a fifth of the videos for validation, as in the released code (valid_size 0.2)."""

# Table data_aug/dataset_wrapper_Ultrasound_Video_Mixup.py, `label_name`, of github.com/983632847/USCL. The public part
# (Butterfly) has a folder for each video, as Cov-Cardiomyopathy_mp4/Cov-Cardiomyopathy_mp4_frame0.jpg. What the other
# three look like inside is not published, nor which sequences of CLUST are Rb1 to Rb5 (its own names begin with CIL,
# ETH, ICR, MED ...): the prefix alone is taken from there.
_BUTTERFLY = {"Reg": "regular", "Cov": "covid"}
_CLUST = {f"Rb{i}": f"Rb{i}" for i in range(1, 6)}
_LIVER_FIBROSIS = {f"F{i}": f"F{i}" for i in range(5)}
_COVID19_LUSMS = {"Ali": "a_lines", "Bli": "b_lines", "Ple": "pleural", "Oth": "other"}
_US4 = {
    **_CLUST,
    **_LIVER_FIBROSIS,
    **dict.fromkeys(("Reg", "Ali"), "lung_regular"),
    **dict.fromkeys(("Cov", "Bli", "Ple", "Oth"), "lung_abnormal"),
}

_ENTRIES = (
    Preset(
        "pocus_lung",
        "lung point-of-care clips, convex probe: covid, pneumonia, regular, in five folds by patient group",
        "per clip (column licence), most non-commercial",
        where={"probe": ("convex",), "label": ("covid", "pneumonia", "regular")},
        patient_column="group_id",
        fold_column="fold",
    ),
    Preset(
        "covid_blues",
        "lung clips of COVID-BLUES: test result, severity 0 to 3, A-lines, B-lines",
        "CC BY-NC-ND 4.0, non-commercial, no altered copies",
        label_columns=("label", "severity", "a_lines", "b_lines"),
        patient_column="patient_id",
    ),
    Preset(
        "breast_bus_uclm",
        "breast stills of BUS-UCLM with lesion masks: benign, malignant, normal",
        "CC BY 4.0",
        patient_column="patient_id",
    ),
    Preset(
        "fetal_head_hc18",
        "fetal head stills of HC18 with head masks: one class",
        "CC BY 4.0",
        patient_column="patient_id",
    ),
    Preset(
        "dicom_us",
        "ultrasound DICOM test files in many transfer syntaxes; some show one clip twice, so nothing is split off",
        "per file (column licence)",
        parts=ALL_FOR_TRAINING,
    ),
    Preset("tracked_plus", "two tracked sequences of PLUS", "BSD 3-Clause", parts=ALL_FOR_TRAINING),
    Preset("pocus_devices", "three clips with the device's screen around", "Apache 2.0", parts=ALL_FOR_TRAINING),
    Preset(
        "fetal_planes_sononet",
        "one still of each of SonoNet's thirteen planes",
        "Apache 2.0",
        parts=ALL_FOR_TRAINING,
    ),
    Preset(
        "echo_camus",
        "one apical sequence of CAMUS",
        "CC BY-NC-SA 4.0, non-commercial research",
        parts=ALL_FOR_TRAINING,
    ),
    Preset(
        "fetal_planes_db",
        "stills of six maternal-fetal planes, and of three brain planes",
        "CC BY 4.0",
        label_columns=("label", "brain_plane"),
        patient_column="patient_id",
    ),
    Preset(
        "busi",
        "breast stills of BUSI with lesion masks: benign, malignant, normal; no patients are published",
        "none is known to be published with the data",
        patient_column="patient_id",
    ),
    Preset(
        "camus",
        "half heart beats of CAMUS with masks: apical two and four chamber view",
        "CC BY-NC-SA 4.0, non-commercial research",
        where={"kind": ("half_sequence", "sequence")},
        patient_column="patient_id",
    ),
    Preset(
        "us4",
        "US-4 whole: the four sets below as folders in one, 12 classes",
        "never released whole; two sets are private",
        prefixes=_US4,
        parts=RELEASED_PARTS,
    ),
    Preset(
        "us4_butterfly",
        "US-4, lung videos of Butterfly: Reg, Cov",
        "as given by the authors of US-4",
        prefixes=_BUTTERFLY,
        parts=RELEASED_PARTS,
    ),
    Preset(
        "us4_clust",
        "US-4, liver sequences of CLUST: Rb1 to Rb5",
        "for the CLUST challenge only, by agreement",
        prefixes=_CLUST,
        parts=RELEASED_PARTS,
    ),
    Preset(
        "us4_liver_fibrosis",
        "US-4, liver fibrosis videos: stages F0 to F4",
        "private",
        prefixes=_LIVER_FIBROSIS,
        parts=RELEASED_PARTS,
    ),
    Preset(
        "us4_covid19_lusms",
        "US-4, lung videos of COVID19-LUSMS: Ali, Bli, Ple, Oth",
        "private",
        prefixes=_COVID19_LUSMS,
        parts=RELEASED_PARTS,
    ),
)

PRESETS: Mapping[str, Preset] = {preset.name: preset for preset in _ENTRIES}
"""The known data sets by name."""


def find_preset(name: str) -> Preset:
    """The preset of this name.

    Raises:
        InputError: there is none.
    """
    if name not in PRESETS:
        raise InputError(f"preset {name!r}: not known: expected one of {', '.join(PRESETS)}")
    return PRESETS[name]
