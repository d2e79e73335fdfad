"""``/v1/agent/connect/authorize``: whether a caller, by its certificate, may connect."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

import msgspec

from portway.discovery.api.answer import Answer, json_answer
from portway.discovery.api.decode import decode
from portway.discovery.api.error import bad_request
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route
from portway.discovery.model.names import go_name
from portway.discovery.operations import intentions

_SERVICE = re.compile(
    r"(?:/ap/(?P<ap>[^/]+))?/ns/(?P<ns>[^/]+)/dc/(?P<dc>[^/]+)/svc/(?P<svc>[^/]+)"
)
_KNOWN = re.compile(r"/agent/(client|server)/dc/|/gateway/mesh/dc/")
_MAX_BODY = 1 << 16  # bytes


class AuthorizeRequest(msgspec.Struct, rename=go_name):
    """A connection that is made. The serial number of the certificate is not looked at."""

    target: str = ""
    client_cert_uri: str = msgspec.field(name="ClientCertURI", default="")
    client_cert_serial: str = ""


async def authorize(request: Request) -> Answer:
    """Decide about a connection: by the intention with the highest precedence, or by default.

    Requests cannot be told apart here, so intentions with permissions refuse.
    """
    wanted = decode(await request.body(_MAX_BODY), AuthorizeRequest)
    if not wanted.target:
        raise bad_request("Target service must be specified")
    source = _source(wanted.client_cert_uri)
    request.require("service", "write", wanted.target)
    settings = request.context.settings
    found = intentions.decision(request.context.server.state.config, source, wanted.target)
    allowed = intentions.allows(found, settings.default_intention_allow)
    if found is not None:
        layer = "L7" if found.permissions else "L4"
        reason = f"Matched {layer} intention: {intentions.described(found)}"
    elif allowed == (settings.default_policy == "allow"):
        reason = "Default behavior configured by ACLs"
    else:
        reason = "Default intention policy"
    answer = json_answer({"Authorized": allowed, "Reason": reason})
    answer.headers |= {"X-Cache": "HIT", "Age": "0"}
    return answer


def _source(uri: str) -> str:
    """The service a certificate is for. Raises ApiError (400)."""
    try:
        url = urlsplit(uri)
    except ValueError:
        url = urlsplit("")
    path = url.path
    domain = not path and "." in url.netloc
    known = domain or _SERVICE.match(path) or _KNOWN.match(path)
    if url.scheme != "spiffe" or not url.netloc or not known:
        raise bad_request("ClientCertURI not a valid Connect identifier")
    service = _SERVICE.fullmatch(path)
    if service is None:
        raise bad_request("ClientCertURI not a valid Service identifier")
    return unquote(service["svc"])


ROUTES = (
    Route(
        "/v1/agent/connect/authorize",
        {"POST": authorize},
        access="service:write on the target",
    ),
)
