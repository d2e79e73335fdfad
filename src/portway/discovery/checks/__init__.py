"""Health checks: which definitions are valid, and running them.

One module per type of check holds what it does and how it is configured; ``Checks`` runs
them all::

    checks = Checks(Settings(), on_result, watch_alias, on_overdue=deregister)
    checks.add("service:web", CheckDefinition(http="http://127.0.0.1/", interval=Duration(10)))

The API validates first: ``validate`` for what is written, ``permit`` for what this agent runs.
"""

from portway.discovery.checks.alias import AliasedCheck, AliasTarget, WatchAlias
from portway.discovery.checks.result import CheckError, CheckRefusedError, Result
from portway.discovery.checks.running import Checks, OnResult
from portway.discovery.checks.settings import Settings, TLSFiles
from portway.discovery.checks.ttl import TTLState, TTLStore
from portway.discovery.checks.validation import CheckType, adjust, check_type, permit, validate

__all__ = [
    "AliasTarget",
    "AliasedCheck",
    "CheckError",
    "CheckRefusedError",
    "CheckType",
    "Checks",
    "OnResult",
    "Result",
    "Settings",
    "TLSFiles",
    "TTLState",
    "TTLStore",
    "WatchAlias",
    "adjust",
    "check_type",
    "permit",
    "validate",
]
