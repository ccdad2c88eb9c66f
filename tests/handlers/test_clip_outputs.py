# SPDX-License-Identifier: Apache-2.0
"""What inference writes of chunks: maps, pictures, tables; nothing of a clip whose end did not come."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from ignite.engine import Engine
from PIL import Image

from bundle.errors import InputError
from bundle.handlers import (
    BoxResults,
    ClassResults,
    ClipMaps,
    ClipOutputs,
    ClipOverlays,
    ClipProgress,
    EmbeddingResults,
    MaskResults,
    SaliencyResults,
    check_output_folder,
    tell_failed,
)
from bundle.handlers.clip_outputs import ClipWriter
from bundle.networks import TrainedModel
from bundle.readers.cine import read_cine
from bundle.transforms import BoxesBackd, MapsBackd, preprocessing

HEIGHT, WIDTH, FRAMES = 40, 60, 5
SECTOR = (slice(4, 38), slice(10, 55))


def model_of(task: str, *classes: str) -> TrainedModel:
    return TrainedModel(task, torch.nn.Identity(), 1, 32, 0.5, 0.25, Path("model.pt"), "0", list(classes))


class Chunks:
    """Hands out two clips in chunks; of the second the last chunk does not come when it is to fail."""

    def __init__(self, failing: bool = False, at_once: int = 2) -> None:
        self.data = [{"name": "sub/a.mp4"}, {"name": "b.mp4"}]
        self.failing, self.at_once = failing, at_once
        self.failed: list[Any] = []

    def chunk(self, index: int, position: int) -> dict[str, Any]:
        indices = np.arange(FRAMES)[position : position + self.at_once]
        outline = [[4.0, 10.0, 55.0], [38.0, 10.0, 55.0]]
        return {
            **self.data[index],
            **{"index": index, "position": position, "count": FRAMES, "frame_index": indices},
            **{"video_id": f"x/{index}", "patient_id": "x/p", "frame_times": indices * 0.1},
            "original": np.full((len(indices), HEIGHT, WIDTH), 90, np.uint8),
            "meta": {"n_frames": FRAMES, "spacing": (0.5, 0.2) if index else None, "sector_outline": outline},
        }

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self.failed = []
        for index in (1, 0):
            for position in range(0, FRAMES, self.at_once):
                if index and self.failing and position == 4:
                    self.failed.append((self.data[1], "cut"))
                    break
                yield self.chunk(index, position)


def run(writers: list[Any], predict: Any, failing: bool = False, at_once: int = 2) -> Chunks:
    dataset = Chunks(failing, at_once)
    engine = Engine(lambda _, chunk: {"pred": torch.stack([predict(chunk, k) for k in chunk["frame_index"]])})
    ClipOutputs(writers, dataset).attach(engine)  # type: ignore[arg-type]
    engine.run(dataset)
    return dataset


def mask(chunk: Any, k: int) -> torch.Tensor:
    probability = torch.zeros(HEIGHT, WIDTH)
    probability[10 : 14 + k, 20:30] = 0.9
    return probability


def test_masks_of_every_frame(tmp_path: Path) -> None:
    model = model_of("segmentation", "lesion")
    run([MaskResults(tmp_path, model), ClipMaps(tmp_path, 0.5), ClipOverlays(tmp_path, model)], mask)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    clips = {f"{clip}_{what}" for clip in ("sub/a.mp4", "b.mp4") for what in ("mask.nii.gz", "overlay.png")}
    assert names == clips | {"sub/a.mp4_overlay.mp4", "b.mp4_overlay.mp4", "results.json", "clips.csv", "frames.csv"}

    image: Any = nibabel.load(tmp_path / "b.mp4_mask.nii.gz")
    assert image.shape == (WIDTH, HEIGHT, FRAMES) and image.header.get_zooms() == pytest.approx((0.2, 0.5, 1))
    assert image.header.get_xyzt_units()[0] == "mm" and nibabel.aff2axcodes(image.affine)[:2] == ("L", "P")
    expected = np.stack([mask(None, k) > 0.5 for k in range(FRAMES)])
    voxels = np.asarray(image.dataobj)
    assert voxels.dtype == np.uint8 and np.array_equal(voxels.transpose(2, 1, 0), expected)
    assert np.array_equal(read_cine(tmp_path / "b.mp4_mask.nii.gz").frames[..., 0] > 0, expected)

    content = json.loads((tmp_path / "results.json").read_text())
    assert [clip["file"] for clip in content["clips"]] == ["b.mp4", "sub/a.mp4"] and content["failed"] == []
    assert [row["pixels"] for row in content["clips"][0]["frames"]] == [10 * (4 + k) for k in range(FRAMES)]
    assert content["clips"][0]["frames"][1]["mm2"] == pytest.approx(5.0)
    assert "mm2" not in content["clips"][1]["frames"][1], "the size of a pixel is not known"
    rows = list(csv.DictReader((tmp_path / "frames.csv").open()))
    assert [(row["file"], row["frame"]) for row in rows][4:6] == [("b.mp4", "4"), ("sub/a.mp4", "0")]

    picture = np.asarray(Image.open(tmp_path / "b.mp4_overlay.png"))
    tall = picture.shape[0] // 2
    assert picture.shape == (2 * tall, 3 * WIDTH, 3)
    first = picture[tall - HEIGHT : tall, :WIDTH]
    rim = (first == (255, 165, 0)).all(-1)
    assert rim[10, 20:30].all() and rim[10:14, 20].all() and not rim[11, 22] and rim.sum() == 2 * 10 + 2 * 2
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[SECTOR] = False
    assert not first[outside].any() and (first[11, 22] == 90).all()
    video = read_cine(tmp_path / "b.mp4_overlay.mp4")
    assert video.meta["n_frames"] == FRAMES and np.diff(video.meta["frame_times"]) == pytest.approx(0.1)


def test_a_video_has_the_speed_of_its_cine_however_few_frames_come_at_once(tmp_path: Path) -> None:
    run([ClipOverlays(tmp_path, model_of("segmentation", "lesion"), picture=False)], mask, at_once=1)
    video = read_cine(tmp_path / "b.mp4_overlay.mp4")
    assert video.meta["n_frames"] == FRAMES and np.diff(video.meta["frame_times"]) == pytest.approx(0.1)


def test_of_a_clip_without_its_end_nothing_is_left(tmp_path: Path) -> None:
    model = model_of("segmentation", "lesion")
    writers = [MaskResults(tmp_path, model), ClipMaps(tmp_path, 0.5), ClipOverlays(tmp_path, model)]
    dataset = run(writers, mask, failing=True)
    assert {path.name for path in tmp_path.iterdir()} == {"sub", "results.json", "clips.csv", "frames.csv"}
    content = json.loads((tmp_path / "results.json").read_text())
    assert [clip["file"] for clip in content["clips"]] == ["sub/a.mp4"]
    assert content["failed"] == [{"file": "b.mp4", "reason": "cut"}] and content["not_reached"] == []
    with pytest.raises(InputError, match=r"1 of 2 inputs could not be used: b.mp4 .* other 1 are in"):
        tell_failed(dataset, tmp_path)  # type: ignore[arg-type]
    tell_failed(SimpleNamespace(failed=[], data=[1]), tmp_path)  # type: ignore[arg-type]


def test_an_error_elsewhere_ends_the_run_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    def fails(chunk: Any, k: int) -> torch.Tensor:
        if k == 2:
            raise RuntimeError("out of memory")
        return mask(chunk, k)

    with pytest.raises(RuntimeError, match="out of memory"):
        run([ClipMaps(tmp_path, 0.5), ClipOverlays(tmp_path, model_of("segmentation", "lesion"))], fails)
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_run_that_is_broken_off_keeps_the_clips_that_were_done(tmp_path: Path, error: type[BaseException]) -> None:
    def fails(chunk: Any, k: int) -> torch.Tensor:
        if chunk["index"] == 0 and k == 2:
            raise error
        return torch.tensor([float(k)])

    class Broken(ClipWriter):
        def finish(self, dataset: Any) -> None:
            raise OSError("full")

    progress = ClipProgress()
    with pytest.raises(error):
        run([progress, Broken(), EmbeddingResults(tmp_path, model_of("embedding"))], fails)
    assert progress.bar.n == 1
    content = json.loads((tmp_path / "results.json").read_text())
    assert [clip["file"] for clip in content["clips"]] == ["b.mp4"]
    assert content["failed"] == [] and content["not_reached"] == ["sub/a.mp4"]
    with np.load(tmp_path / "embeddings.npz") as file:
        assert file["features"][:, 0].tolist() == [*range(FRAMES)]
    assert {path.name for path in tmp_path.iterdir()} == {
        *("results.json", "clips.csv", "frames.csv", "embeddings.npz", "embeddings.csv")
    }


def test_results_of_other_clips_outlive_a_table_that_cannot_be_written(tmp_path: Path) -> None:
    class Broken(ClipWriter):
        def finish(self, dataset: Any) -> None:
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        run([Broken(), SaliencyResults(tmp_path, model_of("saliency"))], mask)
    assert len(json.loads((tmp_path / "results.json").read_text())["clips"]) == 2


def test_saliency_keeps_its_values(tmp_path: Path) -> None:
    def density(chunk: Any, k: int) -> torch.Tensor:
        values = torch.full((HEIGHT, WIDTH), 1e-4)
        values[7, 30 + k] = 0.5
        return values

    model = model_of("saliency")
    run([SaliencyResults(tmp_path, model), ClipMaps(tmp_path), ClipOverlays(tmp_path, model, video=False)], density)
    voxels = np.asarray(nibabel.load(tmp_path / "b.mp4_map.nii.gz").dataobj)  # type: ignore[attr-defined]
    assert np.array_equal(voxels[..., 3].T, density(None, 3).numpy())
    frames = json.loads((tmp_path / "results.json").read_text())["clips"][0]["frames"]
    assert [(row["x"], row["y"]) for row in frames] == [(30 + k, 7) for k in range(FRAMES)]
    assert not list(tmp_path.rglob("*.mp4"))


def test_boxes_with_scores(tmp_path: Path) -> None:
    def boxes(chunk: Any, k: int) -> torch.Tensor:
        found = torch.zeros(4, 5)
        if k:
            found[0] = torch.tensor([20, 10, 40.0, 25, 0.75])
        return found

    model = model_of("detection", "lesion")
    run([BoxResults(tmp_path, model), ClipOverlays(tmp_path, model, video=False)], boxes)
    clip = json.loads((tmp_path / "results.json").read_text())["clips"][0]
    assert clip["frames_with_boxes"] == 4 and clip["frames"][0]["boxes"] == []
    assert clip["frames"][1]["boxes"] == [[20, 10, 40, 25]] and clip["frames"][1]["scores"] == [0.75]
    picture = np.asarray(Image.open(tmp_path / "b.mp4_overlay.png"))
    second = picture[picture.shape[0] // 2 - HEIGHT : picture.shape[0] // 2, WIDTH : 2 * WIDTH]
    drawn = (second == (255, 165, 0)).all(-1)
    assert drawn[10, 20:40].all() and drawn[24, 20:40].all() and drawn[10:25, 39].all() and not drawn[25].any()


def test_writers_get_what_postprocessing_leaves(tmp_path: Path) -> None:
    def doubled(sample: dict[str, Any]) -> dict[str, Any]:
        assert {"meta", "original", "frame_index"} <= set(sample)
        return {**sample, "pred": 2 * sample["pred"]}

    dataset = Chunks()
    engine = Engine(lambda _, chunk: {"pred": torch.as_tensor(chunk["frame_index"])[:, None].float()})
    writer = EmbeddingResults(tmp_path, model_of("embedding"))
    ClipOutputs([writer], dataset, doubled).attach(engine)  # type: ignore[arg-type]
    engine.run(dataset)
    with np.load(tmp_path / "embeddings.npz") as file:
        assert file["features"][:, 0].tolist() == [0, 2, 4, 6, 8] * 2


def test_classes_of_frames_and_clips(tmp_path: Path) -> None:
    def logits(chunk: Any, k: int) -> torch.Tensor:
        return torch.tensor([0.0, 1.0 if k else 9.0])

    run([ClassResults(tmp_path, model_of("classification", "a", "b"))], logits)
    clip = json.loads((tmp_path / "results.json").read_text())["clips"][0]
    frames = np.array([row["probabilities"]["b"] for row in clip["frames"]])
    assert frames == pytest.approx(1 / (1 + np.exp([-9.0, *[-1.0] * 4])), abs=1e-6)
    assert clip["class"] == "b" and clip["probabilities"]["b"] == pytest.approx(frames.mean(), abs=2e-6)
    (row, _) = csv.DictReader((tmp_path / "clips.csv").open())
    assert float(row["probabilities: b"]) == clip["probabilities"]["b"]

    def attended(chunk: Any, k: int) -> torch.Tensor:
        return torch.tensor([float(k), 2.0, 50.0 if k == 4 else 0.0])

    model = model_of("classification", "a", "b")
    with pytest.raises(InputError, match="clip_score: found 'median', expected one of mean, max, attention"):
        ClassResults(tmp_path, model, "median")
    with pytest.raises(InputError, match="found 'attention', but the network gives no scores"):
        ClassResults(tmp_path, model, "attention")
    model.network.attention = torch.nn.Identity()
    run([ClassResults(tmp_path, model, "attention")], attended)
    clip = json.loads((tmp_path / "results.json").read_text())["clips"][0]
    assert clip["class"] == "a" and clip["probabilities"]["a"] == pytest.approx(1 / (1 + np.exp(-2.0)), abs=1e-6)


def test_embeddings_with_ids(tmp_path: Path) -> None:
    run([EmbeddingResults(tmp_path, model_of("embedding"))], lambda chunk, k: torch.tensor([float(k), 0.123456789]))
    with np.load(tmp_path / "embeddings.npz") as file:
        assert file["features"].dtype == np.float32
        assert file["features"][:, 0].tolist() == file["frame"].tolist() == [*range(FRAMES)] * 2
        assert file["video_id"].tolist() == ["x/1"] * FRAMES + ["x/0"] * FRAMES
    rows = list(csv.DictReader((tmp_path / "embeddings.csv").open()))
    assert len(rows) == 2 * FRAMES and rows[3]["clip"] == "b.mp4"
    assert (rows[3]["f0"], np.float32(rows[3]["f1"])) == ("3", np.float32(0.123456789))
    assert list(rows[3]) == ["clip", "video_id", "patient_id", "frame", "f0", "f1"]


def test_results_back_on_the_original_frames(tmp_path: Path) -> None:
    frames = np.zeros((6, 48, 64), np.uint8)
    frames[:, 8:40, 10:50] = np.random.default_rng(0).integers(30, 220, (6, 32, 40))
    np.save(tmp_path / "a.npy", frames)
    meta = preprocessing(32)({"image": str(tmp_path / "a.npy")})["image"].meta
    x0, y0, x1, y1 = meta["sector_box"]
    maps = torch.rand(3, 1, 32, 32)
    density = MapsBackd("pred", density=True)({"pred": maps, "meta": meta})["pred"]
    assert density.shape == (3, 48, 64) and density.sum(dim=(1, 2)) == pytest.approx([1, 1, 1], abs=1e-5)
    plain = MapsBackd("pred")({"pred": maps, "meta": meta})["pred"]
    assert torch.allclose(density * plain.sum(dim=(1, 2), keepdim=True), plain, atol=1e-5)
    whole = torch.tensor([[[-90.0, -90.0, 90.0, 90.0, 0.5]]])
    back = BoxesBackd("pred")({"pred": whole, "meta": meta})["pred"][0, 0]
    assert back.tolist() == [0, 0, 64, 48, 0.5], "clipped to the frame"
    scale = 32 / max(x1 - x0, y1 - y0)
    left, top = (max(y1 - y0 - x1 + x0, 0) // 2, max(x1 - x0 - y1 + y0, 0) // 2)
    inside = torch.tensor([[[(5 + left) * scale, (6 + top) * scale, (20 + left) * scale, (9 + top) * scale, 0.7]]])
    back = BoxesBackd("pred")({"pred": inside, "meta": meta})["pred"][0, 0]
    assert back.tolist() == pytest.approx([x0 + 5, y0 + 6, x0 + 20, y0 + 9, 0.7], abs=1e-4)


def test_results_are_put_neither_over_others_nor_among_clips(tmp_path: Path) -> None:
    clips, out = tmp_path / "clips", tmp_path / "out"
    clips.mkdir()
    check_output_folder(out, clips, overwrite=False)
    out.mkdir()
    check_output_folder(out, clips, overwrite=False)
    (out / "results.json").touch()
    with pytest.raises(InputError, match="already holds something"):
        check_output_folder(out, clips, overwrite=False)
    check_output_folder(out, clips, overwrite=True)
    for inside in (clips, clips / "new" / "out"):
        with pytest.raises(InputError, match="lies in the folder of clips"):
            check_output_folder(inside, clips, overwrite=True)
    with pytest.raises(InputError, match="is a file"):
        check_output_folder(out / "results.json", clips, overwrite=True)
