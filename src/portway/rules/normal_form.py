"""Rules as alternatives: disjunctive normal form, the shape of Envoy's routes.

Literals are simplified as far as their texts alone decide them: an alternative that cannot
match is dropped, a literal that always holds is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from portway.rules.encoding import NEVER
from portway.rules.error import RuleError
from portway.rules.evaluation import (
    Request,
    found,
    header_is_seen,
    host_pattern_holds,
    matcher_holds,
)
from portway.rules.host import ANY
from portway.rules.tree import And, Matcher, Node, Not, Rule
from portway.rules.wire import path_literal

MAX_ALTERNATIVES = 512
"""A rule that needs more routes than this is refused."""

_MAX_WORK = 250_000  # literals looked at; about a second
_MAX_COMPARED = 64  # comparing each with each is quadratic
_PLAIN_HOST = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")
_ANY_HOST = {".+", "^.+", ".+$", "^.+$"}
_ANY_PATH = {".*", "^.*", ".*$", "^.*$", ".+", "^.+", ".+$", "^.+$", "/", "^/", "^/.*", "^/.*$"}
_HOSTS = ("Host", "HostRegexp")


class Literal(msgspec.Struct, frozen=True, order=True):
    """A matcher, perhaps negated. ``Method`` and ``ClientIP`` may have several arguments, any
    of which may match; ``HeaderRegexp`` with one argument says that the header is there."""

    name: str
    args: tuple[str, ...]
    negated: bool = False


class Alternative(msgspec.Struct, frozen=True):
    """A conjunction of literals. ``host``: the one exact host it demands, else None; the
    literals then hold no other host matcher."""

    host: str | None
    literals: tuple[Literal, ...]


Terms = frozenset[Literal]


def alternatives(rule: Rule) -> tuple[Alternative, ...]:
    """The alternatives of a rule; none if it can never match.

    Raises :class:`RuleError` when there are more than :data:`MAX_ALTERNATIVES`.
    """
    return tuple(map(_alternative, _absorbed(_Expansion().expand(rule.tree, negated=False))))


def _alternative(terms: Terms) -> Alternative:
    host = next((lit.args[0] for lit in terms if is_exact_host(lit)), None)
    return Alternative(host, tuple(sorted(lit for lit in terms if not is_exact_host(lit))))


def is_exact_host(literal: Literal) -> bool:
    """Whether it demands one host by a name that a virtual host can have."""
    return _is(literal, "Host") and _PLAIN_HOST.issuperset(literal.args[0])


def _is(literal: Literal, name: str) -> bool:
    return literal.name == name and not literal.negated


class _Expansion:
    """The expansion of one rule, within a bound of work: an intricate rule may need few
    alternatives and yet have very many that contradict themselves."""

    def __init__(self) -> None:
        self._left = _MAX_WORK

    def expand(self, node: Node, *, negated: bool) -> list[Terms]:
        """The alternatives of a part of the rule."""
        match node:
            case Matcher():
                return _leaf(node, negated=negated)
            case Not():
                return self.expand(node.term, negated=not negated)
        parts = [self.expand(term, negated=negated) for term in node.terms]
        if isinstance(node, And) == negated:
            return _bounded(_merged(terms for part in parts for terms in part))
        if not all(parts):
            return _IMPOSSIBLE
        common = self._join(*(part[0] for part in parts if len(part) == 1))
        product = [] if common is None else [common]
        for part in parts:
            if len(part) > 1:
                joined = (self._join(left, right) for left in product for right in part)
                product = _bounded(_distinct(terms for terms in joined if terms is not None))
        return product

    def _join(self, *several: Terms) -> Terms | None:
        terms: Terms = frozenset().union(*several)
        self._left -= len(terms)
        if self._left < 0:
            raise RuleError("the rule is too intricate; split it into several routers", 1)
        return _conjunction(terms)


def _bounded(found: Iterable[Terms]) -> list[Terms]:
    kept: list[Terms] = []
    for terms in found:
        if len(kept) == MAX_ALTERNATIVES:
            raise RuleError(
                f"the rule expands to more than {MAX_ALTERNATIVES} alternatives; "
                "split it into several routers",
                1,
            )
        kept.append(terms)
    return kept


def _absorbed(found: list[Terms]) -> list[Terms]:
    """Leave out what a less demanding alternative matches anyway."""
    if len(found) > _MAX_COMPARED:
        return found
    return [terms for terms in found if not any(other < terms for other in found)]


def _distinct(found: Iterable[Terms]) -> Iterator[Terms]:
    return iter(dict.fromkeys(found))


def _merged(found: Iterable[Terms]) -> Iterator[Terms]:
    """Join alternatives that are one method or one network each, and drop repetitions."""
    kept: dict[Terms, None] = {}
    unions: dict[str, tuple[Terms, tuple[str, ...]]] = {}
    for terms in found:
        if not terms:
            return iter([terms])
        only = next(iter(terms)) if len(terms) == 1 else None
        if only is None or only.negated or only.name not in ("Method", "ClientIP"):
            kept[terms] = None
            continue
        previous, args = unions.get(only.name, (terms, ()))
        args = tuple(dict.fromkeys((*args, *only.args)))
        merged = frozenset({Literal(only.name, args)})
        kept.pop(previous, None)
        kept[merged] = None
        unions[only.name] = (merged, args)
    return iter(kept)


_ALWAYS: list[Terms] = [frozenset()]
_IMPOSSIBLE: list[Terms] = []


def _leaf(matcher: Matcher, *, negated: bool) -> list[Terms]:
    name, args = matcher.name, matcher.args
    constant = _constant(name, args)
    if constant is not None:
        return _ALWAYS if constant != negated else _IMPOSSIBLE
    match name:
        case "Host":
            args = (args[0].lower().removesuffix("."),)
        case "Method":
            args = (args[0].upper(),)
        case "Header" | "HeaderRegexp":
            args = (args[0].lower(), args[1])
        case "Query" | "QueryRegexp" if len(args) == 1:
            name, args = "Query", (args[0], "")
    terms: list[Terms] = [frozenset({Literal(name, args, negated)})]
    if name == "HeaderRegexp" and negated and found(args[1], b""):
        # Not there at all, or there and not matching: to Envoy a missing header is empty.
        missing = Literal(name, args[:1], negated=True)
        terms.append(frozenset({missing}))
        terms[0] |= {Literal(name, args[:1])}
    return terms


def _constant(name: str, args: tuple[str, ...]) -> bool | None:
    """What the matcher's text alone decides."""
    always = never = False
    match name:
        case "Host":
            always = args[0] == ANY
            never = "*" in args[0].removeprefix("*.") or not args[0].removesuffix(".")
        case "HostRegexp":
            always = host_pattern_holds(args[0], "") or args[0] in _ANY_HOST
        case "Path":
            never = path_literal(args[0])[1] == NEVER
        case "PathPrefix":
            always = args[0] == "/"
            never = path_literal(args[0], prefix=True)[1] == NEVER
        case "PathRegexp":
            always = args[0] in _ANY_PATH
        case "Header" | "HeaderRegexp":
            never = not header_is_seen(args[0])
    return True if always else False if never else None


