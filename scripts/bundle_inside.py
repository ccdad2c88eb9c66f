# SPDX-License-Identifier: Apache-2.0
"""What `verify_bundle.py` does in a process of its own, in which this project's code is there as the bundle's only.

python scripts/bundle_inside.py BUNDLE_DIR JOB [JOB ...]     a line of JSON for each: job, status, text
python scripts/bundle_inside.py BUNDLE_DIR monai ARGUMENT ...    as python -m monai.bundle ARGUMENT ...
"""

from __future__ import annotations

import importlib
import io
import json
import runpy
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

OK, FAILED, NOT_RUN = "ok", "FAIL", "not run"
MONAI = "monai"
TOLERANCE = 1e-4
"""How far an exported network may be from PyTorch's, of the largest value of a channel."""


class NotRunError(Exception):
    """A check that cannot be made here; it says why."""


class WrongError(Exception):
    """What a check found wrong."""


class _NoRepository:
    """Refuses to import the library under the name it has in its own repository."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] == "bundle":
            raise ModuleNotFoundError(f"{name}: not this bundle's own code", name=name)


def attempt(check: Callable[..., str], *arguments: Any) -> tuple[str, str]:
    """Status of a check and what it says."""
    try:
        return OK, check(*arguments)
    except NotRunError as reason:
        return NOT_RUN, str(reason)
    except WrongError as found:
        return FAILED, str(found)
    except Exception as error:
        return FAILED, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def weights(root: Path) -> str:
    """The weights are a flat state dict of plain, finite tensors, and load without MONAI."""
    state = torch.load(root / "models" / "model.pt", map_location="cpu", weights_only=True)
    for name, value in state.items():
        if type(value) is not torch.Tensor:
            raise WrongError(f"{name}: found {type(value).__name__}, expected a plain tensor")
        if not value.isfinite().all():
            raise WrongError(f"{name}: found values that are no numbers")
    if "monai" in sys.modules:
        raise WrongError("loading the weights imported MONAI")
    return f"{len(state)} plain tensors, {sum(value.numel() for value in state.values()) / 1e6:.1f} million values"


def network(root: Path) -> str:
    """The network takes its weights whole, and its shapes and those of its encoder are those of the metadata."""
    net, about = _network(root), _metadata(root)
    encoder = getattr(net, "encoder", net)
    for one, name, output in ((net, "network", "pred"), (encoder, "encoder", "features")):
        form = about[f"{name}_data_format"]
        with torch.no_grad():
            found = one(_frames(form))
        said = form["outputs"][output]
        shape = (2, said["num_channels"], *said["spatial_shape"])
        if tuple(found.shape) != shape or str(found.dtype) != f"torch.{said['dtype']}":
            raise WrongError(f"{name}: gives {tuple(found.shape)} {found.dtype}, metadata says {shape} {said['dtype']}")
    pred = about["network_data_format"]["outputs"]["pred"]
    return f"{type(net).__name__}, {pred['num_channels']} channels of {pred['spatial_shape']}"


def load(root: Path) -> str:
    """`monai.bundle.load` gives the network with its weights."""
    from monai.bundle import load

    found = load(root.name, bundle_dir=str(root.parent), source="github", repo="a/b/c", workflow_type="inference")
    if not isinstance(found, torch.nn.Module):
        raise WrongError(f"monai.bundle.load gives {type(found).__name__}, expected the network")
    return _compared(root, found.eval())


def properties(root: Path) -> str:
    """The configs of training and inference have what MONAI's workflows ask of them."""
    from monai.bundle import ConfigWorkflow

    for kind in ("train", "inference"):
        flow = ConfigWorkflow(
            str(root / "configs" / f"{kind}.json"), workflow_type=kind, bundle_root=str(root), logging_file=False
        )
        flow.initialize()
        if missing := flow.check_properties():
            raise WrongError(f"{kind}.json: missing or called otherwise: {', '.join(missing)}")
    return "of training and inference"


def torchscript(root: Path) -> str:
    """Scripted, saved and loaded again it gives what PyTorch gives."""
    saved = io.BytesIO()
    torch.jit.save(torch.jit.script(_network(root)), saved)
    saved.seek(0)
    return _compared(root, torch.jit.load(saved))


