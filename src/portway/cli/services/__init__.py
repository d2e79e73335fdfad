"""``services``: the services of the agent."""

from __future__ import annotations

from portway.cli.command import group

services = group(
    "services",
    """Register and deregister services of the agent, and export them to other clusters.

    consul services register web.hcl registers what a file defines, consul services register
    -name=web -port=80 what the options say.
    """,
    {
        "deregister": ("portway.cli.services.registration:deregister", "Remove services."),
        "export": ("portway.cli.services.exporting:export", "Export a service to peers."),
        "exported-services": (
            "portway.cli.services.exporting:exported_services",
            "List the services that are exported.",
        ),
        "register": ("portway.cli.services.registration:register", "Register services."),
    },
)
