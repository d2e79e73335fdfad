"""Fixtures every integration test may use."""

from tests.integration.discovery_rig import discovery

__all__ = ["discovery"]
