"""The configuration under examples/ is one an agent takes without a warning."""

from __future__ import annotations

from pathlib import Path

from portway.agent.config import validate

EXAMPLES = Path(__file__).parents[2] / "examples" / "agent"


def test_examples_are_valid() -> None:
    loaded = validate([str(EXAMPLES)])
    assert loaded.warnings == []
    assert [service.name for service in loaded.config.services] == ["web"]
    assert [watch.type for watch in loaded.config.plans] == ["service"]
