# SPDX-License-Identifier: Apache-2.0
"""`verify_bundle.py` passes a bundle that is as it should be and names what is wrong with one that is not."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import bundle_inside
import bundle_runs
import pytest
import torch
import verify_bundle
from bundle_checks import FILES, KEYS, SECTIONS
from bundle_inside import FAILED, NOT_RUN, OK, WrongError

from bundle.errors import InputError
from bundle.files import sha256_of

NET = """
import torch


class Net(torch.nn.Module):
    def __init__(self, off: float = 0.0) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 2, 3)
        self.off = off

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.layer(x).mean(dim=(2, 3))
        return y + self.off if torch.jit.is_scripting() else y
"""
TENSOR = {"type": "a", "format": "b", "dtype": "float32", "value_range": [0, 1], "spatial_shape": []}
MAKES = "$open(@output_dir + '/results.json', 'w').write('made')"


@pytest.fixture
def bundle_dir(tmp_path: Path) -> Path:
    """A small bundle without fault."""
    root = tmp_path / "us_toy_classification"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("Apache\n")
    (root / "scripts" / "__init__.py").write_text("")
    shutil.copy(Path(__file__).parents[2] / "configs" / "logging.conf", root / "configs" / "logging.conf")
    (root / "scripts" / "networks.py").write_text(NET)
    (root / "docs" / "README.md").write_text("\n".join(SECTIONS) + "\nRun `python -m monai.bundle.run`.\n")
    for job, keys in KEYS.items():
        config: dict[str, Any] = {}
        for key in keys.split():
            node = config
            *above, last = key.split("#")
            for part in above:
                node = node.setdefault(part, {})
            node[last] = {}
        if job == "inference":
            run = ["$import os", "$os.makedirs(@output_dir, exist_ok=True)", MAKES]
            config |= {"network_def": {"_target_": "scripts.networks.Net"}, "run": run[1:], "imports": run[:1]}
            config |= {"input": "", "output_dir": "."}
        write(root / "configs" / f"{job}.json", config)
    weights = {"layer.weight": torch.rand(2, 1, 3, 3), "layer.bias": torch.zeros(2)}
    torch.save(weights, root / "models" / "model.pt")
    describe(root)
    form = {
        "inputs": {"image": {**TENSOR, "num_channels": 1, "spatial_shape": [8, 8]}},
        "outputs": {
            name: {**TENSOR, "num_channels": 2, "channel_def": {"0": "a", "1": "b"}} for name in ("pred", "features")
        },
    }
    about = {
        **{name: "" for name in ("name", "data_source", "eval_metrics", "intended_use")},
        "weights_origin": {"data": ["mine"]},
        "schema": "https://nowhere.invalid/schema.json",
        "version": "1.0.0",
        "changelog": {"1.0.0": ""},
        **{f"{name}_version": "1.2.3" for name in ("monai", "pytorch", "numpy")},
        "required_packages_version": {"pyyaml": "6.0.post1"},
        "network_data_format": form,
        "encoder_data_format": form,
    }
    write(root / "configs" / "metadata.json", about)
    return root


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1))


def change(path: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    write(path, content)


def describe(root: Path) -> None:
    said = {
        "task": "classification",
        "data": "mine",
        "class_names": ["a", "b"],
        "sha256": sha256_of(root / "models" / "model.pt"),
    }
    write(root / "models" / "model.json", said)


def outcomes(root: Path, *names: str, schema: Path | None = None) -> dict[str, tuple[str, str]]:
    """What each check says of the bundle itself, not of a copy."""
    subject = bundle_runs.Subject(root, root.parent, schema)
    (root.parent / "clips").mkdir(exist_ok=True)
    (root.parent / "clips" / "1.dcm").touch()
    subject.__dict__["phantom"] = root.parent  # made before; this bundle reads no clips
    return {name: (status, text) for name, status, text in verify_bundle.outcomes(subject, names)}


def test_a_good_bundle_is_ok(bundle_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ["files", "texts", "configs", "metadata", "weights", "network", "torchscript", "exported", "onnx"]
    before = {path: path.read_bytes() for path in bundle_dir.rglob("*") if path.is_file()}
    status = verify_bundle.main([str(bundle_dir), "--only", *names])
    lines = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    has_onnx = all(importlib.util.find_spec(name) for name in ("onnx", "onnxscript"))
    assert lines == [f"ok      {name}" for name in names[:-1]] + [("ok      " if has_onnx else "not run ") + "onnx"]
    assert status == (0 if has_onnx else 3)
    assert {path: path.read_bytes() for path in bundle_dir.rglob("*") if path.is_file()} == before


def test_networks_that_are_not_what_is_said(bundle_dir: Path) -> None:
    change(bundle_dir / "configs" / "metadata.json", lambda c: c["encoder_data_format"]["outputs"]["features"].update(
        num_channels=3))  # fmt: skip
    change(bundle_dir / "configs" / "inference.json", lambda c: c["network_def"].update(off=0.01))
    told = outcomes(bundle_dir, "network", "torchscript", "exported")
    assert told["network"] == (FAILED, "encoder: gives (2, 2) torch.float32, metadata says (2, 3) float32")
    assert (
        told["torchscript"][0] == FAILED and "of a channel's largest value, 1e-04 are allowed" in told["torchscript"][1]
    )
    assert told["exported"][0] == OK


def test_rounding_in_a_small_channel_is_no_difference(bundle_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of features that are all but 0, which come of sums as large as those of the others."""

    def network(frames: torch.Tensor, off: float = 0.0) -> torch.Tensor:
        return torch.tensor([1.0, 0.01 + off]).expand(len(frames), 2)

    monkeypatch.setattr(bundle_inside, "_network", lambda root: network)
    assert bundle_inside._compared(bundle_dir, partial(network, off=2e-6)).startswith("largest difference 2.0e-05")
    with pytest.raises(WrongError, match="differs from PyTorch by 2.0e-04"):
        bundle_inside._compared(bundle_dir, partial(network, off=2e-5))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (torch.tensor([0, float("nan")]), "b: found values that are no numbers"),
        (torch.nn.Parameter(torch.zeros(2)), "b: found Parameter, expected a plain tensor"),
        (torch.zeros(2), "loading the weights imported MONAI"),  # as this process did
    ],
)
def test_weights_that_are_not_plain(bundle_dir: Path, value: torch.Tensor, told: str) -> None:
    torch.save({"a": torch.zeros(2), "b": value}, bundle_dir / "models" / "model.pt")
    with pytest.raises(WrongError, match=told):
        bundle_inside.weights(bundle_dir)


