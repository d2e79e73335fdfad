"""Which Consul's interfaces are offered."""

CONSUL = "1.22.0"
BUILD_DATE = "2025-11-01T00:00:00Z"
REVISION = "portway"
