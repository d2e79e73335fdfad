"""``tls ca create`` and ``tls cert create``."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import click

from portway.cli import private_file
from portway.cli.command import INT, Wrong, command, fail, flag, group, no_arguments
from portway.cli.data import contents

_USAGES = {"server": ("server", "client"), "client": ("client", "server"), "cli": ()}
_MOST = 10_000  # certificates of one name in a directory
_LONGEST = 36_500  # days
_WARNING = """\
==> WARNING: Server Certificates grants authority to become a
    server and access all state in the cluster including root keys
    and all ACL tokens. Do not distribute them to production hosts
    that are not server nodes. Store them as securely as CA keys."""


@command("create", api=False)
@flag(
    "additional-name-constraint",
    str,
    "Domain that the CA may sign for, besides -domain; with -name-constraint.",
    multiple=True,
)
@flag("cluster-id", str, "ID of the cluster, which the CA is to carry as its URI.")
@flag("common-name", str, "Common name of the CA; without it Consul Agent CA and a number.")
@flag("days", INT, "How many days the CA is valid.", default=1825)
@flag("domain", str, "DNS domain of the cluster.", default="consul")
@flag(
    "name-constraint",
    bool,
    "Let the CA sign for localhost and for -domain and what is below it only.",
)
def create_ca(
    args: tuple[str, ...],
    additional_name_constraint: tuple[str, ...],
    cluster_id: str,
    common_name: str,
    days: int,
    domain: str,
    name_constraint: bool,
) -> None:
    """Make a certificate authority: consul-agent-ca.pem and consul-agent-ca-key.pem."""
    no_arguments(args)
    _check(days, domain)
    certificate, key = f"{domain}-agent-ca.pem", f"{domain}-agent-ca-key.pem"
    for name in (certificate, key):
        if Path(name).exists():
            fail(f"{name} already exists.")
    from portway.cli.tls import certificates

    constraints = (*additional_name_constraint, domain, "localhost") if name_constraint else ()
    pair = certificates.authority(
        common_name, days=days, constraints=constraints, uri=cluster_id, domain=domain
    )
    _save(certificate, pair.certificate_pem, 0o644)
    _save(key, certificates.key_pem(pair.key), 0o600)


@command("create", api=False)
@flag("additional-dnsname", str, "Further DNS name; may be given several times.", multiple=True)
@flag("additional-ipaddress", str, "Further IP address; may be given several times.", multiple=True)
@flag("ca", str, "File of the CA.", default="#DOMAIN#-agent-ca.pem")
@flag("cli", bool, "Make a certificate for the command line.")
@flag("client", bool, "Make a certificate for a client agent.")
@flag("days", INT, "How many days the certificate is valid.", default=365)
@flag("dc", str, "Datacenter of the agent.", default="dc1")
@flag("domain", str, "DNS domain of the cluster.", default="consul")
@flag("key", str, "File of the CA's key.", default="#DOMAIN#-agent-ca-key.pem")
@flag("node", str, "Name of the server's node, which the certificate is to carry, too.")
@flag("server", bool, "Make a certificate for a server.")
def create_cert(
    args: tuple[str, ...],
    additional_dnsname: tuple[str, ...],
    additional_ipaddress: tuple[str, ...],
    ca: str,
    cli: bool,
    client: bool,
    days: int,
    dc: str,
    domain: str,
    key: str,
    node: str,
    server: bool,
) -> None:
    """Make a certificate for an agent or for the command line, signed by the CA."""
    no_arguments(args)
    if not ca:
        raise Wrong("Please provide the ca")
    if not key:
        raise Wrong("Please provide the key")
    if [server, client, cli].count(True) != 1:
        raise Wrong("Please provide either -server, -client, or -cli")
    if node and not server:
        raise Wrong("-node requires -server")
    _check(days, domain, dc)
    role = "server" if server else "client" if client else "cli"
    name = f"{role}.{dc}.{domain}"
    names = [text.strip() for text in additional_dnsname if text.strip()]
    addresses = [_address(text.strip()) for text in additional_ipaddress if text.strip()]
    names += [f"{node}.{name}"] if node else []
    names += [name, "localhost"]
    addresses += [] if cli else ["127.0.0.1"]
    prefix = _free(f"{dc}-{role}-{domain}")
    authority = ca.replace("#DOMAIN#", domain, 1), key.replace("#DOMAIN#", domain, 1)
    _sign(prefix, name, names, addresses, days, role, authority)


def _sign(
    prefix: str,
    name: str,
    names: list[str],
    addresses: list[str],
    days: int,
    role: str,
    authority: tuple[str, str],
) -> None:
    loaded = []
    for path, what in zip(authority, ("CA", "CA key"), strict=True):
        try:
            loaded.append(contents(path))
        except OSError as error:
            fail(f"Error reading {what}: {str(error).removeprefix('Failed to read file: ')}")
    if role == "server":
        click.echo(_WARNING)
    click.echo(f"==> Using {authority[0]} and {authority[1]}")
    from portway.cli.tls import certificates

    usages = _USAGES[role]
    try:
        signer = certificates.read_pair(loaded[0], loaded[1])
        pair = certificates.issue(signer, name, names, addresses, days=days, usages=usages)
    except certificates.CertificateError as error:
        fail(str(error))
    _save(f"{prefix}.pem", pair.certificate_pem, 0o644)
    _save(f"{prefix}-key.pem", certificates.key_pem(pair.key), 0o600)


def _check(days: int, *names: str) -> None:
    """Raise Wrong for what no certificate or file name can have."""
    if not 0 < days <= _LONGEST:
        raise Wrong(f"-days must be from 1 to {_LONGEST}, not {days}")
    for name in names:
        if not name or "/" in name or not name.isprintable():
            raise Wrong(f'"{name}" cannot be a part of a domain name')


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise Wrong(f'-additional-ipaddress: "{text}" is no IP address') from None


def _free(prefix: str) -> str:
    """The first name with a number of which there are no files yet."""
    for number in range(_MOST + 1):
        name = f"{prefix}-{number}"
        if not Path(f"{name}.pem").exists() and not Path(f"{name}-key.pem").exists():
            break
    else:
        fail("Could not find a filename that doesn't already exist")
    return name


def _save(path: str, text: str, mode: int) -> None:
    try:
        private_file.write(path, text.encode(), mode)
    except OSError as error:
        fail(f"Error writing {path}: {error.strerror}")
    click.echo(f"==> Saved {path}")


ca = group(
    "ca",
    "Make a certificate authority for agents.",
    {"create": ("portway.cli.tls.commands:create_ca", "Make a certificate authority.")},
)
cert = group(
    "cert",
    "Make certificates for agents.",
    {"create": ("portway.cli.tls.commands:create_cert", "Make a certificate.")},
)
