"""How long the tests wait."""

PATIENCE = 240.0
"""Seconds until what does not come about fails a test; on an idle machine it takes milliseconds."""
