# SPDX-License-Identifier: Apache-2.0
"""Make the phantom: simulated ultrasound clips as DICOM, with labels, lesion masks and fixations."""

from __future__ import annotations

import argparse
from pathlib import Path

from bundle.data.phantom import CLASSES, make_phantom
from bundle.errors import show_input_errors_plainly


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--output-dir", type=Path, required=True, help="new or empty folder")
    parser.add_argument("--seed", type=int, default=0, help="another seed makes other patients")
    parser.add_argument("--patients-per-class", type=int, default=16)
    parser.add_argument("--clips-per-patient", type=int, default=2)
    parser.add_argument("--frames", type=int, default=16, help="frames of each clip")
    parser.add_argument("--processes", type=int, default=None, help="worker processes; default is one for each core")
    args = parser.parse_args()
    show_input_errors_plainly()
    folder = make_phantom(
        args.output_dir, args.seed, args.patients_per_class, args.clips_per_patient, args.frames, args.processes
    )
    patients = args.patients_per_class * len(CLASSES)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**20
    print(f"{folder}: {patients * args.clips_per_patient} clips of {patients} patients, {size:.1f} MiB")
    print(f"classes: {', '.join(CLASSES)}")


if __name__ == "__main__":
    main()
