"""Portway: an edge router, a service registry and a mesh in one product."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("portway")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0.0.0+source"

CODENAME = "portway"  # of this release, as Traefik names its own
