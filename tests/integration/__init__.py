"""Tests that need the real Envoy, the real Traefik or Docker."""
