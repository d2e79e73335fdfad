"""The ``acl`` block."""

from __future__ import annotations

from portway.agent.config.block import Block, seconds
from portway.config import Duration


class Tokens(Block):
    """Secrets of the tokens the agent uses; "" where it has none."""

    initial_management: str = ""  # made when a cluster starts for the first time
    agent_recovery: str = ""  # may use the agent's endpoints when no server answers
    default: str = ""  # of requests that carry none
    agent: str = ""  # of the agent's own work; "" means ``default``
    replication: str = ""
    dns: str = ""  # of DNS queries; "" means ``default``
    config_file_service_registration: str = ""  # of services in files; "" means ``default``


class Acl(Block):
    """Who may do what."""

    enabled: bool = False
    default_policy: str = "allow"  # or deny: without a rule that says otherwise
    down_policy: str = "extend-cache"  # allow, deny, extend-cache, async-cache: with no server
    token_ttl: Duration = seconds(30)
    policy_ttl: Duration = seconds(30)
    role_ttl: Duration = seconds(0)  # 0 means ``policy_ttl``
    enable_key_list_policy: bool = False  # recursive reads of keys need ``list``
    enable_token_persistence: bool = False  # tokens set by the API survive a restart
    enable_token_replication: bool = False
    tokens: Tokens = Tokens()
