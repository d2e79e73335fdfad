"""``/v1/acl/``: bootstrap and replication, and the routes of the whole family."""

from __future__ import annotations

from pathlib import Path

import msgspec
import structlog

from portway.discovery.acl import tokens as operations
from portway.discovery.acl.requests import BootstrapRequest
from portway.discovery.acl.resolve import utc_now
from portway.discovery.api import acl_methods, acl_policies, acl_tokens
from portway.discovery.api.acl_tokens import TURN, resolver_of, shown
from portway.discovery.api.answer import Answer, json_answer
from portway.discovery.api.decode import decode
from portway.discovery.api.request import Request
from portway.discovery.api.route import Route

RESET_FILE = "acl-bootstrap-reset"
"""In the data directory; holds the reset index that the refusal of a second bootstrap names."""

_log = structlog.get_logger("acl")
_NEVER = "0001-01-01T00:00:00Z"


async def bootstrap(request: Request) -> Answer:
    """Make the first management token. It needs no token, and works once."""
    resolver_of(request)
    request.datacenter()
    body = await request.body(1 << 16)
    wanted = decode(body, BootstrapRequest) if body.strip() else BootstrapRequest()
    acl = request.context.server.state.acl
    reset_index = _take_reset_index(request.context.settings.data_dir)
    token = await request.context.server.transact(
        lambda draft: operations.bootstrap(
            acl, draft, wanted.bootstrap_secret, reset_index, utc_now()
        ),
        TURN,
    )
    _log.info("ACL bootstrap completed", accessor=token.accessor_id)
    shown_token = msgspec.to_builtins(shown(acl, token, secret=True))
    return json_answer({"ID": token.secret_id, **shown_token})


def _take_reset_index(data_dir: str) -> int:
    """The index in the reset file, 0 without one. The file is gone afterwards: it works once."""
    if not data_dir:
        return 0
    path = Path(data_dir) / RESET_FILE
    try:
        text = path.read_text(errors="replace")[:64]
    except FileNotFoundError:
        return 0
    except OSError as error:
        _log.error("Cannot read the bootstrap reset file", path=str(path), error=str(error))
        return 0
    try:
        path.unlink()
    except OSError as error:
        # It would allow another bootstrap after every restore of a snapshot.
        _log.error("Cannot remove the bootstrap reset file", path=str(path), error=str(error))
        return 0
    words = text.split()
    if not words or not words[0].isdecimal():
        _log.error("The bootstrap reset file holds no index", path=str(path))
        return 0
    return int(words[0])


async def replication(request: Request) -> Answer:
    """The state of replication from another datacenter: there is none."""
    resolver_of(request)
    request.datacenter()
    return json_answer(
        {
            "Enabled": False,
            "Running": False,
            "SourceDatacenter": "",
            "ReplicationType": "",
            "ReplicatedIndex": 0,
            "ReplicatedRoleIndex": 0,
            "ReplicatedTokenIndex": 0,
            "LastSuccess": _NEVER,
            "LastError": _NEVER,
            "LastErrorMessage": "",
        }
    )


ROUTES = (
    Route("/v1/acl/bootstrap", {"PUT": bootstrap}, access="none, once"),
    Route("/v1/acl/replication", {"GET": replication}, access="none"),
    *acl_tokens.ROUTES,
    *acl_policies.ROUTES,
    *acl_methods.ROUTES,
)
