"""``mesh``: settings of the whole mesh. There is one, called ``mesh``."""

from __future__ import annotations

from portway.discovery.model import Wire
from portway.mesh.entries.entry import Entry, EntryError, check_meta
from portway.mesh.entries.tls import check_tls

MESH = "mesh"
_SLASHES = ("", "IMPLEMENTATION_SPECIFIC_DEFAULT", "KEEP_UNCHANGED", "REJECT_REQUEST",
            "UNESCAPE_AND_REDIRECT", "UNESCAPE_AND_FORWARD")  # fmt: skip
_UNDERSCORES = ("", "ALLOW", "REJECT_REQUEST", "DROP_HEADER")


class MeshTransparentProxy(Wire):
    """Whether transparent proxies let traffic out that is for no service of the mesh."""

    mesh_destinations_only: bool


class DirectionalTLS(Wire):
    """TLS of one direction."""

    tls_min_version: str = ""
    tls_max_version: str = ""
    cipher_suites: list[str] = []


class MeshTLS(Wire):
    """TLS between proxies."""

    incoming: DirectionalTLS | None = None
    outgoing: DirectionalTLS | None = None


class RequestNormalization(Wire):
    """How proxies make paths and headers of requests plain before intentions look at them."""

    insecure_disable_path_normalization: bool = False
    merge_slashes: bool = False
    path_with_escaped_slashes_action: str = ""
    headers_with_underscores_action: str = ""


class DirectionalHTTP(Wire):
    """HTTP of one direction."""

    request_normalization: RequestNormalization | None = None


class MeshHTTP(Wire):
    """HTTP between proxies."""

    sanitize_x_forwarded_client_cert: bool
    incoming: DirectionalHTTP | None = None


class MeshPeering(Wire):
    """Whether servers of peers are reached through mesh gateways."""

    peer_through_mesh_gateways: bool = False


class Mesh(Entry, tag="mesh", kw_only=True):
    """Settings of the whole mesh."""

    read_access = "none"
    write_access = "mesh"
    singleton = MESH
    named = False

    name: str = MESH  # not shown, as there is no other
    transparent_proxy: MeshTransparentProxy
    allow_enabling_permissive_mutual_tls: bool = False
    validate_clusters: bool = False
    tls: MeshTLS | None = None
    http: MeshHTTP | None = None
    peering: MeshPeering | None = None

    def check(self) -> None:
        check_meta(self.meta)
        for direction in ("incoming", "outgoing"):
            tls = getattr(self.tls, direction, None)
            if tls is not None:
                try:
                    check_tls(tls.tls_min_version, tls.tls_max_version, tls.cipher_suites)
                except EntryError as error:
                    where = f"error in {direction} TLS configuration"
                    raise EntryError(f"{where}: {error}") from None
        normalization = (
            self.http and self.http.incoming and self.http.incoming.request_normalization
        )
        if normalization:
            _one_of(
                "PathWithEscapedSlashesAction",
                normalization.path_with_escaped_slashes_action,
                _SLASHES,
            )
            _one_of(
                "HeadersWithUnderscoresAction",
                normalization.headers_with_underscores_action,
                _UNDERSCORES,
            )


def _one_of(field: str, value: str, valid: tuple[str, ...]) -> None:
    if value not in valid:
        listed = ", ".join(filter(None, valid))
        raise EntryError(
            "error in HTTP incoming request normalization configuration: no matching "
            f"{field} value found for {value}, please specify one of [{listed}]"
        )
