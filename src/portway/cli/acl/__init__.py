"""``acl``: access control."""

from __future__ import annotations

from portway.cli.command import group

acl = group(
    "acl",
    """Manage access control: tokens, what they may do, and how others get them.

    A cluster begins with consul acl bootstrap, which makes the first token. With it policies are
    written, consul acl policy create -name web -rules @web.hcl, and tokens given out, consul acl
    token create -policy-name web.
    """,
    {
        "auth-method": ("portway.cli.acl.auth_method:auth_method", "Manage auth methods."),
        "binding-rule": ("portway.cli.acl.binding_rule:binding_rule", "Manage binding rules."),
        "bootstrap": ("portway.cli.acl.bootstrap:bootstrap", "Make the first token."),
        "policy": ("portway.cli.acl.policy:policy", "Manage policies."),
        "role": ("portway.cli.acl.role:role", "Manage roles."),
        "set-agent-token": (
            "portway.cli.acl.agent_tokens:set_agent_token",
            "Set the tokens an agent itself uses.",
        ),
        "templated-policy": (
            "portway.cli.acl.templated_policy:templated_policy",
            "Look at the templates of policies.",
        ),
        "token": ("portway.cli.acl.token:token", "Manage tokens."),
    },
)
