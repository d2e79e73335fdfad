"""Rules and authorizers: what a policy's text means, and what a token with it may do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.discovery.acl import (
    ALLOW_ALL,
    ANONYMOUS_ID,
    DENY_ALL,
    MANAGE_ALL,
    AclError,
    Authorizer,
    PermissionDeniedError,
    Permissions,
    Rule,
    Rules,
    parse_rules,
)
from portway.discovery.acl.templates import TEMPLATES, builtin_policies

ACCESSOR = "b5b1a918-50bc-fc46-dec2-d481359da4e3"


def token(*policies: str, allow: bool = False, key_list: bool = False) -> Authorizer:
    rules = map(parse_rules, policies)
    return Authorizer(Permissions(rules), ACCESSOR, allow, key_list_policy=key_list)


@pytest.mark.parametrize(
    "text",
    [
        'key "a" { policy = "read" }\nkey "b" { policy = "write" }',
        'key "a" { policy = "read" } key "b" { policy = "write" }',
        'key = { a = { policy = "read" }, b = { policy = "write" } }',
        '{"key": {"a": {"policy": "read"}, "b": {"policy": "write"}}}',
        '{"key": [{"a": [{"policy": "read"}]}, {"b": {"policy": "write"}}]}',
        '# a comment\nkey "a" {\n  policy = "read" // another\n}\nkey "b" { policy = "write" }',
    ],
)
def test_rules_are_hcl_or_json(text: str) -> None:
    assert parse_rules(text) == Rules(
        (), (Rule("key", "a", False, "read"), Rule("key", "b", False, "write"))
    )


def test_every_resource() -> None:
    whole = ("acl", "keyring", "mesh", "operator", "peering")
    named = ("agent", "event", "key", "node", "query", "service", "session")
    text = "".join(f'{name} = "write"\n' for name in whole)
    text += "".join(
        f'{n} "x" {{ policy = "read" }}\n{n}_prefix "" {{ policy = "deny" }}\n' for n in named
    )
    rules = parse_rules(text)
    assert rules.whole == tuple((name, "write") for name in whole)
    assert {(r.resource, r.name, r.prefix, r.access) for r in rules.named} == {
        *((name, "x", False, "read") for name in named),
        *((name, "", True, "deny") for name in named),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('acl = "list"', 'Invalid acl policy: "list"; it can be read, write, deny'),
        ("operator = true", "Invalid operator policy: True; it can be read, write, deny"),
        ('operator { policy = "read" }', "Invalid operator policy: {'policy': 'read'}"),
        ('key "a" { policy = "all" }', 'Invalid key policy: "all" for "a"; it can be read, list, '),
        ('key_prefix "a" { }', 'Invalid key_prefix policy: none given for "a"'),
        ('key "a" { polcy = "read" }', 'Invalid key policy: unknown key "polcy" in "a"; did you '),
        ('service "a" { policy = "list" }', 'Invalid service policy: "list" for "a"'),
        (
            'service "a" { policy = "read" intentions = "x" }',
            'Invalid service intentions policy: "x" for "a"; it can be read, write, deny',
        ),
        (
            'service "a" { policy = "read" intention = "read" }',
            'Invalid service policy: unknown key "intention" in "a"; did you mean intentions?',
        ),
        ('node "a" { policy = "read" intentions = "read" }', 'unknown key "intentions"'),
        (
            'key "a" { policy = "write" sentinel { code = "x" } }',
            'Invalid key policy: sentinel of "a": Sentinel code is a Consul Enterprise feature',
        ),
        ('key = "read"', 'Invalid key policy: "read" names nothing; write key "name" {'),
        ('key = { a = "read" }', 'Invalid key policy: "a" is no block'),
        ('serivce "a" { policy = "read" }', 'unknown resource "serivce"; did you mean service?'),
        ('namespace "a" { policy = "read" }', "are a Consul Enterprise feature"),
        ('key "a" { policy = "read"', "Failed to parse ACL rules: "),
        ("{not json}", "Failed to parse ACL rules: "),
    ],
)
def test_refused_rules(text: str, message: str) -> None:
    with pytest.raises(AclError) as caught:
        parse_rules(text)
    assert message in str(caught.value)
    assert caught.value.status == 500


@given(st.text())
def test_any_text_is_rules_or_refused(text: str) -> None:
    try:
        parse_rules(text)
    except AclError:
        return


POLICY = """
acl = "read"
operator = "write"
key_prefix "" { policy = "read" }
key_prefix "app/" { policy = "write" }
key_prefix "app/secret/" { policy = "deny" }
key "app/secret/ok" { policy = "list" }
service "web" { policy = "write" intentions = "write" }
service_prefix "we" { policy = "read" }
service_prefix "batch" { policy = "write" }
service "dark" { policy = "deny" }
node "n1" { policy = "write" }
event_prefix "deploy" { policy = "write" }
session "n1" { policy = "read" }
query "geo" { policy = "read" }
agent_prefix "n" { policy = "read" }
"""


@pytest.mark.parametrize(
    ("resource", "access", "name", "expected"),
    [
        ("acl", "read", "", True),
        ("acl", "write", "", False),
        ("snapshot", "read", "", False),
        ("snapshot", "write", "", False),
        ("operator", "read", "", True),
        ("operator", "write", "", True),
        ("mesh", "write", "", True),  # as operator
        ("peering", "write", "", True),  # as operator
        ("keyring", "read", "", False),
        ("key", "read", "other", True),
        ("key", "list", "other", False),
        ("key", "write", "other", False),
        ("key", "read", "app/x", True),
        ("key", "list", "app/x", True),
        ("key", "write", "app/x", True),
        ("key", "read", "app/secret/x", False),
        ("key", "list", "app/secret/ok", True),
        ("key", "read", "app/secret/ok", True),
        ("key", "write", "app/secret/ok", False),
        ("key", "read", "app/secret/ok/deeper", False),
        ("key_prefix", "write", "", False),
        ("key_prefix", "write", "app/", False),  # something under it may not be written
        ("key_prefix", "write", "app/s", False),
        ("key_prefix", "write", "app/t", True),
        ("key_prefix", "write", "other/", False),
        ("key_list", "list", "app/secret/", True),  # filtered key by key
        ("service", "write", "web", True),
        ("service", "write", "web2", False),
        ("service", "read", "web2", True),
        ("service", "read", "api", False),
        ("service", "read", "dark", False),
        ("intention", "write", "web", True),
        ("intention", "read", "web2", True),  # who sees a service sees its intentions
        ("intention", "write", "batch1", False),
        ("intention", "read", "batch1", True),
        ("intention", "read", "dark", False),
        ("intention", "read", "*", True),  # any
        ("intention", "write", "*", False),  # all
        ("node", "write", "n1", True),
        ("node", "read", "n12", False),
        ("event", "write", "deploy-now", True),
        ("event", "write", "dep", False),
        ("session", "read", "n1", True),
        ("session", "write", "n1", False),
        ("query", "read", "geo", True),
        ("query", "write", "geo", False),
        ("agent", "read", "n7", True),
        ("agent", "write", "n7", False),
    ],
)
def test_one_policy(resource: str, access: str, name: str, expected: bool) -> None:
    authorizer = token(POLICY)
    assert authorizer.allows(resource, access, name) is expected
    if expected:
        authorizer.require(resource, access, name)
    else:
        with pytest.raises(PermissionDeniedError):
            authorizer.require(resource, access, name)


def test_default_policy_decides_what_rules_do_not() -> None:
    allow, deny = token('key "a" { policy = "read" }', allow=True), token()
    assert allow.allows("key", "write", "b")
    assert not allow.allows("key", "write", "a")
    assert allow.allows("service", "write", "x")
    assert not allow.allows("acl", "read")  # access control is never granted by default
    assert not allow.allows("snapshot", "write")
    assert allow.allows("operator", "write")
    assert not deny.allows("key", "read", "b")
    assert allow.allows("key_prefix", "write", "b")
    assert not allow.allows("key_prefix", "write", "")


def test_mesh_and_peering_rules_beat_operator() -> None:
    authorizer = token('operator = "write" mesh = "read" peering = "deny"')
    assert authorizer.allows("mesh", "read") and not authorizer.allows("mesh", "write")
    assert not authorizer.allows("peering", "read")


@pytest.mark.parametrize("first", ["read", "list", "write", "deny"])
@pytest.mark.parametrize("second", ["read", "list", "write", "deny"])
def test_merged_policies(first: str, second: str) -> None:
    strongest = max(first, second, key=["read", "list", "write", "deny"].index)
    texts = [f'key_prefix "a" {{ policy = "{access}" }}' for access in (first, second)]
    for policies in (texts, ["\n".join(texts)]):
        authorizer = token(*policies)
        assert authorizer.allows("key", "read", "ab") is (strongest != "deny")
        assert authorizer.allows("key", "list", "ab") is (strongest in ("list", "write"))
        assert authorizer.allows("key", "write", "ab") is (strongest == "write")


def test_intentions_of_merged_policies() -> None:
    authorizer = token(
        'service "web" { policy = "deny" }',
        'service "web" { policy = "write" intentions = "write" }',
    )
    assert not authorizer.allows("service", "read", "web")
    assert authorizer.allows("intention", "write", "web")


def test_key_list_policy() -> None:
    authorizer = token(POLICY, key_list=True)
    assert authorizer.allows("key_list", "list", "app/")
    assert not authorizer.allows("key_list", "list", "other/")
    with pytest.raises(PermissionDeniedError, match="lacks permission 'key:list' on \"other/\""):
        authorizer.require("key_list", "list", "other/")


def test_all_and_any() -> None:
    assert token('service_prefix "" { policy = "read" }').allows_all("service")
    assert not token('service_prefix "a" { policy = "read" }').allows_all("service")
    assert not token(
        'service_prefix "" { policy = "read" } service "x" { policy = "deny" }'
    ).allows_all("service")
    assert token('service "x" { policy = "write" }').allows_any("service")
    assert not token('service_prefix "" { policy = "read" }').allows_any("service")
    assert token(allow=True).allows_all("node")
    assert token('node "x" { policy = "deny" }', allow=True).allows_any("node")
    assert not token('node "x" { policy = "deny" }', allow=True).allows_all("node")
    with pytest.raises(PermissionDeniedError, match="'service:read' on \"all services\""):
        token().require_all("service")
    with pytest.raises(PermissionDeniedError, match="'service:write' on \"any service\""):
        token().require_any("service")


def test_texts() -> None:
    with pytest.raises(PermissionDeniedError) as caught:
        token().require("key", "read", "foo")
    assert str(caught.value) == (
        f"Permission denied: token with AccessorID '{ACCESSOR}' lacks permission 'key:read' on "
        '"foo"'
    )
    with pytest.raises(PermissionDeniedError) as caught:
        DENY_ALL.require("operator", "write")
    assert str(caught.value) == (
        "Permission denied: anonymous token lacks permission 'operator:write'. The anonymous "
        "token is used implicitly when a request does not specify a token."
    )
    with pytest.raises(PermissionDeniedError, match=r"lacks permission 'acl:write'$"):
        token().require("snapshot", "read")
    with pytest.raises(PermissionDeniedError, match="lacks permission 'key:write' on \"a/\""):
        token().require("key_prefix", "write", "a/")
    assert caught.value.status == 403


def test_singletons() -> None:
    for resource in ("key", "key_list", "key_prefix", "service", "node", "operator", "mesh"):
        access = "list" if resource == "key_list" else "write"
        assert MANAGE_ALL.allows(resource, access, "x")
        assert ALLOW_ALL.allows(resource, access, "x")
        assert DENY_ALL.allows(resource, access, "x") is (resource == "key_list")
    assert MANAGE_ALL.allows("acl", "write") and MANAGE_ALL.allows("snapshot", "write")
    assert not ALLOW_ALL.allows("acl", "read")
    assert (MANAGE_ALL.unrestricted, ALLOW_ALL.unrestricted) == (True, True)
    assert not DENY_ALL.unrestricted
    assert DENY_ALL.accessor == ANONYMOUS_ID


@pytest.mark.parametrize(
    ("resource", "access"),
    [
        ("services", "read"),
        ("service", "list"),
        ("key", "admin"),
        ("keyring", "list"),
        ("", "read"),
    ],
)
def test_what_does_not_exist_is_an_error(resource: str, access: str) -> None:
    with pytest.raises(ValueError, match=r"Invalid ACL resource|Invalid access level"):
        MANAGE_ALL.allows(resource, access)


def test_built_in_policies() -> None:
    management, read_only = (token(policy.rules) for policy in builtin_policies())
    assert management.unrestricted and management.allows("acl", "write")
    assert not read_only.unrestricted
    for resource in ("acl", "operator", "keyring", "mesh", "peering"):
        assert read_only.allows(resource, "read") and not read_only.allows(resource, "write")
    for resource in ("key", "node", "service", "session", "event", "query", "agent", "intention"):
        assert read_only.allows_all(resource, "read")
        assert not read_only.allows_any(resource, "write")


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_are_rules(name: str) -> None:
    assert parse_rules(TEMPLATES[name].template.replace("{{.Name}}", "api")) != Rules()


NAMES = st.text("ab/", max_size=4)
RULES = st.lists(
    st.builds(
        Rule,
        st.just("key"),
        NAMES,
        st.booleans(),
        st.sampled_from(["read", "list", "write", "deny"]),
    ),
    max_size=8,
)
LEVELS = {
    "read": {"read"},
    "list": {"read", "list"},
    "write": {"read", "list", "write"},
    "deny": {""},
}


def naive(rules: list[Rule], name: str, exact: bool = True) -> str | None:
    """The deciding access, found by looking at every rule."""
    for wanted in [(name, False)] * exact + [(name[:n], True) for n in range(len(name), -1, -1)]:
        given_here = [r.access for r in rules if (r.name, r.prefix) == wanted]
        if given_here:
            return max(given_here, key=["read", "list", "write", "deny"].index)
    return None


@given(RULES, NAMES, st.sampled_from(["read", "list", "write"]), st.booleans())
def test_lookups_agree_with_a_walk_over_all_rules(
    rules: list[Rule], name: str, access: str, allow: bool
) -> None:
    authorizer = Authorizer(Permissions([Rules((), tuple(rules))]), ACCESSOR, allow)
    given_here = naive(rules, name)
    expected = allow if given_here is None else access in LEVELS[given_here]
    assert authorizer.allows("key", access, name) is expected


@given(RULES, NAMES, st.booleans())
def test_a_tree_may_be_written_when_every_rule_that_concerns_it_says_so(
    rules: list[Rule], prefix: str, allow: bool
) -> None:
    authorizer = Authorizer(Permissions([Rules((), tuple(rules))]), ACCESSOR, allow)
    merged = {
        (rule.name, rule.prefix): max(
            (r.access for r in rules if r[:3] == rule[:3]),
            key=["read", "list", "write", "deny"].index,
        )
        for rule in rules
    }
    under = [access for (name, _), access in merged.items() if name.startswith(prefix)]
    base = naive(rules, prefix, exact=False)
    expected = (allow if base is None else base == "write") and all(a == "write" for a in under)
    assert authorizer.allows("key_prefix", "write", prefix) is expected
