"""Addresses as keys hold them: one or several, written out or as a template."""

from __future__ import annotations

import ipaddress

from portway.agent.config.error import Findings
from portway.agent.config.interfaces import IP
from portway.agent.config.sockaddr import TemplateError, render


def evaluated(key: str, text: str, found: Findings) -> str:
    """The text of a key with its templates evaluated; "" when one cannot be."""
    try:
        result = render(text)
    except TemplateError as error:
        found.problems.append(f"{key}: error parsing {text!r}: {error}")
        return ""
    if "{{" in text and not result.strip():
        found.problems.append(f"{key}: {text!r} found no address on this host")
    return result


def ip_of(text: str) -> IP | None:
    """The IP address that a text is, also in brackets; None if it is none."""
    if text[:1] == "[" and text[-1:] == "]":
        text = text[1:-1]
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def single(key: str, text: str, found: Findings) -> str:
    """The one IP address that a key holds; "" if it holds none or a wrong one."""
    words = evaluated(key, text, found).split()
    if not words:
        return ""
    if len(words) > 1:
        found.problems.append(f"{key} cannot contain multiple addresses: {' '.join(words)}")
        return ""
    if words[0].startswith("unix://"):
        found.problems.append(f"{key} cannot be a unix socket")
        return ""
    ip = ip_of(words[0])
    if ip is None:
        found.problems.append(f"{key}: invalid ip address: {words[0]}")
        return ""
    return str(ip)