def exported(root: Path) -> str:
    """By `torch.export` for any number of frames, saved and loaded again, it gives what PyTorch gives."""
    frames = _frames(_metadata(root)["network_data_format"])
    program = torch.export.export(_network(root), (frames,), dynamic_shapes=_any_number())
    saved = io.BytesIO()
    torch.export.save(program, saved)
    saved.seek(0)
    return _compared(root, torch.export.load(saved).module())


def onnx(root: Path) -> str:
    """As ONNX for any number of frames it gives what PyTorch gives, by ONNX Runtime or ONNX's own evaluator."""
    for package in ("onnx", "onnxscript"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise NotRunError(f"{package} is not installed; install the extra export") from error
    frames = _frames(_metadata(root)["network_data_format"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        made = torch.onnx.export(
            _network(root), (frames,), dynamo=True, dynamic_shapes=_any_number(), verbose=False, optimize=True
        )
        made.save(path)
        name, run = _runtime(path)
        return f"{_compared(root, run)}, by {name}"


def _runtime(path: Path) -> tuple[str, Callable[[torch.Tensor], torch.Tensor]]:
    try:
        onnxruntime = importlib.import_module("onnxruntime")
    except ImportError:
        evaluator = importlib.import_module("onnx.reference").ReferenceEvaluator(str(path))
        names, name = evaluator.input_names, "ONNX's reference evaluator"
    else:
        evaluator = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names, name = [one.name for one in evaluator.get_inputs()], "ONNX Runtime"
    return name, lambda frames: torch.from_numpy(evaluator.run(None, {names[0]: frames.numpy()})[0])


def _any_number() -> tuple[dict[int, Any]]:
    return ({0: torch.export.Dim("frames")},)


def _compared(root: Path, other: Callable[[torch.Tensor], torch.Tensor]) -> str:
    """The largest difference between a network and the bundle's, on other frames than it was exported with."""
    frames = _frames(_metadata(root)["network_data_format"], number=3)
    with torch.no_grad():
        expected, found = _network(root)(frames), other(frames)
    if found.shape != expected.shape:
        raise WrongError(f"gives {tuple(found.shape)}, PyTorch {tuple(expected.shape)}")
    size = expected.transpose(0, 1).flatten(1).abs().amax(1)
    size = size.clamp(min=float(size.max()) / 10)  # what sums of the large leave in a small channel is all rounding
    off = float(((found - expected).transpose(0, 1).flatten(1).abs().amax(1) / size).max())
    if not off <= TOLERANCE:
        raise WrongError(f"differs from PyTorch by {off:.1e} of a channel's largest value, {TOLERANCE:.0e} are allowed")
    return f"largest difference {off:.1e} of a channel's largest value"


def _network(root: Path) -> torch.nn.Module:
    """The network of ``inference.json``, with the weights."""
    from monai.bundle import ConfigParser

    parser = ConfigParser(ConfigParser.load_config_file(str(root / "configs" / "inference.json")))
    parser["bundle_root"] = str(root)
    net = parser.get_parsed_content("network_def")
    net.load_state_dict(torch.load(root / "models" / "model.pt", map_location="cpu", weights_only=True))
    return net.eval()


def _frames(form: dict[str, Any], number: int = 2) -> torch.Tensor:
    image = form["inputs"]["image"]
    low, high = image["value_range"]
    drawn = torch.rand(
        number, image["num_channels"], *image["spatial_shape"], generator=torch.Generator().manual_seed(1)
    )
    return low + (high - low) * drawn


def _metadata(root: Path) -> dict[str, Any]:
    return read_json(root / "configs" / "metadata.json")


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


JOBS = {job.__name__: job for job in (weights, network, load, properties, torchscript, exported, onnx)}
"""By name; `weights` is to be the first of its process, before anything imports MONAI."""


@contextmanager
def _quiet() -> Iterator[None]:
    """What libraries print goes to stderr."""
    out, sys.stdout = sys.stdout, sys.stderr
    try:
        yield
    finally:
        sys.stdout = out


def main() -> None:
    """See above."""
    root, job, rest = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    sys.path[0] = str(root)
    sys.meta_path.insert(0, _NoRepository())
    if job == MONAI:
        sys.argv = ["monai.bundle", *rest]
        runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
        return
    for name in (job, *rest):
        with _quiet():
            status, text = attempt(JOBS[name], root)
        print(json.dumps({"job": name, "status": status, "text": text}), flush=True)


if __name__ == "__main__":
    main()
