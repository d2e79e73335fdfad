"""Images for tests, built on this machine: no registry is asked.

``whoami`` stands in for the small web servers of the guides; Portway's own image is built from
the project's Dockerfile on a Debian made by debootstrap.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WHOAMI_SOURCE = Path(__file__).with_name("whoami.c")
PORTWAY_IMAGE = "portway-test:latest"
_BASE_IMAGE = "portway-test-base:bookworm"
_SOURCES = "portway.sources"  # label: the digest of what an image was made of
_STAND_IN = "portway.stand-in"  # label of what stands in for a public image


def whoami_binary(directory: Path) -> Path:
    """Compile the static whoami into a directory and return its path."""
    binary = directory / "whoami"
    compiler = ["gcc", "-O2", "-static", "-pthread", "-o", str(binary), str(WHOAMI_SOURCE)]
    subprocess.run(compiler, check=True)
    return binary


def whoami_image(tag: str, port: int = 80) -> str:
    """Import an image whose container answers on a port with its host name and the request."""
    with tempfile.TemporaryDirectory() as directory:
        binary = whoami_binary(Path(directory))
        command = f'CMD ["/whoami", "{port}"]'
        return _import(binary, tag, command, f"EXPOSE {port}")


def stand_in(name: str, port: int = 80) -> str:
    """A whoami under the name of a public image, unless this machine has the real one.

    Raises RuntimeError then, for it would have to be replaced.
    """
    if _inspect(name, "{{.Id}}") and _inspect(name, _label(_STAND_IN)) != "yes":
        raise RuntimeError(f"{name} is not replaced by a stand-in: this machine has the real image")
    return whoami_image(name, port)


def traefik_image(tag: str) -> str:
    """Import an image of the Traefik that is installed beside the tests."""
    binary = shutil.which("traefik", path=str(Path(sys.executable).parent))
    if binary is None:
        raise RuntimeError("no traefik beside this Python: install the dev extra")
    return _import(Path(binary), tag, 'ENTRYPOINT ["/traefik"]')


def _import(binary: Path, tag: str, *changes: str) -> str:
    """Make an image of one static binary."""
    flags = [part for change in (*changes, f"LABEL {_STAND_IN}=yes") for part in ("-c", change)]
    tar = ["tar", "-C", str(binary.parent), "--dereference", "-c", binary.name]
    archive = subprocess.run(tar, check=True, stdout=subprocess.PIPE).stdout
    command = ["docker", "import", *flags, "-", tag]
    subprocess.run(command, input=archive, check=True, stdout=subprocess.DEVNULL)
    return tag


def portway_image() -> str:
    """Build Portway's image from the project's Dockerfile; reused while the sources are equal."""
    digest = _digest()
    if _inspect(PORTWAY_IMAGE, _label(_SOURCES)) == digest:
        return PORTWAY_IMAGE
    _base_image()
    with tempfile.TemporaryDirectory() as directory:
        context = Path(directory)
        wheels = context / "dist" / "wheels"
        source = context / "source"
        shutil.copytree(
            ROOT / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__")
        )
        for path in (ROOT / "pyproject.toml", *ROOT.glob("README*"), *ROOT.glob("LICENSE*")):
            shutil.copy(path, source / path.name)
        pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(wheels)]
        subprocess.run([*pip, "-c", str(ROOT / "constraints.txt"), str(source)], check=True)
        shutil.copy(ROOT / "Dockerfile", context / "Dockerfile")
        build = ["docker", "build", "--quiet", "--build-arg", f"BASE={_BASE_IMAGE}"]
        build += ["--label", f"{_SOURCES}={digest}", "-t", PORTWAY_IMAGE, str(context)]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    return PORTWAY_IMAGE


def _base_image() -> None:
    if _inspect(_BASE_IMAGE, "{{.Id}}"):
        return
    with tempfile.TemporaryDirectory() as directory:
        include = "--include=python3,python3-venv,ca-certificates"
        subprocess.run(
            ["debootstrap", "--variant=minbase", include, "bookworm", directory],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        with subprocess.Popen(["tar", "-C", directory, "-c", "."], stdout=subprocess.PIPE) as tar:
            subprocess.run(
                ["docker", "import", "-", _BASE_IMAGE],
                stdin=tar.stdout,
                check=True,
                stdout=subprocess.DEVNULL,
            )


def _digest() -> str:
    digest = hashlib.sha256()
    files = sorted(p for p in (ROOT / "src").rglob("*") if p.suffix in (".py", ".lua"))
    for path in (*files, ROOT / "pyproject.toml", ROOT / "Dockerfile", ROOT / "constraints.txt"):
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _inspect(image: str, form: str) -> str:
    """What the daemon says about an image; empty when there is none."""
    command = ["docker", "image", "inspect", "-f", form, image]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip()


def _label(name: str) -> str:
    return f'{{{{index .Config.Labels "{name}"}}}}'
