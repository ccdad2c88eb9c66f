# SPDX-License-Identifier: Apache-2.0
"""Which DICOM files pass for ultrasound."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from bundle.readers.dicom_modality import MODALITY_ATTRIBUTES, other_modality

CLASS = "1.2.840.10008.5.1.4.1.1."


@pytest.mark.parametrize(
    ("sop_class", "modality", "other"),
    [
        ("6.1", "US", None),
        ("3.1", "US", None),
        ("6", "US", None),
        ("3", "", None),
        ("6.2", "US", None),
        ("6.1", "OT", None),
        ("3.1", "CT", None),  # the class decides
        ("7", "US", None),  # secondary capture
        ("7.4", "OT", None),
        ("7.2", None, None),
        ("7", "CT", "CT"),
        ("14.1", "IVUS", None),
        (None, "us", None),
        (None, None, None),
        ("2", "CT", "CT"),
        ("4", "MR", "MR"),
        ("88.33", "SR", "SR"),
        ("9.1.1", "ECG", "ECG"),
        ("11.1", "PR", "PR"),
        ("88.59", "KO", "KO"),
        ("66.4", "SEG", "SEG"),
        ("1.1", "DX", "DX"),
    ],
)
def test_rule(sop_class: str | None, modality: str | None, other: str | None) -> None:
    dataset = Dataset()
    if sop_class is not None:
        dataset.SOPClassUID = CLASS + sop_class
    if modality is not None:
        dataset.Modality = modality
    assert other_modality(dataset) == other


def test_real_ultrasound_passes(ultrasound_data: Path) -> None:
    files = sorted((ultrasound_data / "dicom_us" / "files").iterdir())
    assert len(files) == 17
    for file in files:
        assert other_modality(dcmread(file, specific_tags=list(MODALITY_ATTRIBUTES))) is None, file.name
