# SPDX-License-Identifier: Apache-2.0
"""Whether a DICOM file is ultrasound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dicom_values import code

if TYPE_CHECKING:
    from pydicom import Dataset

MODALITY_ATTRIBUTES = ["SOPClassUID", "Modality"]
_ULTRASOUND_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.6.1",  # US Image
    "1.2.840.10008.5.1.4.1.1.3.1",  # US Multi-frame Image
    "1.2.840.10008.5.1.4.1.1.6",  # US Image, retired
    "1.2.840.10008.5.1.4.1.1.3",  # US Multi-frame Image, retired
    "1.2.840.10008.5.1.4.1.1.6.2",  # Enhanced US Volume
)
_ULTRASOUND = ("US", "IVUS", "CD", "DD", "EC")  # the last three, retired: colour Doppler, duplex, echocardiography
_UNSAID = ("", "OT", "SC")  # other, secondary capture


def other_modality(dataset: Dataset) -> str | None:
    """The Modality (0008,0060) of a dataset that is not ultrasound, such as ``"CT"``; None for one that may be.

    Ultrasound is what has an ultrasound SOP class (0008,0016), whatever its Modality says, or the Modality US, IVUS or
    one of the retired names for ultrasound. A dataset that does not say what it is (no Modality, or OT or SC, as
    frame grabbers and secondary captures have it) may be ultrasound. Any other Modality (CT, MR, SR, ECG, PR, KO, SEG,
    DX, ...) is another one, in a secondary capture too.
    """
    if code(dataset, "SOPClassUID") in _ULTRASOUND_CLASSES:
        return None
    modality = code(dataset, "Modality").upper()
    return None if modality in (*_ULTRASOUND, *_UNSAID) else modality
