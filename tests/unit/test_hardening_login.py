"""Logins by strangers: what they can make the agent do, and which keys are tried."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import jwt
import pytest

from portway.discovery.acl import AclError, PermissionDeniedError
from portway.discovery.acl import jwt_keys as keys
from portway.discovery.acl.jwt import JwtValidator
from tests.unit.test_acl_login import CURVE, KEY, OTHER, config, pem, signed


class Provider:
    """What would be fetched; ``asked`` are the URLs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *documents: Any) -> None:
        self.asked: list[str] = []
        self.documents = list(documents)
        monkeypatch.setattr(keys, "_fetch_now", self.fetch)

    def fetch(self, url: str, ca: str) -> Any:
        self.asked.append(url)
        found = self.documents[0] if len(self.documents) == 1 else self.documents.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


def key_set(**found: Any) -> dict[str, Any]:
    jwk = jwt.algorithms.RSAAlgorithm.to_jwk
    return {
        "keys": [json.loads(jwk(key.public_key())) | {"kid": kid} for kid, key in found.items()]
    }


FETCHED = {"JWTValidationPubKeys": [], "JWKSURL": "https://issuer/keys"}
DISCOVERED = {"JWTValidationPubKeys": [], "OIDCDiscoveryURL": "https://issuer"}


@pytest.mark.parametrize("key", [KEY, OTHER])
async def test_every_key_that_fits_is_tried(key: Any) -> None:
    both = config(JWTValidationPubKeys=[pem(CURVE), pem(KEY), pem(OTHER)])
    assert (await JwtValidator().validate(both, signed({"sub": "a"}, key))).values["user"] == "a"


@pytest.mark.parametrize("key", [KEY, OTHER])
async def test_a_token_that_names_no_key_is_tried_with_all(
    monkeypatch: pytest.MonkeyPatch, key: Any
) -> None:
    Provider(monkeypatch, key_set(k1=KEY, k2=OTHER))
    found = await JwtValidator().validate(config(**FETCHED), signed({"sub": "a"}, key))
    assert found.values["user"] == "a"


async def test_a_key_of_another_kind_signs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = {"keys": [{"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ"}]}
    Provider(monkeypatch, secret)
    with pytest.raises(PermissionDeniedError):
        await JwtValidator().validate(config(**FETCHED), signed({}))
    forged = signed({}, "secret-secret-secret-secret-1234", "HS256")
    with pytest.raises(PermissionDeniedError):
        await JwtValidator().validate(config(**FETCHED), forged)


async def test_strangers_do_not_make_us_ask_a_provider_that_is_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    provider = Provider(monkeypatch, OSError("down"))
    validator = JwtValidator()
    attempts = [validator.validate(config(**FETCHED), signed({})) for _ in range(50)]
    for outcome in await asyncio.gather(*attempts, return_exceptions=True):
        assert isinstance(outcome, PermissionDeniedError)
        assert "down" in str(outcome)
    assert len(provider.asked) == 1


async def test_discovery_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"issuer": "https://issuer", "jwks_uri": "https://issuer/keys"}
    provider = Provider(monkeypatch, found, key_set(k1=KEY))
    validator = JwtValidator()
    for number in range(5):
        with pytest.raises(PermissionDeniedError, match="no known key"):
            await validator.validate(config(**DISCOVERED), signed({}, OTHER, kid=f"x{number}"))
        await validator.validate(config(**DISCOVERED), signed({}, kid="k1"))
    assert [url.rpartition("/")[2] for url in provider.asked] == ["openid-configuration", "keys"]


@pytest.mark.parametrize("exp", [math.nan, math.inf, 1e300])
async def test_a_time_that_is_none_does_not_last_for_ever(exp: float) -> None:
    with pytest.raises(PermissionDeniedError, match="exp is no time"):
        await JwtValidator().validate(config(), signed({"exp": exp}))


@pytest.mark.parametrize(
    "url", ["http://[::1", "https://issuer/\r\nX-Injected: y", "file:///etc/passwd", "https://"]
)
@pytest.mark.parametrize("option", ["JWKSURL", "OIDCDiscoveryURL"])
def test_urls_that_are_none(url: str, option: str) -> None:
    with pytest.raises(AclError, match="is no http or https URL"):
        config(**{"JWTValidationPubKeys": [], option: url})
