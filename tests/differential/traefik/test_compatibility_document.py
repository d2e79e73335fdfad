"""``docs/compatibility.md`` and the suite name the same differences."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from . import test_refusals
from .case import load
from .facts import LEFT_OUT

DOCUMENT = Path(__file__).parents[3] / "docs" / "compatibility.md"
_ENTRY = re.compile(r"^#{3,4} `([a-z0-9-]+)`", re.MULTILINE)
_UNMEASURED = re.compile(r"^\*Not in the corpus: .+\*$", re.MULTILINE)


def _entries() -> dict[str, str]:
    """Every entry of the document: its id and its text up to the next heading."""
    text = DOCUMENT.read_text()
    found = list(_ENTRY.finditer(text))
    entries = {}
    for match in found:
        end = re.compile(r"^#", re.MULTILINE).search(text, match.end())
        entries[match[1]] = text[match.end() : end.start() if end else len(text)]
    assert len(entries) == len(found), "an id is used twice"
    return entries


ENTRIES = _entries()
NAMED = {
    *(one.entry for case in load()[1] for one in (*case.differs, *case.widespread)),
    *LEFT_OUT,
    test_refusals.ENTRY,
}


@pytest.mark.parametrize("entry", sorted(NAMED))
def test_named_entry_exists(entry: str) -> None:
    assert entry in ENTRIES, f"the suite names {entry!r}; write it down in {DOCUMENT.name}"


@pytest.mark.parametrize("entry", ENTRIES)
def test_entry_is_measured_or_says_why_not(entry: str) -> None:
    unmeasured = _UNMEASURED.search(ENTRIES[entry]) is not None
    if entry in NAMED:
        assert not unmeasured, "it is in the corpus: remove the line that says it is not"
    else:
        assert unmeasured, "no case names it: add one, or a line '*Not in the corpus: why.*'"
