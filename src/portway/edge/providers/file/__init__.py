"""The file provider."""

from portway.edge.providers.file.provider import FileProvider

__all__ = ["FileProvider"]