def test_a_config_is_run_from_elsewhere_and_without_the_repository(bundle_dir: Path) -> None:
    config = bundle_dir / "configs" / "inference.json"
    assert outcomes(bundle_dir, "inference")["inference"] == (OK, "1 files in its output folder")
    assert (bundle_dir.parent / "out" / "inference" / "results.json").read_text() == "made"
    change(config, lambda c: c["run"].append("$__import__('bundle')"))
    told = outcomes(bundle_dir, "inference")["inference"]
    assert told[0] == FAILED and "not this bundle's own code" in told[1]


def _append(name: str, text: str) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        with (root / name).open("a") as file:
            file.write(text)

    return edit


def _changed(name: str, edit: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    return lambda root: change(root / "configs" / f"{name}.json", edit)


def _outputs(content: dict[str, Any]) -> dict[str, Any]:
    return content["network_data_format"]["outputs"]


@pytest.mark.parametrize(
    ("check", "edit", "told"),
    [
        ("files", lambda root: (root / "LICENSE").unlink(), "not there: LICENSE"),
        ("files", lambda root: (root / "models" / "ssl.pt").touch(), "models/ssl.pt: MONAI Label would load it"),
        ("files", lambda root: (root / "models" / "model.pt").write_bytes(b"1"), "describes other weights"),
        ("files", lambda root: (root / "scripts" / "a.pyc").touch(), "left over: scripts/a.pyc"),
        ("texts", _append("scripts/networks.py", "from bundle.data import x\n"), "networks.py, line 14: 'from bundle'"),
        ("texts", _append("scripts/networks.py", "import bundle\n"), "line 14: 'import bundle' is of where"),
        ("texts", _append("configs/train.json", '\n"$bundle.networks.Net()"'), "'bundle.networks' is of where"),
        ("texts", _append("models/model.json", '\n"/home/me/x"'), "'/home/m' is of where it was made"),
        ("texts", lambda root: (root / "docs" / "README.md").write_text("# License"), "no part '# Model Overview'"),
        ("texts", lambda root: (root / "docs" / "data_license.txt").write_text("\n"), "data_license.txt is empty"),
        ("configs", _changed("train", lambda c: c["train"].pop("handlers")), "train.json has no train#handlers"),
        ("configs", _changed("evaluate", lambda c: c.update(x=["%a.json#b"])), "%a.json#b is looked for"),
        ("configs", _changed("multi_gpu_train", lambda c: c.update(train={})), "has train, which would take the place"),
        ("configs", lambda root: (root / "configs" / "a.yaml").touch(), "configs/a.yaml: monai.bundle.load does not"),
        ("metadata", _changed("metadata", lambda c: c.update(version="2")), "version 2 has no entry in the changelog"),
        ("metadata", _changed("metadata", lambda c: c.update(numpy_version="2+cpu")), "numpy 2.cpu: expected a"),
        ("metadata", _changed("metadata", lambda c: _outputs(c)["pred"].update(channel_def={"0": "Background"})),
         "no class called background"),
        ("metadata", _changed("metadata", lambda c: _outputs(c)["pred"].update(channel_def={"0": "b", "1": "a"})),
         "the classes of the weights are \\['a', 'b'\\]"),
        ("metadata", _changed("metadata", lambda c: c["weights_origin"].update(data=["x"])), "model.json says .'mine'"),
        ("metadata", _changed("metadata", lambda c: c.update(network_data_format={"inputs": {"x": 1}})), "input image"),
    ],
)  # fmt: skip
def test_faults_of_files_are_named(bundle_dir: Path, check: str, edit: Callable[[Path], Any], told: str) -> None:
    assert outcomes(bundle_dir, check)[check][0] == OK
    edit(bundle_dir)
    status, text = outcomes(bundle_dir, check)[check]
    assert status == FAILED
    assert re.search(told, text), text


def test_a_bundle_without_its_description_fails_check_by_check(
    bundle_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bundle_dir / "models" / "model.json").unlink()
    assert verify_bundle.main([str(bundle_dir), "--only", "files", "properties", "inference"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["FAIL    files", "FAIL    properties", "FAIL    inference"]
    assert all("models/model.json" in line for line in lines)


def test_what_takes_too_long_is_not_run(bundle_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_runs, "run_inside", partial(bundle_runs.run_inside, limit=0.01))
    assert outcomes(bundle_dir, "network") == {"network": (NOT_RUN, "not done after 0 s")}


def test_large_files_that_are_listed_are_fine(bundle_dir: Path) -> None:
    (bundle_dir / "big.bin").write_bytes(bytes(26 * 2**20))
    digest = sha256_of(bundle_dir / "big.bin")
    listed = f"large_files:\n- path: big.bin\n  url: ''\n  hash_type: sha256\n  hash_val: {digest}\n"
    (bundle_dir / "large_files.yml").write_text(listed)
    assert outcomes(bundle_dir, "files")["files"][0] == OK
    (bundle_dir / "large_files.yml").write_text(listed.replace(digest, digest[::-1]))
    status, text = outcomes(bundle_dir, "files")["files"]
    assert status == FAILED and "big.bin is above 25 MB and not in large_files.yml with its SHA-256" in text


def test_metadata_follow_a_schema(bundle_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "given.json", {"type": "object", "required": ["version", "nothing"]})
    status, text = outcomes(bundle_dir, "schema", schema=tmp_path / "given.json")["schema"]
    assert status == FAILED and "'nothing' is a required property" in text
    (tmp_path / "schema" / "schema.json").unlink()
    monkeypatch.setattr(bundle_runs, "run_inside", _no_network)
    status, text = outcomes(bundle_dir, "schema")["schema"]
    assert status == NOT_RUN and "nowhere.invalid/schema.json cannot be fetched; give it with --schema" in text


def _no_network(*arguments: Any, **how: Any) -> str:
    raise bundle_runs.WrongError("no route to host")


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no folder configs in it"):
        verify_bundle.main([str(tmp_path)])
    with pytest.raises(InputError, match="no such file, expected the schema"):
        verify_bundle.main([str(tmp_path), "--schema", str(tmp_path / "none.json")])
