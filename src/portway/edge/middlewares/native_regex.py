"""Regular expressions run by Envoy, for steps whose other part is Lua.

Lua has no RE2. A native filter puts the text in a private header, another rewrites it by the
expression into dynamic metadata, and a Lua step reads the result (``regex_result``). Each
match leaves a mark in front of its replacement, so that "matched" and "changed" differ. A
result that is missing, as when the native filters did not run, is an error and answers 500.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from portway.edge.middlewares import go_regexp
from portway.edge.middlewares.step import Native

SUBJECT_HEADER: Final = "x-portway-subject"
NAMESPACE: Final = "portway.regex"
MARK: Final = "\x01"
"""A byte that no header value, and so no path, can contain."""


def replaced(subject: str, pattern: str, template: str) -> tuple[Sequence[Native], str]:
    """Filters that replace every match in ``subject`` (an Envoy format string) by Go's
    ``template``, and the key the result has."""
    substitution = MARK + go_regexp.rewrite(pattern, template)
    key = _key(pattern, substitution)
    return (_show(subject), _match([(pattern, substitution, key)])), key


def found(patterns: Sequence[str]) -> tuple[Native, Sequence[str]]:
    """A filter that finds the first match of each pattern in the text that an earlier step left
    in :data:`SUBJECT_HEADER`, and the keys of the results; no match gives an empty result."""
    rules = []
    for pattern in patterns:
        whole = rf"\A(?:(?s:.*?){go_regexp.enclosed(pattern)}(?s:.*)|(?s:.*))\z"
        substitution = MARK + r"\1"
        rules.append((whole, substitution, _key(whole, substitution)))
    return _match(rules), [key for *_, key in rules]


def _key(pattern: str, substitution: str) -> str:
    return hashlib.blake2b(f"{pattern}\0{substitution}".encode(), digest_size=9).hexdigest()


def _show(subject: str) -> Native:
    from envoy.config.common.mutation_rules.v3.mutation_rules_pb2 import HeaderMutation as Change
    from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
    from envoy.extensions.filters.http.header_mutation.v3.header_mutation_pb2 import (
        HeaderMutation,
        Mutations,
    )

    from portway.envoy.messages import pack

    change = Change(
        append=HeaderValueOption(
            header=HeaderValue(key=SUBJECT_HEADER, value=subject),
            append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
            keep_empty_value=True,
        )
    )
    filter_ = HeaderMutation(mutations=Mutations(request_mutations=[change]))
    return Native("subject", pack(filter_))


def _match(rules: Sequence[tuple[str, str, str]]) -> Native:
    from envoy.extensions.filters.http.header_to_metadata.v3.header_to_metadata_pb2 import Config
    from envoy.type.matcher.v3.regex_pb2 import RegexMatchAndSubstitute, RegexMatcher

    from portway.envoy.messages import pack

    message = Config(
        request_rules=[
            Config.Rule(
                header=SUBJECT_HEADER,
                on_header_present=Config.KeyValuePair(
                    metadata_namespace=NAMESPACE,
                    key=key,
                    regex_value_rewrite=RegexMatchAndSubstitute(
                        pattern=RegexMatcher(regex=pattern or "(?:)"), substitution=substitution
                    ),
                ),
                remove=number == len(rules),
            )
            for number, (pattern, substitution, key) in enumerate(rules, 1)
        ]
    )
    return Native("match", pack(message))
