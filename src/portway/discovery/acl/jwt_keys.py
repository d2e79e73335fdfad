"""Keys of JSON Web Tokens: given as PEM, or fetched and kept for a while."""

from __future__ import annotations

import asyncio
import json
import math
import ssl
import time
from collections.abc import Callable
from typing import Any, TypeVar

from portway.discovery.acl.errors import AclError, PermissionDeniedError
from portway.discovery.turns import Turns

T = TypeVar("T")
_KEPT = 300.0  # seconds
_REFETCH = 10.0  # seconds between fetches for keys that were not known, or after a failure
_MOST_KEPT = 64  # documents
_TIMEOUT = 10.0  # seconds
_MAX_BODY = 1 << 20  # bytes


class Documents:
    """JSON documents by URL, as callers read them."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], tuple[float, Any]] = {}
        """URL and CA → when it was fetched, and what was made of it or why that failed."""
        self._turns = Turns()

    async def get(
        self, url: str, ca: str, read: Callable[[dict[str, Any]], T], fresh: bool = False
    ) -> T:
        """What ``read`` makes of a document; ``fresh`` asks for a recent one.

        Failures are kept, too, and callers wait for each other: strangers, who may send any
        token, cannot make us ask all the time. Raises PermissionDeniedError, or what ``read`` did.
        """
        async with self._turns.of(f"{url}\0{ca}"):
            at, kept = self._kept.get((url, ca), (-math.inf, None))
            failed = isinstance(kept, Exception)
            if time.monotonic() - at >= (_REFETCH if fresh or failed else _KEPT):
                try:
                    kept = read(await _fetch(url, ca))
                except Exception as error:
                    kept = error
                self._kept.pop((url, ca), None)
                self._kept[url, ca] = (time.monotonic(), kept)
                if len(self._kept) > _MOST_KEPT:
                    del self._kept[next(iter(self._kept))]
        if isinstance(kept, Exception):
            raise kept.with_traceback(None)
        found: T = kept
        return found


def fitting(pems: list[str], header: dict[str, Any]) -> list[Any]:
    """The configured keys of the kind the token's algorithm needs."""
    import jwt
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    kinds: dict[str, Any] = {
        "R": rsa.RSAPublicKey,
        "P": rsa.RSAPublicKey,
        "E": ec.EllipticCurvePublicKey,
    }
    algorithm = str(header.get("alg", ""))
    kind = kinds.get(algorithm[:1], ())
    if algorithm == "EdDSA":
        kind = (ed25519.Ed25519PublicKey, ed448.Ed448PublicKey)
    found = [key for key in map(public_key, pems) if isinstance(key, kind)]
    if not found:
        raise jwt.InvalidKeyError("no configured key fits its algorithm")
    return found


def public_key(pem: str) -> Any:
    """The public key of a PEM text, which may be a certificate. Raises AclError."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key
    from cryptography.x509 import load_pem_x509_certificate

    try:
        if "BEGIN CERTIFICATE" in pem:
            return load_pem_x509_certificate(pem.encode()).public_key()
        return load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise AclError(
            "Invalid Auth Method: JWTValidationPubKeys has an entry that is no PEM public key"
        ) from None


async def _fetch(url: str, ca: str) -> dict[str, Any]:
    from http.client import HTTPException

    try:
        return await asyncio.to_thread(_fetch_now, url, ca)
    except (OSError, ValueError, HTTPException, RecursionError) as error:
        raise PermissionDeniedError(f"cannot fetch {url}: {error}") from None


def _fetch_now(url: str, ca: str) -> dict[str, Any]:
    from urllib.request import urlopen

    context = authorities(ca) if ca else None
    with urlopen(url, timeout=_TIMEOUT, context=context) as answer:  # noqa: S310  scheme is checked
        document = json.loads(answer.read(_MAX_BODY))
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return document


def authorities(ca: str) -> ssl.SSLContext:
    """The TLS context that trusts the certificates of a PEM text. Raises AclError."""
    try:
        return ssl.create_default_context(cadata=ca)
    except ssl.SSLError:
        raise AclError("Invalid Auth Method: a CA certificate is not valid PEM") from None
