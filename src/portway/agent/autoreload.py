"""``auto_reload_config``: the configuration is read again when one of its files changes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from portway.agent.config import Loaded
from portway.agent.config.flags import parse

_QUIET = 500  # milliseconds without a change before the files are read
_SUFFIXES = (".json", ".hcl")
_State = dict[Path, tuple[int, int, int]]


def watched_files(loaded: Loaded) -> Iterator[Path]:
    """The files of the configuration, those of its directories, and the certificates they name."""
    tls = loaded.config.tls_https
    certificates = (tls.ca_file, tls.ca_path, tls.cert_file, tls.key_file)
    yield from (Path(name) for name in (*loaded.config.files, *certificates) if name)
    for name in parse(loaded.arguments).paths:
        if Path(name).is_dir():
            yield from (one for one in Path(name).iterdir() if one.suffix in _SUFFIXES)


def watched_folders(loaded: Loaded) -> set[Path]:
    """Where these files are, and where those may come that are not there yet."""
    folders = {Path(name) for name in parse(loaded.arguments).paths if Path(name).is_dir()}
    return folders | {path.parent for path in watched_files(loaded)}


def state_of(loaded: Loaded) -> _State:
    """What shows that a file has changed, also when it is a link to another one now."""
    state: _State = {}
    for path in watched_files(loaded):
        try:
            found = path.stat()
        except OSError:
            continue
        state[path] = (found.st_ino, found.st_size, found.st_mtime_ns)
    return state


async def watch_files(loaded: Callable[[], Loaded], reload: Callable[[], Awaitable[None]]) -> None:
    """Call ``reload`` after each change of a file, until cancelled.

    ``loaded`` is the configuration as it is then. Whatever happens in the folders is looked at:
    orchestrators put a whole folder of links in the place of another.
    """
    from watchfiles import awatch

    while folders := watched_folders(loaded()):
        known = state_of(loaded())
        async for _ in awatch(*folders, watch_filter=None, debounce=_QUIET, recursive=False):
            if (state := state_of(loaded())) != known:
                known = state
                await reload()
                if watched_folders(loaded()) != folders:
                    break
