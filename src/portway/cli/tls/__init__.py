"""``tls``: certificates for the agents' own connections."""

from __future__ import annotations

from portway.cli.command import group

tls = group(
    "tls",
    """Make a certificate authority, and certificates for agents.

    consul tls ca create makes the authority, consul tls cert create -server a certificate for a
    server. Files are made in the working directory.
    """,
    {
        "ca": ("portway.cli.tls.commands:ca", "Make a certificate authority."),
        "cert": ("portway.cli.tls.commands:cert", "Make certificates."),
    },
)
