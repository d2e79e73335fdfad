"""``os_service``: the state of a Windows service.

Windows only, as in Consul: this agent refuses such a check where it is registered, rather than
run one that can never pass.
"""

from __future__ import annotations

from typing import NoReturn

from portway.discovery.checks.result import CheckRefusedError
from portway.discovery.model import CheckDefinition


def refuse(definition: CheckDefinition) -> NoReturn:
    """Raise CheckRefusedError."""
    raise CheckRefusedError(
        f'OSService checks are not implemented on this platform: "{definition.os_service}"'
        " would be a Windows service; on Linux use a script check"
        ' (args = ["systemctl", "is-active", ...])'
    )
