"""Portway: an edge router, a service registry and a mesh in one product."""

CODENAME = "portway"  # of this release, as Traefik names its own


def version() -> str:
    """The version of the installed package."""
    from importlib import metadata

    try:
        return metadata.version("portway")
    except metadata.PackageNotFoundError:  # run from a source tree that was never installed
        return "0.0.0+source"
