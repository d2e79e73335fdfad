"""The file provider: dynamic configuration from a file, or from a directory of them.

Each file counts as a whole: one that does not parse or names something unknown changes
nothing, its last good content keeps serving, and the reason is a standing problem. The
others go on. Changes are noticed through inotify and, where that is silent (bind mounts,
network file systems, targets of links), by looking once a second.

A content that looks half-written (see :func:`reading.patience`) waits until it has stood
unchanged for a moment. A file that vanishes from the directory takes its objects with it; when
the directory itself or the one configured file vanishes, what it said keeps serving.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from portway.edge.providers.file import reading
from portway.edge.providers.file.definitions import Definitions
from portway.edge.providers.file.reading import Key, Missing, Reading
from portway.edge.providers.provider import Change, Emit, Object, Report
from portway.edge.static import File

log = structlog.get_logger(__name__)

LOOK: Final = 1.0  # seconds between looks when nothing notifies
QUIET: Final = 0.03  # seconds without a change of any file that end a burst of writes
LONGEST: Final = 1.0  # seconds after which a burst ends in any case
RACY_NS: Final = 50_000_000  # a signature this young, in ns, may miss the next change
MAX_PROBLEMS: Final = 100

_STEP, _DEBOUNCE = 20, 50  # ms in which the notifier collects events
Signature = tuple[int, ...]
UNSETTLED: Final[Signature] = (-1,)


class _Content(NamedTuple):
    """A file's newest content, accepted or not."""

    data: bytes | None  # None: not there
    since: float  # when it was first seen
    reading: Reading


