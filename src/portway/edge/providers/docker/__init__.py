"""The Docker provider."""

from portway.edge.providers.docker.provider import DockerProvider

__all__ = ["DockerProvider"]
