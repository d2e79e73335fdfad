"""``services export`` and ``services exported-services``: services for other clusters."""

from __future__ import annotations

from typing import Any, TypedDict

import click

from portway.cli.client import Client
from portway.cli.command import Wrong, command, fail, failing, flag, no_arguments
from portway.cli.output import print_json, table

_ENTRY = "config/exported-services/default"


class _Consumers(TypedDict):
    Peers: list[str]
    Partitions: list[str]


class _Exported(TypedDict):
    """A service that is exported, as filters name its fields."""

    Service: str
    Partition: str
    Namespace: str
    Consumers: _Consumers


@command("export", server=True)
@flag("consumer-partitions", str, "Partitions to export to, an enterprise feature.")
@flag("consumer-peers", str, "Names of the peers to export to, with commas between them.")
@flag("name", str, "Name of the service.")
def export(
    client: Client, args: tuple[str, ...], consumer_partitions: str, consumer_peers: str, name: str
) -> None:
    """Export a service to peers, besides those it is exported to already."""
    no_arguments(args)
    if not name:
        raise Wrong("Missing the required -name flag")
    if consumer_partitions:
        raise Wrong("-consumer-partitions: partitions are an enterprise feature")
    if not consumer_peers:
        raise Wrong("Missing the required -consumer-peers or -consumer-partitions flag")
    peers = [peer for peer in (text.strip() for text in consumer_peers.split(",")) if peer]
    if not peers:
        raise Wrong(f'-consumer-peers: no peer is named in "{consumer_peers}"')
    with failing("Error reading config entry exported-services/default"):
        found = client.get(_ENTRY, missing=[404])
    entry: dict[str, Any] = {"Kind": "exported-services", "Name": "default", "Services": []}
    entry = found.json() if found.status == 200 else entry
    with failing("Error writing config entry"):
        index = entry.get("ModifyIndex", 0)
        done = client.put("config", {"cas": index}, with_consumers(entry, name, peers)).json()
    if done is not True:
        fail("Config entry was changed during update. Please try again")
    click.echo(f'Successfully exported service "{name}" to cluster peers "{consumer_peers}"')


def with_consumers(entry: dict[str, Any], name: str, peers: list[str]) -> dict[str, Any]:
    """The entry with the service exported to these peers, too."""
    services = [dict(service) for service in entry.get("Services") or ()]
    service = next((one for one in services if one["Name"] == name), None)
    if service is None:
        service = {"Name": name, "Consumers": []}
        services.append(service)
    consumers = list(service.get("Consumers") or ())
    known = {consumer.get("Peer") for consumer in consumers}
    consumers += [{"Peer": peer} for peer in dict.fromkeys(peers) if peer not in known]
    service["Consumers"] = consumers
    kept = {key: value for key, value in entry.items() if not key.endswith("Index")}
    return {**kept, "Services": services}


@command("exported-services", server=True)
@flag("filter", str, "Expression that services must fulfil.")
@flag("format", str, "Output `format`: pretty or json.", default="pretty")
def exported_services(
    client: Client,
    args: tuple[str, ...],
    filter: str,  # noqa: A002
    format: str,  # noqa: A002
) -> None:
    """List the services that are exported, and to whom."""
    no_arguments(args)
    if format not in ("pretty", "json"):
        raise Wrong("Invalid format, valid formats are {pretty|json}")
    with failing("Error reading exported services"):
        found = client.get("exported-services").json() or []
    found = _filtered([_ordered(service) for service in found], filter)
    if found and format == "json":
        print_json(found)
    elif found:
        rows = [["Service", "Consumer Peers"]]
        for service in found:
            peers = (service.get("Consumers") or {}).get("Peers") or ()
            rows.append([service["Service"], ", ".join(peers)])
        click.echo(table(rows))
    else:
        click.echo("No exported services found")


def _ordered(service: dict[str, Any]) -> dict[str, Any]:
    order = ("Service", "Partition", "Namespace", "Consumers")
    return {key: service[key] for key in order if key in service}


def _filtered(services: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """Those that fulfil an expression: the API has no filter of its own here."""
    if not text:
        return services
    from portway.discovery.filter import FilterError, compile_filter

    try:
        wanted = compile_filter(text, _Exported)
        return [service for service in services if wanted(service)]
    except FilterError as error:
        fail(f"Error while creating filter: {error}")