class FileProvider:
    """Reports what the dynamic files say."""

    def __init__(self, options: File, name: str = "file") -> None:
        self.name = name
        self._options = options
        self._signatures: dict[Path, Signature] = {}
        self._newest: dict[Path, _Content] = {}
        self._accepted: dict[Path, bytes | None] = {}
        self._definitions = Definitions()
        self._touched: set[Key] = set()
        self._reported: dict[Key, Object] = {}
        self._missing: tuple[str, ...] = ()
        self._unreadable: dict[Path, str] = {}
        self._problems: dict[Path, tuple[str, ...]] = {}
        self._duplicates: dict[Key, tuple[str, ...]] = {}
        self._shown: list[str] = []
        self._wake = asyncio.Event()
        self._reload = False

    def reload(self) -> None:
        """Read everything again now, as SIGHUP asks; also when files are not watched."""
        self._reload = True
        self._wake.set()

    async def run(self, emit: Emit) -> None:
        """Watch the files until cancelled; reports whatever changes."""
        filename, directory = self._options.filename, self._options.directory
        if bool(filename) == bool(directory):
            hint = ", not both" if filename else ""
            text = f"providers.{self.name}: set filename or directory{hint}"
            emit(Report(self.name, (), [text]))
            await asyncio.Event().wait()
        await self._look()
        self._settle(at_once=True)
        self._report(emit, first=True)
        notifier = asyncio.create_task(self._notify()) if self._options.watch else None
        try:
            await self._follow(emit)
        finally:
            if notifier:
                notifier.cancel()
                await asyncio.gather(notifier, return_exceptions=True)

    async def _follow(self, emit: Emit) -> None:
        due: float | None = None
        while True:
            limit = min(LOOK, LOOK if due is None else due) if self._options.watch else None
            with suppress(TimeoutError):
                async with asyncio.timeout(limit):
                    await self._wake.wait()
            self._wake.clear()
            reload, self._reload = self._reload, False
            if reload:
                self._signatures.clear()
                await self._look(again=True)
            else:
                await self._burst()
            due = self._settle(at_once=reload)
            self._report(emit)

    async def _burst(self) -> None:
        """Look until the files hold still for a moment."""
        loop = asyncio.get_running_loop()
        end = loop.time() + LONGEST
        while await self._look():
            if self._reload or loop.time() > end:
                return
            await asyncio.sleep(QUIET)

    async def _notify(self) -> None:
        """Wake up when inotify says that something may have changed."""
        from watchfiles import awatch

        filename = Path(self._options.filename).name
        root = Path(self._options.directory or Path(self._options.filename).parent)

        def concerns(_: object, path: str) -> bool:
            # A ConfigMap changes by moving its link "..data".
            return not filename or Path(path).name == filename or Path(path).name.startswith("..")

        while True:
            watched = _signature(root)[:2]
            try:
                async for changes in awatch(
                    root,
                    watch_filter=concerns,
                    debounce=_DEBOUNCE,
                    step=_STEP,
                    rust_timeout=int(LOOK * 1000),
                    yield_on_timeout=True,
                    recursive=not filename,
                ):
                    if changes:
                        self._wake.set()
                    if _signature(root)[:2] != watched:  # another directory has its name now
                        break
            except (OSError, RuntimeError) as error:
                log.debug("files cannot be watched, looking instead", reason=str(error))
            await asyncio.sleep(LOOK)

    # ---- looking

    async def _look(self, again: bool = False) -> bool:
        """Read what is new on disk; whether anything was. ``again``: decode equal bytes too."""
        try:
            paths = await asyncio.to_thread(
                reading.find, self._options.filename, self._options.directory
            )
        except Missing as error:
            # Better to serve what was there than nothing while a mount is being replaced.
            self._missing = (str(error),)
            return False
        self._missing = ()
        signatures = await asyncio.to_thread(lambda: {path: _signature(path) for path in paths})
        changed, now = False, time.time_ns()
        for path in signatures.keys() | self._newest.keys():
            signature = signatures.get(path, ())
            if signature != self._signatures.get(path):
                # A file written a moment ago may change again within the clock's resolution.
                settled = not signature or now - signature[-1] > RACY_NS
                self._signatures[path] = signature if settled else UNSETTLED
                changed |= await self._read(path, again)
        return changed

    async def _read(self, path: Path, again: bool) -> bool:
        try:
            data = await asyncio.to_thread(reading.read, path)
        except Missing as error:
            self._unreadable[path] = str(error)
            return False
        self._unreadable.pop(path, None)
        newest = self._newest.get(path)
        if newest is not None and newest.data == data and not again:
            return False
        found = Reading({}) if data is None else await asyncio.to_thread(reading.decode, path, data)
        self._newest[path] = _Content(data, asyncio.get_running_loop().time(), found)
        return True

    # ---- deciding

    def _settle(self, at_once: bool) -> float | None:
        """Accept contents that stood long enough; seconds until the next one will have."""
        now = asyncio.get_running_loop().time()
        waits: list[float] = []
        for path, content in list(self._newest.items()):
            old = self._accepted.get(path)
            refused = content.reading.objects is None
            needed = reading.patience(old, content.data, refused)
            if content.data == old or at_once:
                needed = 0.0
            if (wait := content.since + needed - now) > 0:
                waits.append(wait)
            else:
                self._accept(path, content)
        return min(waits, default=None)

    def _accept(self, path: Path, content: _Content) -> None:
        objects, problems = content.reading
        for problem in problems:
            if problem not in self._problems.get(path, ()):
                log.warning("dynamic file", problem=problem)
        self._problems[path] = problems
        if objects is None:
            return
        self._touched |= self._definitions.put(path, objects)
        if content.data is not None:
            self._accepted[path] = content.data
            return
        for known in (self._newest, self._accepted, self._problems, self._signatures):
            known.pop(path, None)

    # ---- reporting

    def _report(self, emit: Emit, first: bool = False) -> None:
        touched, self._touched = self._touched, set()
        changes: list[Change] = []
        for key in sorted(touched):
            self._duplicates[key] = self._definitions.duplicates(key)
            value = self._definitions.value(key)
            if value == self._reported.get(key):
                continue
            if value is None:
                del self._reported[key]
            else:
                self._reported[key] = value
            changes.append(Change(*key, value))
        problems = self._texts()
        if changes or problems != self._shown or first:
            news = problems if problems != self._shown or first else None
            self._shown = problems
            emit(Report(self.name, changes, news))

    def _texts(self) -> list[str]:
        texts = [*self._missing, *self._unreadable.values()]
        texts += [text for path in sorted(self._problems) for text in self._problems[path]]
        texts += [text for key in sorted(self._duplicates) for text in self._duplicates[key]]
        if len(texts) > MAX_PROBLEMS:
            left = len(texts) - MAX_PROBLEMS
            texts = [*texts[:MAX_PROBLEMS], f"and {left} more problems"]
        return texts


def _signature(path: Path) -> Signature:
    """What changes when a file's content does; empty when it is not there."""
    try:
        found = os.stat(path)  # noqa: PTH116 (it is half the cost of Path.stat)
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
