"""``/v1/internal/acl/authorize``: what the caller's token may do, for user interfaces."""

from __future__ import annotations

import msgspec

from portway.discovery.acl.authorizer import Authorizer
from portway.discovery.api.acl_tokens import resolver_of
from portway.discovery.api.answer import Answer, json_answer
from portway.discovery.api.decode import decode
from portway.discovery.api.error import bad_request
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route

MAX_QUESTIONS = 64


class Question(msgspec.Struct, rename="pascal"):
    """One permission to look at."""

    resource: str = ""
    access: str = ""
    segment: str = ""


class _Verdict(msgspec.Struct, rename="pascal"):
    resource: str
    access: str
    allow: bool
    segment: str | msgspec.UnsetType = msgspec.UNSET


async def authorize(request: Request) -> Answer:
    """Whether each permission is granted; whoever has the token could find out by trying."""
    resolver_of(request)
    request.datacenter()
    authorizer = request.authorizer
    prefix = "Failed to decode request body: "
    questions = decode(await request.body(), list[Question], prefix=prefix)
    if len(questions) > MAX_QUESTIONS:
        raise bad_request(f"Refusing to process more than {MAX_QUESTIONS} authorizations at once")
    verdicts = []
    for asked in questions:
        try:
            allow = _allows(authorizer, asked)
        except ValueError as error:
            raise bad_request(str(error)) from None
        verdicts.append(
            _Verdict(asked.resource, asked.access, allow, asked.segment or msgspec.UNSET)
        )
    return json_answer(verdicts)


def _allows(authorizer: Authorizer, asked: Question) -> bool:
    access = asked.access.lower()
    if asked.resource == "key" and access == "write-prefix":
        return authorizer.allows("key_prefix", "write", asked.segment)
    if asked.resource in ("key_prefix", "key_list", "snapshot"):  # not resources of rules
        raise ValueError(f'Invalid ACL resource requested: "{asked.resource}"')
    return authorizer.allows(asked.resource, access, asked.segment)


ROUTES = (
    Route("/v1/internal/acl/authorize", {"POST": authorize}, access="none but a valid token"),
)
