"""The local agent: its configuration, local services and checks, anti-entropy, and its run."""

from portway.agent.lean import without

# structlog would import it for tracebacks in colours: a third of the time the agent takes to start.
with without("rich"):
    import structlog  # noqa: F401
