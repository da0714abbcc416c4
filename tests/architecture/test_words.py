"""No file speaks of the machine or the registry it was written on."""

from __future__ import annotations

import re
import subprocess

from tests.real_kafka import ROOT

# Spelt in pieces, since this file is searched too.
FORBIDDEN = re.compile(
    "|".join(
        [
            r"(?<![\w.])/" + r"work/",
            r"(?<![\w.])/" + r"root/",
            r"\bpypi\." + "org",
            "pythonhosted" + r"\.",
            r"\brepo\d*\.maven\." + r"(apache\.)?org",
            "npmjs" + r"\.(org|com)",
            "artifact" + "ory",
            r"(extra-)?index" + r"-url",
        ]
    )
)
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".json", ".xml", ".html", ".js", ".css", ".txt", ".tpl", ".jsonl", ""}
TEXT |= {".lock"}


def test_no_tracked_file_names_a_registry_or_a_path_of_the_machine() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name]
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in paths
        if path.suffix in TEXT and path.is_file()
        for match in FORBIDDEN.finditer(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)
