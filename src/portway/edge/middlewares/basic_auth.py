from __future__ import annotations

from portway.config.options import Options


class BasicAuth(Options):
    users: list[str] = []
    users_file: str = ""
    realm: str = ""
    remove_header: bool = False
    header_field: str = ""
