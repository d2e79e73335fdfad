"""Checks passwords for ``basicAuth`` in the control process, where hashing may take its time.

Envoy's workers ask over HTTP on a private socket and remember who passed; only a password
they have not seen comes here. Hashes run in a few threads, so the event loop stays free;
identical questions that come at the same time share one computation; the number of questions
under way is bounded. An unknown user costs as much time as a known one.

Known hashes, those of Apache's ``htpasswd``: bcrypt (``$2a$``, ``$2b$``, ``$2x$``, ``$2y$``),
MD5 (``$apr1$``, ``$1$``), SHA-1 (``{SHA}``), and crypt's SHA-2 (``$5$``, ``$6$``), which
Traefik does not know.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import bcrypt

PATH: Final = "/basic/"
MAX_CREDENTIALS: Final = 8192  # bytes of an Authorization header
_MAX_WAITING: Final = 256  # distinct questions under way
_THREADS: Final = 2
_MAX_FILE: Final = 16 << 20  # bytes of a users file


class UnknownListError(LookupError):
    """No user list is registered under that id."""


class BusyError(RuntimeError):
    """Too many passwords are being checked at the moment."""


class UsersError(ValueError):
    """A user list that cannot be used; the message says why, without any secret in it."""


def parse_users(users: Iterable[str], users_file: str = "") -> dict[str, str]:
    """User names to hashes, from ``name:hash`` entries after the lines of a file (htpasswd
    form; blank lines and ``#`` comments skipped). A later entry for a name wins.

    Raises :class:`UsersError`, also for a file that cannot be read and for no users at all.
    """
    entries: list[tuple[str, str]] = []
    if users_file:
        lines = enumerate(_read(users_file).split("\n"), 1)
        for number, line in lines:
            text = line.strip()
            if text and not text.startswith("#"):
                entries.append((f"usersFile {users_file} line {number}", text))
    entries += ((f"users[{index}]", user) for index, user in enumerate(users))
    found: dict[str, str] = {}
    for place, text in entries:
        name, colon, digest = text.partition(":")
        if not colon or ":" in digest:
            raise UsersError(
                f"{place} is not name:hash; write a line as htpasswd prints it"
                " (in a compose file every $ of it is doubled)"
            )
        if any(ord(c) < 0x20 or ord(c) == 0x7F for c in name):
            raise UsersError(f"{place} has a control character in the user's name")
        found[name] = digest
    if not found:
        raise UsersError(
            f"no users found in {users_file or 'users'}; write users as name:hash, as htpasswd"
            " prints them"
        )
    return found


def _read(users_file: str) -> str:
    try:
        with Path(users_file).open("rb") as file:
            body = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise UsersError(f"usersFile {users_file}: {error.strerror}") from None
    if len(body) > _MAX_FILE:
        raise UsersError(f"usersFile {users_file} is larger than {_MAX_FILE >> 20} MiB")
    return body.decode("utf-8", "surrogateescape")


def known_hash(digest: str) -> bool:
    """Whether passwords can be checked against this hash at all."""
    return _verifier(digest) is not None


def verify(password: bytes, digest: str) -> bool:
    """Whether ``digest`` is of this password; False for a hash of no known form."""
    check = _verifier(digest)
    try:
        return check is not None and check(password, digest)
    except ValueError:  # the known form, but damaged
        return False


Verifier = Callable[[bytes, str], bool]


def _verifier(digest: str) -> Verifier | None:
    return next((check for form, check in _FORMS if form.fullmatch(digest)), None)


def _bcrypt(password: bytes, digest: str) -> bool:
    # bcrypt uses 72 bytes and ignores the rest, as Go's does. The variants differ for faulty
    # old implementations only.
    return bcrypt.checkpw(password[:72], b"$2b$" + digest[4:].encode())


def _sha1(password: bytes, digest: str) -> bool:
    made = base64.b64encode(hashlib.sha1(password, usedforsecurity=False).digest())
    return hmac.compare_digest(made, digest.removeprefix("{SHA}").encode())


def _crypt(password: bytes, digest: str) -> bool:
    from passlib import hash as schemes  # slow to import, and often not needed

    scheme = {
        "$apr1": schemes.apr_md5_crypt,
        "$1": schemes.md5_crypt,
        "$5": schemes.sha256_crypt,
        "$6": schemes.sha512_crypt,
    }[digest[: digest.index("$", 1)]]
    return bool(scheme.verify(password, digest))


_BASE64 = r"[./0-9A-Za-z]"
_FORMS: Sequence[tuple[re.Pattern[str], Verifier]] = (
    (re.compile(rf"\$2[abxy]\$\d\d\${_BASE64}{{53}}"), _bcrypt),
    (re.compile(rf"\$(?:apr1|1)\$[^$:]{{0,8}}\${_BASE64}{{22}}"), _crypt),
    (re.compile(r"\{SHA\}[+/0-9A-Za-z]{27}="), _sha1),
    (re.compile(rf"\$5\$(?:rounds=\d{{1,9}}\$)?[^$:]{{0,16}}\${_BASE64}{{43}}"), _crypt),
    (re.compile(rf"\$6\$(?:rounds=\d{{1,9}}\$)?[^$:]{{0,16}}\${_BASE64}{{86}}"), _crypt),
)


def credentials(authorization: bytes) -> tuple[bytes, bytes] | None:
    """User and password of an ``Authorization`` header (RFC 7617), None when it has none.
    The scheme's case does not matter."""
    if len(authorization) > MAX_CREDENTIALS or authorization[:6].lower() != b"basic ":
        return None
    encoded = authorization[6:].rstrip(b" ")
    if len(encoded) % 4:  # the decoder does not mind one = too many
        return None
    try:
        text = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return None
    user, colon, password = text.partition(b":")
    return (user, password) if colon else None


class _List(NamedTuple):
    users: tuple[str, ...]
    users_file: str
    stamp: tuple[int, int, int] | None  # inode, size and time of the file as read
    hashes: Mapping[bytes, str]
    decoy: str  # what unknown users' passwords are checked against


class Checker:
    """The user lists in force, by id, and the checks under way."""

    def __init__(self) -> None:
        self._lists: dict[str, _List] = {}
        self._under_way: dict[tuple[str, bytes], asyncio.Task[bool]] = {}
        self._secret = secrets.token_bytes(32)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="passwords")

    def register(self, id: str, users: Iterable[str], users_file: str = "") -> None:  # noqa: A002
        """Put a user list in force under ``id``, in place of what was there.

        A users file is read again when it has changed, at the next question about the list.
        Raises :class:`UsersError`.
        """
        self._lists[id] = _load(tuple(users), users_file)

    def forget(self, id: str) -> None:  # noqa: A002
        """Drop a list; questions about it raise :class:`UnknownListError` from now on."""
        self._lists.pop(id, None)

    async def check(self, id: str, authorization: bytes) -> str | None:  # noqa: A002
        """The user an ``Authorization`` header proves to be, None when it proves nothing.

        Raises :class:`UnknownListError`, :class:`BusyError` and, when a changed users file has
        become useless, :class:`UsersError`.
        """
        users = self._current(id)
        given = credentials(authorization)
        if given is None:
            return None
        user, password = given
        digest = users.hashes.get(user)
        tried = users.decoy if digest is None else digest
        right = await self._verify(password, tried)
        return user.decode("utf-8", "surrogateescape") if right and digest is not None else None

    async def close(self) -> None:
        """Stop checking."""
        for task in list(self._under_way.values()):
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _current(self, id: str) -> _List:  # noqa: A002
        users = self._lists.get(id)
        if users is None:
            raise UnknownListError(id)
        if users.users_file and users.stamp != _stamp(users.users_file):
            users = self._lists[id] = _load(users.users, users.users_file)
        return users

    async def _verify(self, password: bytes, digest: str) -> bool:
        key = (digest, hmac.digest(self._secret, password, "sha256"))
        task = self._under_way.get(key)
        if task is None:
            if len(self._under_way) >= _MAX_WAITING:
                raise BusyError
            task = asyncio.create_task(self._compute(password, digest))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return await asyncio.shield(task)

    async def _compute(self, password: bytes, digest: str) -> bool:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, verify, password, digest)


