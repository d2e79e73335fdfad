"""JSON Web Tokens as credentials: the auth method ``jwt``.

Keys are given (PEM), fetched from a JWKS URL, or found through OpenID Connect discovery; fetched
ones are kept for a few minutes and fetched anew when a token names a key that is not among them.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from portway.config import Duration, nearest
from portway.discovery.acl.errors import AclError, PermissionDeniedError
from portway.discovery.acl.jwt_keys import Documents, authorities, fitting, public_key

ALGORITHMS = (
    *("RS256", "RS384", "RS512", "ES256", "ES384", "ES512"),
    *("PS256", "PS384", "PS512", "EdDSA"),
)
_LEEWAY = 150.0  # seconds; when a token lacks one of the two times
_SKEW = 60.0  # seconds
_LAST_SECOND = 1e12  # since 1970; later ones, and NaN, are no times


class JwtConfig(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The ``Config`` of a jwt auth method; durations are Go's, or nanoseconds."""

    keys: list[str] = msgspec.field(name="JWTValidationPubKeys", default=[])
    jwks_url: str = msgspec.field(name="JWKSURL", default="")
    jwks_ca: str = msgspec.field(name="JWKSCACert", default="")
    oidc_url: str = msgspec.field(name="OIDCDiscoveryURL", default="")
    oidc_ca: str = msgspec.field(name="OIDCDiscoveryCACert", default="")
    algorithms: list[str] = msgspec.field(name="JWTSupportedAlgs", default=[])
    audiences: list[str] = msgspec.field(name="BoundAudiences", default=[])
    issuer: str = msgspec.field(name="BoundIssuer", default="")
    claims: dict[str, str] = msgspec.field(name="ClaimMappings", default={})
    list_claims: dict[str, str] = msgspec.field(name="ListClaimMappings", default={})
    expiration_leeway: str | int = msgspec.field(name="ExpirationLeeway", default="")
    not_before_leeway: str | int = msgspec.field(name="NotBeforeLeeway", default="")
    clock_skew: str | int = msgspec.field(name="ClockSkewLeeway", default="")


class Identity(NamedTuple):
    """What a credential says of its bearer, under the names the auth method gives it."""

    values: dict[str, str]
    lists: dict[str, list[str]]


def read_config(config: dict[str, Any]) -> JwtConfig:
    """Check the configuration of a jwt auth method. Raises AclError."""
    known = [field.encode_name for field in msgspec.structs.fields(JwtConfig)]
    for key in config:
        if key not in known:
            hint = nearest(key, known)
            raise AclError(f'Invalid Auth Method: Config has invalid key "{key}"{hint}')
    try:
        read = msgspec.convert(config, JwtConfig)
        for leeway in (read.expiration_leeway, read.not_before_leeway, read.clock_skew):
            _seconds(leeway, 0)
    except ValueError as error:
        raise AclError(f"Invalid Auth Method: Config: {error}") from None
    if sum(map(bool, (read.keys, read.jwks_url, read.oidc_url))) != 1:
        raise AclError(
            "Invalid Auth Method: exactly one of 'JWTValidationPubKeys', 'JWKSURL', or "
            "'OIDCDiscoveryURL' must be set for type \"jwt\""
        )
    for url in (read.jwks_url, read.oidc_url):
        if url and not _is_web(url):
            raise AclError(f'Invalid Auth Method: "{url}" is no http or https URL')
    for algorithm in read.algorithms:
        if algorithm not in ALGORITHMS:
            listed = ", ".join(ALGORITHMS)
            raise AclError(
                f'Invalid Auth Method: Invalid "JWTSupportedAlgs" "{algorithm}"; there are {listed}'
            )
    for ca in filter(None, (read.jwks_ca, read.oidc_ca)):
        authorities(ca)
    for pem in read.keys:
        public_key(pem)
    names = [*read.claims.values(), *read.list_claims.values()]
    if len(set(names)) != len(names):
        raise AclError("Invalid Auth Method: two claims are mapped to the same name")
    return read


