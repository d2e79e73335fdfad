"""Passwords and the basicAuth middleware, without Envoy."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from portway.edge import passwords
from portway.edge.middlewares import basic_auth
from portway.edge.middlewares.basic_auth import BasicAuth
from portway.edge.middlewares.step import Lua, Place
from portway.edge.passwords import (
    BusyError,
    Checker,
    UnknownListError,
    UsersError,
    handle_basic,
    parse_users,
)

# Made with htpasswd and openssl passwd; every password is "secret".
HASHES = {
    "bcrypt": "$2b$04$w2SWi61ZqRHXbvFD8hie3.KHRJD/9kHXVjhvecg6Bpr9eVUr1it8G",
    "bcrypt-2a": "$2a$04$w2SWi61ZqRHXbvFD8hie3.KHRJD/9kHXVjhvecg6Bpr9eVUr1it8G",
    "bcrypt-2y": "$2y$04$w2SWi61ZqRHXbvFD8hie3.KHRJD/9kHXVjhvecg6Bpr9eVUr1it8G",
    "apr1": "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/",
    "md5": "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1",
    "sha1": "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
    "sha256": "$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.",
    "sha512": "$6$rounds=1000$abcdefgh$"
    "nhYjN017qxiYztzyUpZtPnUQcnLy62KsunSLHNeLahp2EHPlAKmFFlrjEwSXGo2kgY5hR2.peKEg2VGUqIJJu1",
}


def basic(user: str, password: str) -> bytes:
    return b"Basic " + base64.b64encode(f"{user}:{password}".encode())


@pytest.mark.parametrize("digest", HASHES.values(), ids=HASHES)
def test_known_hashes(digest: str) -> None:
    assert passwords.known_hash(digest)
    assert passwords.verify(b"secret", digest)
    for wrong in (b"Secret", b"secret ", b"", b"\xff", b"secret\0"):
        assert not passwords.verify(wrong, digest)


@pytest.mark.parametrize(
    "digest",
    [
        "",
        "secret",
        "{PLAIN}secret",
        "{SSHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
        "{SHA}",
        "$apr1$",
        "apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/",
        "$2b$04$tooshort",
        "$2q$04$w2SWi61ZqRHXbvFD8hie3.KHRJD/9kHXVjhvecg6Bpr9eVUr1it8G",
        "rqXexS6ZhobKA",
    ],
)
def test_everything_else_is_no_hash_and_matches_nothing(digest: str) -> None:
    assert not passwords.known_hash(digest)
    assert not passwords.verify(b"secret", digest)
    assert not passwords.verify(b"", digest)


def test_a_damaged_hash_matches_nothing() -> None:
    assert not passwords.verify(
        b"secret", "$2b$99$w2SWi61ZqRHXbvFD8hie3.KHRJD/9kHXVjhvecg6Bpr9eVUr1it8G"
    )


def test_users_win_over_the_file_and_later_over_earlier(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_bytes(b"# people\n\n  a:1  \r\nb:2\nc:3\nc:4\n")
    assert parse_users(["b:5", "d:6"], str(file)) == {"a": "1", "b": "5", "c": "4", "d": "6"}


@pytest.mark.parametrize(
    ("users", "words"),
    [
        ([], ["no users found in users", "name:hash"]),
        (["a:1", "hunter2"], ["users[1]", "name:hash"]),
        (["a:hunter2:x"], ["users[0]", "name:hash"]),
        (["a\nb:hunter2"], ["users[0]", "control character"]),
    ],
)
def test_bad_lists_are_named_without_their_secrets(users: list[str], words: list[str]) -> None:
    with pytest.raises(UsersError) as error:
        parse_users(users)
    assert all(word in str(error.value) for word in words)
    assert "hunter2" not in str(error.value)


def test_bad_files_are_named(tmp_path: Path) -> None:
    file = tmp_path / "users"
    with pytest.raises(UsersError, match=rf"usersFile {file}: No such file"):
        parse_users(["a:1"], str(file))
    file.write_text("a:1\n\nhunter2\n")
    with pytest.raises(UsersError, match=rf"usersFile {file} line 3 ") as error:
        parse_users([], str(file))
    assert "hunter2" not in str(error.value)
    file.write_text("# nobody\n")
    with pytest.raises(UsersError, match=rf"no users found in {file}"):
        parse_users([], str(file))


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (b"Basic " + base64.b64encode(b"a:b"), (b"a", b"b")),
        (b"bASIC " + base64.b64encode(b"a:b:c"), (b"a", b"b:c")),
        (b"Basic " + base64.b64encode(b":"), (b"", b"")),
        (b"Basic " + base64.b64encode(b"a:b") + b" ", (b"a", b"b")),
        (b"Basic " + base64.b64encode(b"ab"), None),
        (b"Basic " + base64.b64encode(b"a:b") + b"=", None),
        (b"Basic YT pi", None),
        (b"Basic", None),
        (b"", None),
        (b"Bearer " + base64.b64encode(b"a:b"), None),
        (b"Basic " + base64.b64encode(b"a:" + b"b" * 9000), None),
    ],
)
def test_credentials(header: bytes, found: tuple[bytes, bytes] | None) -> None:
    assert passwords.credentials(header) == found


@pytest.fixture
async def checker() -> AsyncIterator[Checker]:
    checker = Checker()
    yield checker
    await checker.close()


async def test_who_a_header_proves_to_be(checker: Checker) -> None:
    checker.register(
        "x", [f"{name}:{digest}" for name, digest in HASHES.items()] + ["é:" + HASHES["sha1"]]
    )
    for name in (*HASHES, "é"):
        assert await checker.check("x", basic(name, "secret")) == name
        assert await checker.check("x", basic(name, "wrong")) is None
    assert await checker.check("x", basic("nobody", "secret")) is None
    assert await checker.check("x", b"nonsense") is None


async def test_lists_come_and_go(checker: Checker) -> None:
    with pytest.raises(UnknownListError):
        await checker.check("x", basic("a", "secret"))
    checker.register("x", ["a:" + HASHES["sha1"]])
    assert await checker.check("x", basic("a", "secret")) == "a"
    checker.register("x", ["b:" + HASHES["sha1"]])
    assert await checker.check("x", basic("a", "secret")) is None
    checker.forget("x")
    with pytest.raises(UnknownListError):
        await checker.check("x", basic("b", "secret"))


async def test_a_changed_file_is_read_again(checker: Checker, tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text("a:" + HASHES["sha1"])
    checker.register("x", [], str(file))
    assert await checker.check("x", basic("a", "secret")) == "a"
    (tmp_path / "new").write_text("bob:" + HASHES["sha1"])
    (tmp_path / "new").rename(file)
    assert await checker.check("x", basic("a", "secret")) is None
    assert await checker.check("x", basic("bob", "secret")) == "bob"
    file.unlink()
    with pytest.raises(UsersError):
        await checker.check("x", basic("bob", "secret"))


class Slow:
    """A verification that counts its calls and waits until it may go on."""

    def __init__(self) -> None:
        self.calls: list[tuple[bytes, str]] = []
        self.go = threading.Event()

    def __call__(self, password: bytes, digest: str) -> bool:
        self.calls.append((password, digest))
        assert self.go.wait(60)
        return password == b"secret"


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    slow = Slow()
    monkeypatch.setattr(passwords, "verify", slow)
    return slow


async def test_the_same_question_is_computed_once(checker: Checker, slow: Slow) -> None:
    checker.register("x", ["a:" + HASHES["sha1"]])
    asked = [asyncio.create_task(checker.check("x", basic("a", "secret"))) for _ in range(50)]
    gone = asyncio.create_task(checker.check("x", basic("a", "secret")))
    await asyncio.sleep(0)
    gone.cancel()  # a client that left does not take the answer from the others
    slow.go.set()
    assert await asyncio.gather(*asked) == ["a"] * 50
    assert len(slow.calls) == 1


async def test_an_unknown_user_costs_a_hash_too(checker: Checker, slow: Slow) -> None:
    slow.go.set()
    checker.register("x", ["pln:text", "a:" + HASHES["bcrypt"]])
    assert await checker.check("x", basic("nobody", "secret")) is None
    assert slow.calls == [(b"secret", HASHES["bcrypt"])]


async def test_too_many_questions_are_refused(checker: Checker, slow: Slow) -> None:
    checker.register("x", ["a:" + HASHES["sha1"]])
    asked = [
        asyncio.create_task(checker.check("x", basic("a", str(number)))) for number in range(256)
    ]
    await asyncio.sleep(0)
    with pytest.raises(BusyError):
        await checker.check("x", basic("a", "one more"))
    assert (await handle_basic(checker, "/basic/x", [(b"authorization", basic("a", "more"))]))[
        0
    ] == 503
    slow.go.set()
    assert set(await asyncio.gather(*asked)) == {None}
    assert await checker.check("x", basic("a", "secret")) == "a"


@pytest.mark.parametrize(
    ("path", "header", "answer"),
    [
        ("/basic/x", basic("é", "secret"), (200, [(b"x-user", "é".encode())])),
        ("/basic/x", basic("é", "wrong"), (401, [])),
        ("/basic/x", b"", (401, [])),
        ("/basic/y", basic("é", "secret"), (404, [])),
    ],
)
async def test_what_envoy_is_told(
    checker: Checker, path: str, header: bytes, answer: tuple[int, list[tuple[bytes, bytes]]]
) -> None:
    checker.register("x", ["é:" + HASHES["sha1"]])
    headers = [(b"Host", b"control"), (b"Authorization", header)]
    assert await handle_basic(checker, path, headers) == answer


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (BasicAuth(), ["no users found"]),
        (BasicAuth(users=["nocolon"]), ["users[0]"]),
        (BasicAuth(users_file="/nonexistent/users"), ["usersFile /nonexistent/users"]),
        (
            BasicAuth(users=["a:b"], header_field="X User"),
            ["headerField 'X User'", "X-WebAuth-User"],
        ),
        (BasicAuth(users=["a:b"], realm="a\r\nSet-Cookie: x"), ["realm", "control characters"]),
    ],
)
def test_problems(options: BasicAuth, words: list[str]) -> None:
    (problem,) = basic_auth.KIND.problems(options)
    assert all(word in problem for word in words)


def test_a_user_who_cannot_log_in_is_noticed() -> None:
    options = BasicAuth(users=["good:" + HASHES["apr1"], "typo:$$apr1$$x", "plain:hunter2"])
    assert not basic_auth.KIND.problems(options)
    notices = basic_auth.KIND.notices(options)
    assert [notice.split(" can never")[0] for notice in notices] == ["user 'typo'", "user 'plain'"]
    assert "hunter2" not in str(notices)


def test_the_id_follows_the_users_and_the_middleware() -> None:
    one = BasicAuth(users=["a:b"])
    ids = {
        basic_auth.user_list(name, options).id
        for name in ("m@file", "n@file")
        for options in (one, BasicAuth(users=["a:c"]), BasicAuth(users=["a:b"], users_file="/x"))
    }
    assert len(ids) == 6
    same = basic_auth.user_list("m@file", BasicAuth(users=["a:b"], realm="other"))
    assert same == basic_auth.user_list("m@file", one)


def test_the_step_knows_no_user() -> None:
    options = BasicAuth(users=["admin:" + HASHES["apr1"]])
    (step,) = basic_auth.KIND.steps(options, Place("m@file", "r@file", "web", tls=False))
    assert isinstance(step, Lua) and step.rejects
    assert "admin" not in str(step) and "apr1" not in str(step)
    assert step.params["challenge"] == 'Basic realm="traefik"'
