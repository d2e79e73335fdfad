"""Where the clients come from: pinned packages, kept in the environment's directory.

Each function fetches on the first use and answers from what is kept afterwards. On a machine that
cannot fetch, the test that asked is skipped.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).parents[2]
_CACHE = _REPOSITORY / ".venv" / "clients"
_LONGEST = 2400.0  # seconds of one installation, or of building a large program


def sdist(name: str, version: str, sha256: str, leave_out: Sequence[str] = ()) -> Path:
    """The unpacked source distribution of a PyPI package, less the files in ``leave_out``."""
    with _locked() as cache:
        archives = cache / "sdists"
        archive = archives / f"{name.replace('-', '_')}-{version}.tar.gz"
        if not archive.exists():
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            wanted = [f"{name}=={version}", "--no-binary", ":all:", "--dest", str(archives)]
            _fetch([*pip, *wanted], f"{name} {version} from PyPI")
        if (found := hashlib.sha256(archive.read_bytes()).hexdigest()) != sha256:
            archive.unlink()
            raise AssertionError(f"{archive.name} is not the pinned one: its SHA-256 is {found}")
        target = cache / f"{name}-{version}"
        if not target.exists():
            partial = cache / f"{name}-{version}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            with tarfile.open(archive) as content:
                content.extractall(partial, filter="data")
            (only,) = partial.iterdir()
            for file in leave_out:
                (only / file).unlink()
            only.rename(target)
            partial.rmdir()
        return target


def python_with(name: str, *requirements: str) -> Path:
    """The interpreter of a virtual environment that has these packages.

    What is not pinned here has the version that this project's own dependencies have.
    """
    with _locked() as cache:
        home = cache / name
        stamp, wanted = home / "installed", "\n".join(requirements)
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(home, ignore_errors=True)
            what = f"{name} from PyPI"
            _fetch([sys.executable, "-m", "venv", str(home)], what)
            pip = [str(home / "bin" / "python"), "-m", "pip", "install", "--quiet"]
            _fetch(
                [*pip, "--constraint", str(_REPOSITORY / "constraints.txt"), *requirements], what
            )
            stamp.write_text(wanted)
        return home / "bin" / "python"


def node_modules(name: str, *packages: str) -> Path:
    """A directory whose ``node_modules`` has these packages, all pinned (``name@version``)."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    with _locked() as cache:
        home = cache / name
        stamp, wanted = home / "installed", "\n".join(packages)
        if not stamp.exists() or stamp.read_text() != wanted:
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            npm = ["npm", "install", "--prefix", str(home), "--no-audit", "--no-fund"]
            _fetch([*npm, "--no-save", "--ignore-scripts", *packages], f"{name} from npm")
            stamp.write_text(wanted)
        return home


def go_program(source: Path) -> Path:
    """The program of a Go module, whose ``go.sum`` pins what it is made of."""
    if shutil.which("go") is None:
        pytest.skip("go is not installed")
    files = (source / name for name in ("go.mod", "go.sum", "main.go"))
    version = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    with _locked() as cache:
        program = cache / f"{source.name}-{version[:16]}"
        if not program.exists():
            build = ["go", "build", "-trimpath", "-o", str(program), "."]
            _fetch(build, f"the Go modules of {source.name}", source)
        return program


def go_tool(source: Path, package: str) -> Path:
    """A program of another Go module, which the module in ``source`` requires and pins."""
    if shutil.which("go") is None:
        pytest.skip("go is not installed")
    files = (source / name for name in ("go.mod", "go.sum"))
    version = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    with _locked() as cache:
        program = cache / f"{package.rpartition('/')[2]}-{version[:16]}"
        if not program.exists():
            build = ["go", "build", "-trimpath", "-buildvcs=false", "-o", str(program), package]
            _fetch(build, f"the Go modules of {package}", source)
        return program


@contextmanager
def _locked() -> Iterator[Path]:
    """The directory, for one process at a time."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield _CACHE


def _fetch(command: Sequence[str], what: str, directory: Path | None = None) -> None:
    done = subprocess.run(
        command,
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LONGEST,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"needs {what}, which cannot be fetched: {done.stdout.strip()[-500:]}")
