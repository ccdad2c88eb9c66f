# SPDX-License-Identifier: Apache-2.0
"""Training of an exported bundle on several devices, started as MONAI Label does on a machine that has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bundle.files import sha256_of


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="two processes on CPUs talk by gloo")
def test_two_ranks_learn_what_the_app_hands_over(
    exported: Callable[[str], Path], files: dict[str, Path], tmp_path: Path, copied: Callable[[Path], Path]
) -> None:
    root = copied(exported("us_plane_classification"))
    before = sha256_of(root / "models" / "model.pt")
    config = json.loads((root / "configs" / "train.json").read_text())  # as the app writes it beside ours
    items = [{"image": str(files[name]), "label": k % 2} for k, name in enumerate(("grey.png", "other.png"))]
    config |= {"bundle_root": str(root), "device": "cpu"}
    config["train"]["dataset"]["data"], config["validate"]["dataset"]["data"] = items, []
    config["train"]["trainer"]["max_epochs"] = 1
    (root / "configs" / "monailabel_train.json").write_text(json.dumps(config))
    paths = [str(root / "configs" / name) for name in ("monailabel_train.json", "multi_gpu_train.json")]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nnodes=1", "--nproc_per_node=2"]
    given = ["--meta_file", str(root / "configs" / "metadata.json"), "--config_file", f"['{paths[0]}','{paths[1]}']"]
    given += ["--logging_file", str(root / "configs" / "logging.conf")]
    done = subprocess.run(
        [*launch, "-m", "monai.bundle", "run", "run", *given],
        cwd=tmp_path,  # where the server was started, of which the bundle's code knows nothing
        capture_output=True,
        text=True,
        timeout=600,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    listed = json.loads((root / "eval" / "train" / "datalist.json").read_text())
    assert sorted(Path(one["image"]).name for one in listed["training"]) == ["grey.png", "other.png"]
    assert not (root / "data").exists()
    run = json.loads((root / "eval" / "train" / "run.json").read_text())
    assert run["ranks"] == 2
    assert sha256_of(root / "models" / "model.pt") != before