def _load(users: tuple[str, ...], users_file: str) -> _List:
    stamp = _stamp(users_file) if users_file else None
    hashes = parse_users(users, users_file)
    decoy = next((h for h in hashes.values() if known_hash(h)), next(iter(hashes.values())))
    by_bytes = {name.encode("utf-8", "surrogateescape"): h for name, h in hashes.items()}
    return _List(users, users_file, stamp, by_bytes, decoy)


def _stamp(users_file: str) -> tuple[int, int, int] | None:
    try:
        stat = Path(users_file).stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


Headers = Iterable[tuple[bytes, bytes]]


async def handle_basic(
    checker: Checker, path: str, headers: Headers
) -> tuple[int, list[tuple[bytes, bytes]]]:
    """Answer Envoy's question ``GET /basic/<id>``: status and headers, never a body.

    200 names the user in ``x-user``; 401 is a wrong password; every other status means that
    nothing could be said, and the request must not pass.
    """
    authorization = next((v for k, v in headers if k.lower() == b"authorization"), b"")
    try:
        user = await checker.check(path.removeprefix(PATH), authorization)
    except UnknownListError:
        return 404, []
    except (BusyError, UsersError):
        return 503, []
    if user is None:
        return 401, []
    return 200, [(b"x-user", user.encode("utf-8", "surrogateescape"))]
