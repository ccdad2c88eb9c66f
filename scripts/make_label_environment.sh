#!/usr/bin/env bash
# Makes an environment in which MONAI Label 0.8.5 serves exported bundles on the CPU: MONAI Label, MONAI, and the readers
# that the bundles' own code needs, in the versions of constraints-label.txt.
#
#   scripts/make_label_environment.sh [VENV [PYTHON]]
#
# VENV is label-env beside scripts/ by default, where the test of MONAI Label looks for it.
#
# pip takes packages from where it is told to (PIP_INDEX_URL, PIP_FIND_LINKS, PIP_NO_INDEX), so this works offline too.
# For a build of torch without CUDA: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
venv=${1:-$root/label-env}
python=${2:-python3}
if [ -e "$venv" ]; then
  echo "error: $venv: already there; remove it or name another folder" >&2
  exit 1
fi

"$python" -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }
pins="$venv/pins.txt"
{ cat "$root/constraints-label.txt"; echo "torchvision==0.28.0"; } > "$pins" # a later one would bring another torch
"$venv/bin/python" -c 'import sys, tomllib
print(*tomllib.load(open(sys.argv[1], "rb"))["project"]["dependencies"], sep="\n")' "$root/pyproject.toml" \
  > "$venv/requirements.txt"
pip install --quiet -c "$pins" torch # first and alone, so that nothing that comes later chooses its build
pip install --quiet -c "$pins" -r "$venv/requirements.txt" monailabel==0.8.5

# A torchvision built for CUDA cannot load its library beside a torch without, and stops at the first operator that it
# then misses. MONAI Label needs none of its operators: to declare them is enough.
if ! "$venv/bin/python" -c 'import torchvision' 2> /dev/null; then
  cat > "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/sitecustomize.py" << 'END'
import sys


class BeforeTorchvision:
    """Declares torchvision's operators when it is imported, and finds no module itself."""

    def find_spec(self, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            BeforeTorchvision.library = torch.library.Library("torchvision", "FRAGMENT")
            for operator in ("nms", "qnms"):
                schema = f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                BeforeTorchvision.library.define(schema)


sys.meta_path.insert(0, BeforeTorchvision())
END
fi

pip check
"$venv/bin/python" -W ignore -c 'import monai, monailabel, monailabel.transform.post, numpy, pydicom, torch, torchvision
for module in (monailabel, monai, torch, torchvision, numpy, pydicom):
    print(module.__name__, module.__version__)'