class JwtValidator:
    """Checks tokens; one for all auth methods, because it keeps what it fetches."""

    def __init__(self) -> None:
        self._documents = Documents()

    async def validate(self, config: JwtConfig, token: str) -> Identity:
        """What a token says. Raises PermissionDeniedError when it is not to be believed."""
        import jwt

        try:
            header = jwt.get_unverified_header(token)
            claims = _verified(config, token, await self._keys(config, header))
        except jwt.PyJWTError as error:
            raise PermissionDeniedError(f"error verifying token: {error}") from None
        issuer = config.issuer or config.oidc_url
        _check_times(config, claims)
        if issuer and claims.get("iss") != issuer:
            raise PermissionDeniedError("error validating claims: invalid issuer (iss) claim")
        _check_audience(config, claims)
        return Identity(
            {name: _text(_claim(claims, path), path) for path, name in config.claims.items()},
            {name: _texts(_claim(claims, path), path) for path, name in config.list_claims.items()},
        )

    async def _keys(self, config: JwtConfig, header: dict[str, Any]) -> list[Any]:
        """The keys that may have signed a token with this header."""
        import jwt

        if config.keys:
            return fitting(config.keys, header)
        ca = config.jwks_ca or config.oidc_ca
        url = config.jwks_url or await self._documents.get(
            config.oidc_url.rstrip("/") + "/.well-known/openid-configuration",
            config.oidc_ca,
            partial(_key_url, config),
        )
        wanted = header.get("kid")
        for fresh in (False, True):
            known = (await self._documents.get(url, ca, jwt.PyJWKSet.from_dict, fresh)).keys
            found = [key.key for key in known if wanted is None or key.key_id == wanted]
            if found:
                return found
        raise jwt.InvalidKeyError("no known key has signed it")


def _verified(config: JwtConfig, token: str, keys: list[Any]) -> dict[str, Any]:
    """The claims of a token that one of the keys has signed. Raises PyJWTError."""
    import jwt

    problem: jwt.PyJWTError | None = None
    for key in keys:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key=key,
                algorithms=config.algorithms or ["RS256"],
                options={"verify_aud": False, "verify_exp": False, "verify_nbf": False,
                         "verify_iat": False, "verify_iss": False},
            )  # fmt: skip
        except jwt.PyJWTError as error:
            problem = problem or error
        except TypeError:  # a key of another kind
            problem = problem or jwt.InvalidKeyError("the key does not fit the algorithm")
        else:
            return claims
    raise problem or jwt.InvalidKeyError("no key")


def _key_url(config: JwtConfig, document: dict[str, Any]) -> str:
    if document.get("issuer") != config.oidc_url:
        raise PermissionDeniedError("OIDC discovery names another issuer")
    found = document.get("jwks_uri")
    if not isinstance(found, str) or not _is_web(found):
        raise PermissionDeniedError("OIDC discovery names no jwks_uri")
    return found


def _is_web(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc) and url.isprintable()


def _check_times(config: JwtConfig, claims: dict[str, Any]) -> None:
    """Expiry and start, each with its leeway, both with the clocks' skew (RFC 7519, 4.1)."""
    times = {name: claims.get(name) for name in ("exp", "nbf", "iat")}
    for name, value in times.items():
        if value is not None and not _is_time(value):
            raise PermissionDeniedError(f"error validating claims: {name} is no time")
    exp, nbf, iat = times.values()
    if not (exp or nbf or iat):
        raise PermissionDeniedError(
            "error validating claims: no issued at (iat), not before (nbf), or expiration time "
            "(exp) claims in token"
        )
    later = _seconds(config.expiration_leeway, _LEEWAY)
    earlier = _seconds(config.not_before_leeway, _LEEWAY)
    skew = _seconds(config.clock_skew, _SKEW)
    exp = exp or max(iat or 0, nbf or 0) + later
    nbf = nbf or iat or exp - earlier
    now = time.time()
    if now - skew > exp:
        raise PermissionDeniedError("error validating claims: token is expired")
    if now + skew < nbf or now + skew < (iat or 0):
        raise PermissionDeniedError("error validating claims: token is not valid yet")


def _is_time(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LAST_SECOND
    )


def _check_audience(config: JwtConfig, claims: dict[str, Any]) -> None:
    audience = claims.get("aud", [])
    audience = audience if isinstance(audience, list) else [audience]
    if audience and not config.audiences:
        raise PermissionDeniedError(
            "error validating claims: audience claim found in JWT but no audiences are bound"
        )
    if config.audiences and not {*map(str, audience)} & {*config.audiences}:
        raise PermissionDeniedError("error validating claims: invalid audience (aud) claim")


def _claim(claims: dict[str, Any], path: str) -> Any:
    """A claim by name, or inside others by a JSON pointer."""
    if not path.startswith("/"):
        return claims.get(path)
    value: Any = claims
    for part in path[1:].split("/"):
        name = part.replace("~1", "/").replace("~0", "~")
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _text(value: Any, path: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise PermissionDeniedError(f'error validating claims: claim "{path}" is no single value')


def _texts(value: Any, path: str) -> list[str]:
    if value is None:
        return []
    return [_text(item, path) for item in (value if isinstance(value, list) else [value])]


def _seconds(duration: str | int, default: float) -> float:
    """A leeway: the default when it is 0 or missing, none when it is negative."""
    seconds = duration / 1e9 if isinstance(duration, int) else 0.0
    if isinstance(duration, str) and duration:
        seconds = float(Duration.parse(duration))
    return default if seconds == 0 else max(0.0, seconds)
