# SPDX-License-Identifier: Apache-2.0
"""Small copies of the public sets, as their publishers order them."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from PIL import Image, ImageDraw

Layout = dict[str, bytes]
"""Content by path."""


def picture(size: tuple[int, int] = (8, 6), draw: Callable[[ImageDraw.ImageDraw], object] | None = None) -> bytes:
    image = Image.new("L", size)
    if draw:
        draw(ImageDraw.Draw(image))
    content = io.BytesIO()
    image.save(content, "png")
    return content.getvalue()


def dot(*place: int) -> bytes:
    return picture(draw=lambda pen: pen.point(place, 255))


def pocus() -> Layout:
    columns = "Filename,License,Type,Probe,Patient ID / Name,Effusion,Consolidations,B-lines,A-lines"
    columns += ",Pleural line irregularities,LinkToLicense,DOI,"
    rows = [
        "Cov-one,CC BY-NC -SA 4.0,video,convex,7,1,0,1,0,,http://cc/#,10.1/x,",
        "Pneu_northumbria_0409_set2_vid1,CC BY-NC 4.0,video,convex,186,0,1,n/A,0,0,,,",
        "Reg_northumbria_0409_set2_vid1,CC BY-NC 4.0,video,convex,187,0,0,0,1,0,,,",
        "Reg-twice,None,video,convex,8,,,,,,,,",
        "Reg-twice,CC BY 2.0,video,linear,9,,,,,,,,",
        "Vir_a,CC BY 2.0,video,linear,114,,,,,,,,",
        "Vir_or_Pneu_b,CC BY 2.0,video,linear,116,,,,,,,,",
        "Cov_still,CC BY 2.0,Image,convex,116,,,,,,,,",
        "Reg_emergency,COVID-19 emergency license,video,convex,3,,,,,,,,",
    ]
    videos = "convex/Cov-one.gif convex/Pneu_northumbria_0409_set2_vid1.avi convex/Reg_northumbria_0409_set2_vid1.AVI"
    videos += " convex/Reg-twice.mp4 linear/Reg-twice.mp4 linear/Vir_a.mp4 linear/label_uncertain/Vir_or_Pneu_b.mp4"
    videos += " convex/Cov_still.mp4 convex/Reg_emergency.mp4 convex/unheard.mp4 readme.txt"
    layout = {f"data/pocus_videos/{name}": name.encode() for name in videos.split()}
    return {**layout, "data/dataset_metadata.csv": "\n".join([columns, *rows]).encode()}


def covid_blues() -> Layout:
    return {
        **{f"lus_videos/patient_{clip}.mp4": clip.encode() for clip in ("1_L1", "1_L1_2", "2_R3", "3_R3")},
        "severity.csv": b'video_file,Severity Score,A-lines,B-lines,comments\npatient_1_L1,2.0,no,yes,"a, b"\n'
        b"patient_1_L1_2,0.0,yes,no ,\npatient_2_R3,3.0,no,no,\n",
        "clinical_variables.csv": b"patient_id,cov_test,pat_weight\n1,1,70\n2,0,71\n",
        "LICENSE": b"the licence",
        "README.md": b"the set",
    }


def fetal_planes_db() -> Layout:
    rows = [
        "Image_name;Patient_num;Plane;Brain_plane;Operator;US_Machine;Train ",
        "Patient00001_Plane1_1_of_2;1;Other;Not A Brain;Op. 1;Voluson E6;1",
        "Patient00001_Plane3_1_of_1;1;Fetal brain;Trans-thalamic;Op. 1;Voluson E6;1",
        "Patient00002_Plane6_1_of_1;2;Maternal cervix;Not A Brain;Other;Aloka;0",
        "Patient00003_Plane6_1_of_1;3;Maternal cervix;Not A Brain;Other;Aloka;0",
    ]
    names = [row.partition(";")[0] for row in rows[1:-1]]
    table = "\r\n".join(rows).encode()
    return {"FETAL_PLANES_DB_data.csv": table, **{f"Images/{name}.png": picture() for name in names}}


def bus_uclm() -> Layout:
    top = "BUS-UCLM Breast ultrasound lesion segmentation dataset/BUS-UCLM"
    info = "Image;Resolution;Label;Doppler;Marks;Combined\r\nALWI_000.png;8x6;Benign;No;Yes;No\r\n"
    info += (
        "ALWI_001.png;8x6;Normal;No;No;No\r\nHESN_002.png;8x6;Malignant;Yes;No;No\r\nGONE_001.png;8x6;Normal;No;No;No"
    )
    layout = {f"{top}/INFO.csv": info.encode("utf-8-sig"), f"__MACOSX/{top}/._INFO.csv": b"x"}
    for name in ("ALWI_000", "ALWI_001", "HESN_002"):
        layout[f"{top}/images/{name}.png"] = picture()
        layout[f"{top}/masks/{name}.png"] = picture((8, 6) if name != "HESN_002" else (9, 6))
    return layout


def busi() -> Layout:
    top = "Dataset_BUSI_with_GT"
    return {
        f"{top}/benign/benign (1).png": picture(),
        f"{top}/benign/benign (1)_mask.png": dot(1, 1),
        f"{top}/benign/benign (1)_mask_1.png": dot(2, 3),
        f"{top}/benign/benign (10).png": picture(),
        f"{top}/benign/benign (10)_mask.png": dot(5, 5),
        f"{top}/malignant/malignant (1).png": picture(),
        f"{top}/malignant/malignant (1)_mask.png": dot(0, 0),
        f"{top}/normal/normal (1).png": picture(),
        f"{top}/normal/normal (1)_mask.png": picture(),
    }


def hc18() -> Layout:
    ring = picture((40, 30), lambda pen: pen.ellipse((10, 8, 28, 22), outline=255, width=1))
    training = {f"training_set/{name}.png": picture((40, 30)) for name in ("000_HC", "010_HC", "010_2HC")}
    training |= {f"{name.removesuffix('.png')}_Annotation.png": ring for name in training}
    return {
        **training,
        "test_set/000_HC.png": picture((40, 30)),
        "training_set_pixel_size_and_HC.csv": b"filename,pixel size(mm),head circumference (mm)\n"
        b"000_HC.png,0.0691358041432,44.3\n010_2HC.png,0.1,56.81\n010_HC.png,0.1,56.8\n011_HC.png,0.1,56.8\n",
        "test_set_pixel_size.csv": b"filename,pixel size(mm)\n000_HC.png,0.2\n",
    }


def camus() -> Layout:
    layout = {
        "CAMUS_public/database_split/subgroup_training.txt": b"patient0001\n",
        "CAMUS_public/database_split/subgroup_testing.txt": b"patient0002\n",
    }
    for patient in ("patient0001", "patient0002", "patient0003"):
        folder = f"CAMUS_public/database_nifti/{patient}"
        layout[f"{folder}/Info_4CH.cfg"] = (
            b"ED: 1\nES: 18\nNbFrame: 18\nSex: F\nAge: 56\nImageQuality: Good\nEF: 54\nFrameRate: 51.0\n"
        )
        for kind in ("half_sequence", "ED", "ES"):
            layout[f"{folder}/{patient}_4CH_{kind}.nii.gz"] = kind.encode()
            layout[f"{folder}/{patient}_4CH_{kind}_gt.nii.gz"] = kind.encode()
    del layout["CAMUS_public/database_nifti/patient0003/patient0003_4CH_ES_gt.nii.gz"]
    return layout


@pytest.fixture(scope="session")
def layouts() -> dict[str, Callable[[], Layout]]:
    """What makes a copy of each set, by the set's name."""
    return {made.__name__: made for made in (pocus, covid_blues, fetal_planes_db, bus_uclm, busi, hc18, camus)}