def _conjunction(terms: Terms) -> Terms | None:
    """Literals that decide each other removed; None if they contradict each other."""
    if any(Literal(lit.name, lit.args, not lit.negated) in terms for lit in terms):
        return None
    for literal in terms:
        if is_exact_host(literal):
            decided = resolve(terms - {literal}, _HOSTS, Request(host=literal.args[0]))
            if decided is None:
                return None
            terms = decided | {literal}
            break
    for literal in terms:
        if _is(literal, "Path"):
            decided = _known_path(terms - {literal}, literal.args[0])
            if decided is None:
                return None
            terms = decided | {literal}
            break
    methods = _methods(terms)
    return None if methods is None else _prefixes(methods)


def resolve(terms: Iterable[Literal], names: tuple[str, ...], request: Request) -> Terms | None:
    """Leave out the literals of these names, which the request decides; None if one fails."""
    kept = set()
    for literal in terms:
        if literal.name not in names:
            kept.add(literal)
        elif matcher_holds(literal.name, literal.args, request) == literal.negated:
            return None
    return frozenset(kept)


def _known_path(terms: Terms, path: str) -> Terms | None:
    value = path.encode()
    kept = set()
    for literal in terms:
        argument = literal.args[0]
        match literal.name:
            case "Path":
                holds = argument == path
            case "PathPrefix":
                holds = path.startswith(argument)
            case "PathRegexp":
                holds = found(argument, value)
            case _:
                kept.add(literal)
                continue
        if holds == literal.negated:
            return None
    return frozenset(kept)


def _methods(terms: Terms) -> Terms | None:
    limits = [lit for lit in terms if lit.name == "Method"]
    wanted = [lit for lit in limits if not lit.negated]
    if not wanted or len(limits) == 1:
        return terms
    refused = {lit.args[0] for lit in limits if lit.negated}
    left = tuple(
        m for m in wanted[0].args if m not in refused and all(m in lit.args for lit in wanted)
    )
    return (terms - frozenset(limits)) | {Literal("Method", left)} if left else None


def _prefixes(terms: Terms) -> Terms | None:
    """Of several prefixes the longest says it all; others contradict it or are implied."""
    wanted = [lit for lit in terms if _is(lit, "PathPrefix")]
    if not wanted:
        return terms
    longest = max(wanted, key=lambda lit: len(lit.args[0]))
    prefix = longest.args[0]
    kept = set(terms)
    for literal in terms:
        if literal.name not in ("Path", "PathPrefix") or literal is longest:
            continue
        argument = literal.args[0]
        if literal.name == "PathPrefix" and prefix.startswith(argument):
            if literal.negated:
                return None
            kept.discard(literal)
        elif not argument.startswith(prefix):
            if not literal.negated:
                return None
            kept.discard(literal)
    return frozenset(kept)
