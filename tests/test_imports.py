# SPDX-License-Identifier: Apache-2.0
"""Every module imports without the packages that only some of it needs."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import bundle

NOT_NEEDED = (
    *("av", "itk", "pydicom", "highdicom", "nibabel", "matplotlib", "sklearn", "safetensors"),
    *("jpeg_ls", "openjpeg", "PIL"),
)


def test_all_modules_import_without_readers_and_plots():
    modules = [module.name for module in pkgutil.walk_packages(bundle.__path__, "bundle.")]
    assert len(modules) > 50
    program = (
        "import sys, importlib\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {NOT_NEEDED}: raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        f"for name in {modules}: importlib.import_module(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
