"""What every config entry has: a kind, a name, who may read and write it, and checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, NewType

from portway.discovery.model import Wire

if TYPE_CHECKING:
    from portway.discovery.acl.authorizer import Authorizer

GoDuration = NewType("GoDuration", str)
"""A duration as Go prints it (``1m30s``), empty for none; input may also be nanoseconds."""
Nanoseconds = NewType("Nanoseconds", int)
"""A duration that is shown as a number of nanoseconds, as Go does; input may be ``10s``."""
Number = int | float
"""A number that is shown without a fraction when it is whole."""
Access = Literal["none", "service", "mesh", "intention"]

WILDCARD = "*"
_MOST_META = 64
_LONGEST_META_KEY = 128
_LONGEST_META_VALUE = 512


class EntryError(Exception):
    """The entry cannot be; the message is the documented one."""


class Entry(Wire, kw_only=True, tag_field="Kind"):
    """A config entry. Subclasses are its kinds; they are shown with their own fields first.

    ``hash`` is of the content: two entries with the same content have the same hash.
    """

    read_access: ClassVar[Access] = "service"
    """What reading needs: permission to read the service of the name, the mesh, or nothing."""
    write_access: ClassVar[Access] = "service"
    singleton: ClassVar[str] = ""
    """The only name entries of the kind have, where there is only one."""
    named: ClassVar[bool] = True
    """Whether the name is written at all."""

    name: str
    meta: dict[str, str] = {}
    hash: int = 0
    create_index: int = 0
    modify_index: int = 0

    @property
    def kind(self) -> str:
        """The kind, as ``Kind`` shows it."""
        return kind_name(type(self))

    def normalized(self) -> Entry:
        """The entry with values in the form they are kept in, and defaults that are shown."""
        return self

    def check(self) -> None:
        """Raise EntryError unless the entry is right in itself."""

    def reaches(self) -> list[str]:
        """The other services that traffic goes to because of this entry."""
        return []

    @classmethod
    def may_read(cls, name: str, authorizer: Authorizer) -> bool:
        """Whether an entry of this kind and name may be seen."""
        if cls.read_access == "none":
            return True
        if cls.read_access == "mesh":
            return authorizer.allows("mesh", "read")
        return authorizer.allows(cls.read_access, "read", name)

    @classmethod
    def require_read(cls, name: str, authorizer: Authorizer) -> None:
        """Raise PermissionDeniedError unless ``may_read``."""
        if not cls.may_read(name, authorizer):
            named = "" if cls.read_access == "mesh" else name
            authorizer.require(cls.read_access, "read", named)

    @classmethod
    def require_write(cls, name: str, authorizer: Authorizer) -> None:
        """Raise PermissionDeniedError unless an entry of this kind and name may be written."""
        if cls.write_access == "mesh":
            authorizer.require("mesh", "write")
        else:
            authorizer.require(cls.write_access, "write", name)


def kind_name(kind: type[Entry]) -> str:
    """What ``Kind`` of a class of entries is."""
    return str(kind.__struct_config__.tag)


def listed(problems: Sequence[str]) -> str:
    """All problems in one message."""
    errors = "error" if len(problems) == 1 else "errors"
    lines = "".join(f"\t* {problem}\n" for problem in problems)
    return f"{len(problems)} {errors} occurred:\n{lines}\n"


def check_meta(meta: Mapping[str, str]) -> None:
    """Raise EntryError for metadata beyond the documented bounds."""
    if problems := meta_problems(meta):
        raise EntryError(listed(problems))


def meta_problems(meta: Mapping[str, str]) -> list[str]:
    """What of metadata is beyond the documented bounds."""
    problems = []
    if len(meta) > _MOST_META:
        problems.append(f"Meta exceeds maximum element count {_MOST_META}")
    for key, value in meta.items():
        if len(key) > _LONGEST_META_KEY:
            problems.append(f'Meta key "{key}" exceeds maximum length {_LONGEST_META_KEY}')
        if len(value) > _LONGEST_META_VALUE:
            problems.append(
                f'Meta value for key "{key}" exceeds maximum length {_LONGEST_META_VALUE}'
            )
    return problems


def require_name(name: str) -> None:
    """Raise EntryError for an entry without a name."""
    if not name:
        raise EntryError("Name is required")


def refuse_sameness_group(
    name: str, where: str = "", why: str = "Setting SamenessGroup requires Consul Enterprise"
) -> None:
    """Raise EntryError for a sameness group, which the community edition has none of."""
    if name:
        raise EntryError(f"{where}{why}")
