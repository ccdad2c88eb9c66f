# SPDX-License-Identifier: Apache-2.0
"""Exported bundles in one server of MONAI Label's stock app, asked over HTTP.

It runs in an environment of its own: label-env, as `scripts/make_label_environment.sh` makes it, or that of the Python
which MONAI_LABEL_PYTHON names.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bundle.inferers import BoxesInferer, CineChunks
from bundle.metrics import clip_probabilities
from bundle.networks import open_model
from bundle.readers.cine import read_cine
from bundle.transforms import MapsBackd

CLASSES, MASKS = "us_plane_classification", "us_lesion_segmentation"
MAPS, BOXES = "us_saliency_segmentation", "us_lesion_detection"
KINDS = ("grey.png", "rgb.png", "still.dcm", "cine.dcm", "clip.mp4")
STILLS = ("grey.png", "rgb.png", "other.png", "third.png")
MARK = "of the second: "


class Server:
    """A running server, its studies and its app."""

    def __init__(self, python: str, folder: Path, bundles: list[Path], files: list[Path]) -> None:
        self.folder = folder
        prefix = subprocess.run([python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True)
        shutil.copytree(Path(prefix.stdout.strip()) / "monailabel" / "sample-apps" / "monaibundle", folder / "app")
        for bundle in bundles:
            shutil.copytree(bundle, folder / "app" / "model" / bundle.name)
        (folder / "studies").mkdir()
        for file in files:
            shutil.copy(file, folder / "studies")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [python, "-m", "monailabel.main", "start_server", "--app", "app", "--studies", "studies"]
        command += ["--conf", "models", ",".join(bundle.name for bundle in bundles), "--conf", "zoo_source", "ngc"]
        command += ["--conf", "sam2", "false", "--host", "127.0.0.1", "--port", str(port)]
        suffixes = json.dumps(sorted({f"*{file.suffix}" for file in files}))
        here = {"MONAI_LABEL_SESSION_PATH": str(folder / "sessions"), "MONAI_LABEL_DATASTORE_FILE_EXT": suffixes}
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self.log = (folder / "server.log").open("w")
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**kept, **here, "OMP_NUM_THREADS": "1"},
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait(self) -> None:
        while self.process.poll() is None:
            try:
                return self.get("/info/") and None
            except OSError:
                time.sleep(1)
        raise AssertionError((self.folder / "server.log").read_text()[-3000:])

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(60)
        self.log.close()

    def call(self, method: str, path: str, body: bytes | None = None, kind: str = "") -> tuple[int, str, bytes]:
        request = urllib.request.Request(self.url + path, body, {"Content-Type": kind} if kind else {}, method=method)
        try:
            with urllib.request.urlopen(request) as reply:
                return reply.status, reply.headers["Content-Type"], reply.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers["Content-Type"], error.read()

    def get(self, path: str) -> dict[str, Any]:
        return json.loads(self.call("GET", path)[2])

    def infer(self, model: str, file: Path, **params: Any) -> tuple[int, dict[str, Any], bytes]:
        """Status, JSON and the file of the reply."""
        fields = (("params", "", json.dumps(params).encode()), ("file", f'; filename="{file.name}"', file.read_bytes()))
        status, kind, body = self.call("POST", f"/infer/{model}", *form(*fields))
        if "multipart" not in kind:
            return status, json.loads(body), b""
        boundary = kind.split("boundary=")[1].encode()
        parts = [part.partition(b"\r\n\r\n") for part in body.split(b"--" + boundary)[1:-1]]
        inside = {re.search(rb'name="(\w+)"', head)[1]: content[:-2] for head, _, content in parts}  # type: ignore[index]
        return status, json.loads(inside[b"params"]), inside[b"image"]

    def train(self, model: str, labels: dict[str, Path]) -> None:
        for image, label in labels.items():
            fields = (("params", "", b"{}"), ("label", f'; filename="{label.name}"', label.read_bytes()))
            status, _, reply = self.call("PUT", f"/datastore/label?image={image}&tag=final", *form(*fields))
            assert status == 200, reply
        asked = json.dumps({"max_epochs": 1, "val_split": 0.25}).encode()
        status, _, reply = self.call("POST", f"/train/{model}?run_sync=true", asked, "application/json")
        assert status == 200, (reply, (self.folder / "server.log").read_text()[-3000:])


def form(*fields: tuple[str, str, bytes]) -> tuple[bytes, str]:
    mark = "------------field"
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"
        for name, more, content in fields
    ]
    return b"".join(parts) + f"--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}"


@pytest.fixture(scope="module")
def server(
    exported: Callable[[str], Path], files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    python = os.environ.get("MONAI_LABEL_PYTHON", str(Path(__file__).parents[2] / "label-env" / "bin" / "python"))
    if not Path(python).is_file():
        pytest.skip("needs MONAI Label: make it with scripts/make_label_environment.sh")
    folder = tmp_path_factory.mktemp("label")
    second = shutil.copytree(exported(MASKS), folder / "second" / MASKS)
    errors = second / "scripts" / "errors.py"
    plain, marked = 'super().__init__(" ".join(', f'super().__init__("{MARK}" + " ".join('
    assert plain in errors.read_text()
    errors.write_text(errors.read_text().replace(plain, marked))
    bundles = [exported(CLASSES), second, exported(MAPS), exported(BOXES)]
    running = Server(python, folder, bundles, [files[name] for name in STILLS])
    try:
        running.wait()
        yield running
    finally:
        running.close()


def test_what_it_says_of_the_models(server: Server) -> None:
    models = server.get("/info/")["models"]
    assert models[CLASSES]["type"] == "classification" and models[CLASSES]["labels"] == {"a_lines": 0, "b_lines": 1}
    assert models[MASKS]["type"] == "segmentation" and "lesion" in models[MASKS]["labels"]
    assert models[MAPS]["type"] == "segmentation" and models[MAPS]["labels"] == {"saliency": 255}
    assert models[BOXES]["type"] == "detection" and "lesion" in models[BOXES]["labels"]
    own_options = {CLASSES: {"clip_score": "mean"}, MASKS: {"threshold": 0.5}, MAPS: {}, BOXES: {"max_boxes": 4}}
    for name, own in own_options.items():
        shown = {"frame_stride": 1, "max_frames": 256, "any_modality": False, **own}
        assert shown.items() <= models[name]["config"].items()


@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_inference(
    server: Server, exported: Callable[[str], Path], files: dict[str, Path], kind: str, tmp_path: Path
) -> None:
    (chunk,) = CineChunks([{"image": str(files[kind])}], 32)
    networks = {name: open_model(exported(name) / "models").network for name in (CLASSES, MASKS, MAPS, BOXES)}
    with torch.no_grad():
        outputs = {name: networks[name](chunk["frames"]) for name in (CLASSES, MASKS, MAPS)}
        outputs[BOXES] = BoxesInferer(max_boxes=2, min_score=0)(chunk["frames"][None], networks[BOXES])[0]
    status, reply, _ = server.infer(CLASSES, files[kind])
    assert status == 200, reply
    found = {one["label"]: one["score"] for one in reply["prediction"]}
    expected = clip_probabilities(outputs[CLASSES], ["one"] * len(outputs[CLASSES]))[1][0]
    assert found == pytest.approx(dict(zip(("a_lines", "b_lines"), expected, strict=True)), abs=1e-3)

    status, reply, mask = server.infer(MASKS, files[kind], threshold=0.4)
    assert status == 200, reply
    (tmp_path / "mask.nrrd").write_bytes(mask)
    labels = read_cine(tmp_path / "mask.nrrd").frames[..., 0]
    back = MapsBackd("pred")({"pred": outputs[MASKS].sigmoid(), "meta": chunk["meta"]})["pred"].numpy()
    assert labels.shape == back.shape and set(np.unique(labels)) <= {0, 1}
    assert ((labels > 0) != (back > 0.4)).mean() < 0.01

    status, reply, density = server.infer(MAPS, files[kind])
    assert status == 200, reply
    (tmp_path / "density.nrrd").write_bytes(density)
    back = MapsBackd("pred")({"pred": outputs[MAPS], "meta": chunk["meta"]})["pred"].numpy()
    levels = read_cine(tmp_path / "density.nrrd").frames[..., 0]
    assert np.abs(levels - 255 * back / back.max(axis=(1, 2), keepdims=True)).max() < 1

    status, reply, _ = server.infer(BOXES, files[kind], result_write_to_file=False, max_boxes="2")
    assert status == 200, reply
    best = [(k, pytest.approx(float(one[4]), abs=1e-3)) for k, found in enumerate(outputs[BOXES]) for one in found]
    assert [(one["frame"], one["score"]) for one in reply["boxes"]] == best


def test_what_is_wrong_is_told_by_the_code_of_each(server: Server, files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    for name, mark in ((CLASSES, ""), (MASKS, MARK)):
        status, reply, _ = server.infer(name, tmp_path / "empty.mp4")
        assert status == 422 and "found an empty file" in reply["detail"]
        assert reply["detail"].startswith(MARK) == bool(mark)
    for name, option, value in ((BOXES, "max_boxes", -1), (MASKS, "threshold", "7"), (CLASSES, "any_modality", 2)):
        status, reply, _ = server.infer(name, files["grey.png"], **{option: value})
        assert status == 422 and f"{option}: found {value!r}, expected " in reply["detail"]


def test_training_serves_the_next_question(server: Server, files: dict[str, Path], tmp_path: Path) -> None:
    _, before, _ = server.infer(CLASSES, files["grey.png"])
    said: list[Any] = [{"label": 1}, {"label": "a_lines"}, {"prediction": before["prediction"]}, "b_lines"]
    labels = {}
    for name, label in zip(STILLS, said, strict=True):
        labels[name.removesuffix(".png")] = path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(label))
    server.train(CLASSES, labels)
    _, after, _ = server.infer(CLASSES, files["grey.png"])
    scores = [[one["score"] for one in reply["prediction"]] for reply in (before, after)]
    assert max(abs(a - b) for a, b in zip(*scores, strict=True)) > 1e-4

    weights = server.folder / "app" / "model" / MASKS / "models" / "model.pt"
    old = weights.read_bytes()
    for name in STILLS:
        labels[name.removesuffix(".png")] = path = tmp_path / f"{name}.nrrd"
        path.write_bytes(server.infer(MASKS, files[name], threshold=0.4)[2])
    server.train(MASKS, labels)
    assert weights.read_bytes() != old
    network = open_model(weights.parent).network
    (chunk,) = CineChunks([{"image": str(files["grey.png"])}], 32)
    with torch.no_grad():
        maps = network(chunk["frames"]).sigmoid()
    middle = float(maps.median())
    (tmp_path / "after.nrrd").write_bytes(server.infer(MASKS, files["grey.png"], threshold=middle)[2])
    back = MapsBackd("pred")({"pred": maps, "meta": chunk["meta"]})["pred"].numpy()
    labels_now = read_cine(tmp_path / "after.nrrd").frames[..., 0]
    assert ((labels_now > 0) != (back > middle)).mean() < 0.02
