"""Keys of the past that still work: each becomes the key it was replaced by, with a warning.

Applied to every source on its own, before it is read: the new key of the same source wins.
"""

from __future__ import annotations

from typing import Any

# old key → new key
RENAMED = {
    "acl.tokens.agent_master": "acl.tokens.agent_recovery",
    "acl.tokens.master": "acl.tokens.initial_management",
    "acl_agent_master_token": "acl.tokens.agent_recovery",
    "acl_agent_token": "acl.tokens.agent",
    "acl_datacenter": "primary_datacenter",
    "acl_default_policy": "acl.default_policy",
    "acl_down_policy": "acl.down_policy",
    "acl_enable_key_list_policy": "acl.enable_key_list_policy",
    "acl_master_token": "acl.tokens.initial_management",
    "acl_replication_token": "acl.tokens.replication",
    "acl_token": "acl.tokens.default",
    "acl_ttl": "acl.token_ttl",
    "ca_file": "tls.defaults.ca_file",
    "ca_path": "tls.defaults.ca_path",
    "cert_file": "tls.defaults.cert_file",
    "enable_acl_replication": "acl.enable_token_replication",
    "key_file": "tls.defaults.key_file",
    "raft_boltdb": "raft_logstore.boltdb",
    "start_join": "retry_join",
    "start_join_wan": "retry_join_wan",
    "tls_cipher_suites": "tls.defaults.tls_cipher_suites",
    "tls_min_version": "tls.defaults.tls_min_version",
    "ui": "ui_config.enabled",
    "ui_content_path": "ui_config.content_path",
    "ui_dir": "ui_config.dir",
    "verify_incoming": "tls.defaults.verify_incoming",
    "verify_incoming_https": "tls.https.verify_incoming",
    "verify_incoming_rpc": "tls.internal_rpc.verify_incoming",
    "verify_outgoing": "tls.defaults.verify_outgoing",
    "verify_server_hostname": "tls.internal_rpc.verify_server_hostname",
}
_ADDED = frozenset({"start_join", "start_join_wan"})  # lists that add to the new key's
_OLD_VERSIONS = {"tls10": "TLSv1_0", "tls11": "TLSv1_1", "tls12": "TLSv1_2", "tls13": "TLSv1_3"}
# What else the use of an old key meant: it is set unless the new key is there.
_MEANT: dict[str, tuple[tuple[str, Any], ...]] = {
    "acl_datacenter": (("acl.enabled", True),),
    "acl_replication_token": (("acl.enable_token_replication", True),),
    # The key is older than certificates of clients at the gRPC port.
    "verify_incoming": (("tls.grpc.verify_incoming", False),),
}


def translate(tree: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The tree with today's keys, and a warning for each that was not. The tree is not changed."""
    warnings: list[str] = []
    result = tree
    for old, new in RENAMED.items():
        if not _has(tree, old):
            continue
        value = _get(tree, old)
        result = _without(result, old)
        if value is None:
            continue
        present = _get(result, new)
        if present is None:
            result = _with(result, new, _modern(old, value, warnings))
        elif old in _ADDED and isinstance(present, list) and isinstance(value, list):
            result = _with(result, new, [*present, *value])
        for path, meant in _MEANT.get(old, ()):
            if _get(result, path) is None:
                result = _with(result, path, meant)
        warnings.append(f"The '{old}' field is deprecated. Use the '{new}' field instead.")
    return result, warnings


def _modern(old: str, value: Any, warnings: list[str]) -> Any:
    if old == "tls_min_version" and isinstance(value, str) and value in _OLD_VERSIONS:
        version = _OLD_VERSIONS[value]
        warnings.append(
            f"'tls_min_version' value '{value}' is deprecated, please specify '{version}' instead"
        )
        return version
    return value


def _block(node: Any) -> Any:
    """A block, also when HCL made it a list of one."""
    return node[0] if isinstance(node, list) and len(node) == 1 else node


def _has(tree: Any, path: str) -> bool:
    """Whether the key is there, be it with ``null``."""
    blocks, _, name = path.rpartition(".")
    block = _block(_get(tree, blocks) if blocks else tree)
    return isinstance(block, dict) and name in block


def _get(tree: Any, path: str) -> Any:
    for name in path.split("."):
        tree = _block(tree)
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def _with(tree: Any, path: str, value: Any) -> Any:
    name, _, rest = path.partition(".")
    block = _block(tree)
    if block is not None and not isinstance(block, dict):
        return tree  # not a block: reading it will say so
    block = block or {}
    return {**block, name: _with(block.get(name), rest, value) if rest else value}


def _without(tree: Any, path: str) -> Any:
    name, _, rest = path.partition(".")
    block = _block(tree)
    if rest:
        return {**block, name: _without(block[name], rest)}
    return {key: value for key, value in block.items() if key != name}
