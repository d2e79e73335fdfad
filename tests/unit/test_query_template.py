"""Templates of prepared queries: what can be written in them and what comes out."""

from __future__ import annotations

import re

import pytest

from portway.discovery.model.queries import (
    PreparedQuery,
    QueryFailover,
    QueryTemplate,
    ServiceQuery,
)
from portway.discovery.queries import TemplateError, check_template, render
from portway.discovery.queries.interpolation import fill, parse

VARIABLES = {"name.full": "geo-db-eu", "name.prefix": "geo-", "name.suffix": "db-eu"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", ""),
        ("plain $ {} text", "plain $ {} text"),
        ("${name.full}", "geo-db-eu"),
        ("a-${name.suffix}-${ name.prefix }z", "a-db-eu-geo-z"),
        ("${match(1)}", "[1]"),
        ("${ match( 12 ) }", "[12]"),
        ("$${name.full}", "${name.full}"),
        ("${7}", "7"),
        ('${"quoted \\"text\\""}', 'quoted "text"'),
    ],
)
def test_interpolation(text: str, value: str) -> None:
    assert fill(parse(text), VARIABLES, lambda group: f"[{group}]") == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${", "parse error at 1: after ${ comes a variable"),
        ("ab${name.full", "parse error at 3"),
        ("${}", "parse error at 1"),
        ("${match(x)}", "parse error at 1"),
        ("${upper(1)}", "unknown function called: upper"),
    ],
)
def test_what_cannot_be_parsed(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        parse(text)


def template(service: ServiceQuery, regexp: str = "", **fields: bool) -> PreparedQuery:
    return PreparedQuery(
        id="q",
        name="geo-",
        template=QueryTemplate("name_prefix_match", regexp, **fields),
        service=service,
    )


def test_every_text_of_the_service_part_is_filled_in() -> None:
    query = template(
        ServiceQuery(
            service="${match(1)}",
            failover=QueryFailover(datacenters=["${match(2)}", "dc9"]),
            tags=["${match(2)}", "!${match(3)}"],
            near="_agent",
            node_meta={"${name.full}": "${name.full}"},
            ignore_check_ids=["c-${name.suffix}"],
        ),
        "^geo-(.*)-([^\\-]+)$",
    )
    service = render(query, "geo-db-eu").service
    assert service.service == "db"
    assert service.failover.datacenters == ["eu", "dc9"]
    assert service.tags == ["eu", "!"]
    assert service.node_meta == {"${name.full}": "geo-db-eu"}  # keys are left alone
    assert service.ignore_check_ids == ["c-db-eu"]
    assert query.service.service == "${match(1)}"


def test_groups_that_are_not_there_are_empty() -> None:
    query = template(ServiceQuery(service="x${match(0)}${match(5)}", tags=["${match(1)}"]), "nope")
    assert render(query, "geo-db").service == ServiceQuery(service="x", tags=[""])
    query.template.remove_empty_tags = True
    assert render(query, "geo-db").service.tags == []


def test_an_optional_group_that_took_no_part_is_empty() -> None:
    query = template(ServiceQuery(service="a${match(1)}b"), "^geo-(x)?")
    assert render(query, "geo-db").service.service == "ab"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            PreparedQuery(template=QueryTemplate("prefix")),
            "Bad Template.Type 'prefix'",
        ),
        (template(ServiceQuery(service="x"), "("), "Bad Regexp: error parsing regexp: "),
        (
            template(ServiceQuery(service="x", tags=["a", "${"])),
            "Bad format '${' in Service.Tags[1]: parse error at 1",
        ),
        (
            template(ServiceQuery(service="${name.nick}")),
            "Bad evaluation for '${name.nick}' in Service.Service: "
            "unknown variable accessed: name.nick; there are name.full, ",
        ),
    ],
)
def test_wrong_templates(query: PreparedQuery, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        check_template(query)
    assert str(caught.value).startswith(message)
