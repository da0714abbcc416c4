"""The image without a container engine: each step of the Dockerfile is taken in a root of its own, by chroot.

    python -m tests.image [--extras train,report,kubernetes] FOLDER

builds it below FOLDER as root and shows what its entry point says. The distribution is this machine's, read-only; the
Python stands in /usr/local, as in the base image. A mount namespace ends with each step, so nothing stays mounted.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from tests.real_kafka import ROOT

DOCKERFILE = ROOT / "Dockerfile"
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
_UNUSED = ("test", "idlelib", "site-packages", "config-*", "__pycache__")
_FOR_DOWNLOADS = re.compile(r".*(_proxy|INDEX_URL|CERT(_FILE)?)$", re.IGNORECASE)


@dataclass
class Image:
    """A root below `folder`, and what the Dockerfile says of who starts what in it."""

    folder: Path
    arguments: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    workdir: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    ports: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)

    def program(
        self,
        words: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        mounts: Mapping[Path, str] | None = None,
        read_only: bool = False,
        user: str | None = None,
    ) -> list[str]:
        """Return the command that runs *words* inside; *mounts* names folders of this machine by their place there."""
        root = shlex.quote(str(self.folder))
        script = [f"mount --bind {root} {root}"]
        script += [
            f"mount --bind /{name} {root}/{name} && mount -o remount,ro,bind {root}/{name}" for name in _of_all()
        ]
        if not read_only:
            script += [f"mount --bind {root}/local {root}/usr/local"]
        else:
            script += [f"mount --bind -r {root}/local {root}/usr/local", f"mount -o remount,ro,bind {root}"]
        script += [f"mount -t proc proc {root}/proc", f"mount --rbind /dev {root}/dev"]
        for outside, inside in (mounts or {}).items():
            script.append(f"mount --bind {shlex.quote(str(outside))} {root}{shlex.quote(inside)}")
        given = [f"{name}={value}" for name, value in (self.environment | dict(environment or {})).items()]
        inside = f"cd {shlex.quote(self.workdir)} && exec {shlex.join(words)}"
        script.append(
            f"exec chroot --userspec={user or self.user} {root} env -i {shlex.join(given)} sh -c {shlex.quote(inside)}"
        )
        return ["unshare", "--mount", "sh", "-c", " && ".join(script)]


def build(folder: Path, *, extras: str) -> Image:
    """Take every step of the Dockerfile; return the image of the last stage."""
    context = folder / "context"
    copy_context(context)
    stages: dict[str, Image] = {}
    given = {"EXTRAS": extras, "PYTHON": PYTHON.removeprefix("python")}
    declared: dict[str, str] = {}
    image = Image(Path())
    for word, rest in instructions(DOCKERFILE.read_text()):
        if word == "FROM":
            assert Template(rest.split()[0]).substitute(declared) == f"python:{given['PYTHON']}-slim"
            image = Image(folder / f"stage-{len(stages)}", environment=_base_environment())
            make_root(image.folder)
            stages[rest.partition(" AS ")[2] or "last"] = image
        elif word == "ARG":
            name, _, default = rest.partition("=")
            (image.arguments if stages else declared)[name] = given.get(name, default)
        else:
            take(word, rest, image, context=context, stages=stages)
    return image


def take(word: str, rest: str, image: Image, *, context: Path, stages: Mapping[str, Image]) -> None:
    """Take one step in *image*."""
    if word == "RUN":
        run(rest, image)
    elif word == "COPY":
        copy(rest, image, context=context, stages=stages)
    elif word == "ENV":
        pairs = dict(pair.split("=", 1) for pair in shlex.split(rest))
        image.environment |= {name: Template(value).substitute(image.environment) for name, value in pairs.items()}
    elif word == "WORKDIR":
        image.workdir = rest
        (image.folder / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
    elif word == "USER":
        image.user = rest
    elif word in {"ENTRYPOINT", "CMD"}:
        setattr(image, "entrypoint" if word == "ENTRYPOINT" else "command", json.loads(rest))
    elif word in {"EXPOSE", "VOLUME"}:
        (image.ports if word == "EXPOSE" else image.volumes).append(rest)
    else:
        assert word == "LABEL", f"{word}: no such step is known here"


def run(rest: str, image: Image) -> None:
    """Run a line of shell; a cache that it mounts is uv's own of this machine."""
    caches = re.findall(r"--mount=type=cache,target=(\S+)\s", rest)
    line = re.sub(r"--mount=\S+\s+", "", rest)
    own = Path(os.environ.get("UV_CACHE_DIR") or Path.home() / ".cache" / "uv")
    for place in caches:
        (image.folder / place.lstrip("/")).mkdir(exist_ok=True)
    own.mkdir(parents=True, exist_ok=True)
    downloads = {name: value for name, value in os.environ.items() if _FOR_DOWNLOADS.match(name)}
    command = image.program(
        ["sh", "-c", line],
        environment={**downloads, **image.arguments},
        mounts={own: caches[0]} if caches else {},
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"RUN {rest}\n{done.stdout}{done.stderr}"


def copy(rest: str, image: Image, *, context: Path, stages: Mapping[str, Image]) -> None:
    *sources, target = [word for word in rest.split() if not word.startswith("--from=")]
    stage = re.match(r"--from=(\S+)", rest)
    origin = stages[stage[1]].folder if stage else context
    place = image.folder / os.path.join(image.workdir, target).lstrip("/")
    for source in sources:
        found = origin / source.lstrip("/")
        if found.is_dir():
            shutil.copytree(found, place, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(found, place if target.endswith("/") or place.is_dir() else place.parent)


def instructions(text: str) -> list[tuple[str, str]]:
    """Return the steps of a Dockerfile in order, each as its word and the rest."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.partition(" ")[0], line.partition(" ")[2].strip()) for line in joined.splitlines()]


def copy_context(target: Path) -> None:
    """Copy what is tracked and what .dockerignore lets through."""
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        if name.partition("/")[0] in kept and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def make_root(folder: Path) -> None:
    """Lay out a root with a Python of its own in /usr/local, and accounts of its own in /etc."""
    for name in ("proc", "dev", "tmp", "root", "home", "opt", "usr", "local", "run", "var/lib", "var/mail", "var/log"):
        (folder / name).mkdir(parents=True)
    (folder / "tmp").chmod(0o1777)
    for name in ("bin", "sbin", "lib", "lib64"):
        if Path("/", name).is_symlink():
            (folder / name).symlink_to(Path("/", name).readlink())
        elif Path("/", name).is_dir():
            (folder / name).mkdir()
    shutil.copytree("/etc", folder / "etc", symlinks=True, ignore=shutil.ignore_patterns("alternatives", "ssl"))
    for name in ("alternatives", "ssl"):
        shutil.copytree(f"/etc/{name}", folder / "etc" / name, symlinks=True)
    (folder / "etc" / "resolv.conf").unlink(missing_ok=True)
    shutil.copy2("/etc/resolv.conf", folder / "etc" / "resolv.conf")
    base, local = Path(sys.base_prefix), folder / "local"
    shutil.copytree(
        base / "lib" / PYTHON, local / "lib" / PYTHON, symlinks=True, ignore=shutil.ignore_patterns(*_UNUSED)
    )
    for library in (base / "lib").glob("libpython*.so*"):
        shutil.copy2(library, local / "lib", follow_symlinks=False)
    (local / "bin").mkdir()
    shutil.copy2(base / "bin" / PYTHON, local / "bin" / PYTHON)
    for name in ("python3", "python"):
        (local / "bin" / name).symlink_to(PYTHON)
    pip = Image(folder, environment=_base_environment()).program([PYTHON, "-m", "ensurepip", "--default-pip"])
    subprocess.run(pip, check=True, capture_output=True)


def _base_environment() -> dict[str, str]:
    path = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "LD_LIBRARY_PATH": "/usr/local/lib", "LANG": "C.UTF-8", "HOME": "/root"}


def _of_all() -> list[str]:
    """Return the folders of this machine's distribution that a root shares, read-only."""
    return ["usr", *(name for name in ("bin", "sbin", "lib", "lib64") if not Path("/", name).is_symlink())]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extras", default="train,report,kubernetes")
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    built = build(asked.folder.resolve(), extras=asked.extras)
    sys.exit(subprocess.run(built.program([*built.entrypoint, "--help"], read_only=True), check=False).returncode)
