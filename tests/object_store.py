"""Runs whose files lie in S3, tried on a server that speaks it and checks credentials (moto).

    python -m tests.object_store [ARGUMENTS OF PYTEST]

The server and fsspec's package for S3 are 190 MB, so they are no part of the environment: `.s3` holds them, and sees
everything else that is installed.
"""

from __future__ import annotations

import shutil
import site
import subprocess
import sys

from tests.real_kafka import ROOT

FOLDER = ROOT / ".s3"  # git-ignored
PACKAGES = ("moto[s3,server]>=5", "s3fs")
TESTS = ROOT / "tests" / "integration" / "in_object_store.py"  # by another name, `make test` would ask for the server


def main() -> int:
    python = FOLDER / "bin" / "python"
    if not (FOLDER / "whole").exists():
        uv = shutil.which("uv") or str(ROOT / ".uv" / "bin" / "uv")
        subprocess.run([uv, "venv", "--clear", "--quiet", "--python", sys.executable, FOLDER], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *PACKAGES], check=True)
        (own,) = FOLDER.glob("lib/python*/site-packages")
        (own / "beside.pth").write_text("\n".join(site.getsitepackages()) + "\n")
        (FOLDER / "whole").touch()
    return subprocess.run([python, "-m", "pytest", TESTS, *sys.argv[1:]], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
