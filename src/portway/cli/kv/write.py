"""``kv put``, ``kv delete``, ``kv import``."""

from __future__ import annotations

import json
import posixpath

import click

from portway.cli.client import ApiError, Client
from portway.cli.command import UINT, Wrong, command, fail, flag
from portway.cli.data import data
from portway.cli.kv.key import decoded, path

_EXISTS = "CAS performed with index=0 and key already exists."


@command("put", "KEY [DATA]", server=True)
@flag("acquire", bool, "Lock the key for the -session; the key is made if there is none.")
@flag("base64", bool, "DATA is in base64.")
@flag("cas", bool, "Write only if the entry is still at -modify-index; 0 means there is none.")
@flag("flags", UINT, "Number to keep with the entry, of 64 bits; it means what you wish.")
@flag("modify-index", UINT, "Index of the entry that -cas compares with.")
@flag("release", bool, "Unlock the key, which the -session holds.")
@flag("session", str, "ID of a session, for -acquire and -release.")
def put(
    client: Client,
    args: tuple[str, ...],
    acquire: bool,
    base64: bool,
    cas: bool,
    flags: int,
    modify_index: int,
    release: bool,
    session: str,
) -> None:
    """Write the value of a key; DATA may be empty.

    DATA that starts with @ names a file to read; - is standard input. After -- it may start with
    a dash.
    """
    if not args:
        raise Wrong("Error! Missing KEY argument")
    if len(args) > 2:
        raise Wrong(f"Error! Too many arguments (expected 1 or 2, got {len(args)})")
    if (acquire or release) and not session:
        raise Wrong("Error! Missing -session (required with -acquire and -release)")
    key, content = args[0], _content(args[1:], base64)
    if key.startswith("/"):
        fail(f"Error! Failed writing data: Invalid key. Key must not begin with a '/': {key}")
    params: dict[str, object] = {"flags": flags} if flags else {}
    failed, done = "CAS failed", f"Success! Data written to: {key}"
    if cas:
        params["cas"] = modify_index
        reason = "CAS failed" if modify_index else _EXISTS
        failed = f"Error! Did not write to {key}: {reason}"
    elif acquire:
        params["acquire"] = session
        failed, done = "Error! Did not acquire lock", f"Success! Lock acquired on: {key}"
    elif release:
        params["release"] = session
        failed, done = "Error! Did not release lock", f"Success! Lock released on: {key}"
    else:
        failed = "Error! Did not write data"
    try:
        answer = client.put(f"kv/{key}", params, content)
        written = answer.json()
    except ApiError as error:
        fail(
            f"Error! Did not write to {key}: {error}"
            if cas
            else f"Error! Failed writing data: {error}"
        )
    if written is not True:
        fail(failed)
    if warning := answer.headers.get("X-Consul-KV-Warning"):
        click.echo(f"Warning: {warning}", err=True)
    click.echo(done)


def _content(args: tuple[str, ...], base64: bool) -> bytes:
    """The value that the argument after the key stands for. Raises Failed."""
    try:
        content = data(args[0]) if args else b""
        return decoded(content) if base64 else content
    except OSError as error:
        fail(f"Error! {error}")
    except ValueError as error:
        fail(f"Error! Cannot base 64 decode data: {error}")


@command("delete", "KEY_OR_PREFIX", server=True)
@flag("cas", bool, "Delete only if the entry is still at -modify-index.")
@flag("modify-index", UINT, "Index of the entry that -cas compares with.")
@flag("recurse", bool, "Delete all keys that start with the prefix.")
def delete(
    client: Client, args: tuple[str, ...], cas: bool, modify_index: int, recurse: bool
) -> None:
    """Delete a key, or all keys that start with a prefix.

    Deleting a key that is not there succeeds.
    """
    if len(args) > 1:
        raise Wrong(f"Too many arguments (expected 1, got {len(args)})")
    key = path(args[0] if args else "")
    if not key and not recurse:
        raise Wrong("Error! Missing KEY argument")
    if cas and not modify_index:
        raise Wrong(
            "Cannot delete a key that does not exist. Provide a -modify-index greater than than 0."
        )
    if modify_index and not cas:
        raise Wrong("Cannot specify -modify-index without -cas!")
    if recurse and cas:
        raise Wrong("Cannot specify both -cas and -recurse!")
    params: dict[str, object] = {"recurse": True} if recurse else {}
    if cas:
        params["cas"] = modify_index
    try:
        deleted = client.delete(f"kv/{key}", params).json()
    except ApiError as error:
        if recurse:
            fail(f"Error! Did not delete prefix {key}: {error}")
        fail(
            f"Error! Did not delete key {key}: {error}"
            if cas
            else f"Error deleting key {key}: {error}"
        )
    if deleted is not True:
        fail(f"Error! Did not delete key {key}: CAS failed")
    if recurse:
        click.echo(f"Success! Deleted keys with prefix: {key}")
    else:
        click.echo(f"Success! Deleted key: {key}")


@command("import", "[DATA]", server=True)
@flag("prefix", str, "Path to write the keys below.")
def import_(client: Client, args: tuple[str, ...], prefix: str) -> None:
    """Write keys from the JSON that kv export printed.

    DATA is that JSON, @ and the name of a file that holds it, or - for standard input.
    """
    if not args:
        raise Wrong("Error! Missing DATA argument")
    if len(args) > 1:
        raise Wrong(f"Error! Too many arguments (expected 1, got {len(args)})")
    if not args[0]:
        raise Wrong("Error! Empty DATA argument")
    try:
        entries = _entries(data(args[0]))
    except OSError as error:
        fail(f"Error! {error}")
    except ValueError as error:
        fail(f"Cannot unmarshal data: {error}")
    for key, flags, value in entries:
        try:
            content = decoded(value)
        except ValueError as error:
            fail(f"Error base 64 decoding value for key {key}: {error}")
        whole = posixpath.join(path(prefix), key) if prefix else key
        try:
            client.put(f"kv/{whole}", {"flags": flags} if flags else (), content)
        except ApiError as error:
            fail(f"Error! Failed writing data for key {whole}: {error}")
        click.echo(f"Imported: {whole}")


def _entries(text: bytes) -> list[tuple[str, int, str]]:
    """Key, flags and value in base64 of each entry. Raises ValueError, saying which is wrong."""
    tree = json.loads(text)
    if tree is None:
        return []
    if not isinstance(tree, list):
        raise ValueError("it is not a list of entries, as kv export prints")
    found = []
    for number, entry in enumerate(tree):
        key, flags, value = (
            (entry.get("key"), entry.get("flags", 0), entry.get("value", ""))
            if isinstance(entry, dict)
            else (None, 0, "")
        )
        if not isinstance(key, str) or not path(key):
            raise ValueError(f"entry {number}: key is missing or not text")
        if not isinstance(flags, int) or isinstance(flags, bool) or not 0 <= flags < 1 << 64:
            raise ValueError(f"entry {number} ({key}): flags is not a number of 64 bits")
        if not isinstance(value, str):
            raise ValueError(f"entry {number} ({key}): value is not base64 text")
        found.append((path(key), flags, value))
    return found
