"""Rules for the names of keys, as documented for 1.22."""

from __future__ import annotations


def key_problem(key: str) -> str:
    """What is wrong with a key, or nothing."""
    if key != key.strip(" "):
        return "invalid key name, leading/trailing spaces are not allowed"
    if ".." in key.split("/"):
        return "invalid key name, path traversal is not allowed"
    return ""


def clean(key: str) -> str:
    """The key without empty and ``.`` segments; a trailing slash stays."""
    if "//" not in key and not key.startswith(("/", "./")) and "/./" not in key + "/":
        return "" if key == "." else key
    cleaned = "/".join(part for part in key.split("/") if part not in ("", "."))
    return cleaned + "/" if key.endswith("/") and cleaned else cleaned


def cut(keys: list[str], prefix: str, separator: str) -> list[str]:
    """Key names cut after the first separator past the prefix, each once."""
    if not separator:
        return keys
    names: dict[str, None] = {}
    for key in keys:
        end = key.find(separator, len(prefix))
        names[key if end < 0 else key[: end + len(separator)]] = None
    return list(names)
