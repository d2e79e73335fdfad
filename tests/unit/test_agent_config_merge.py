"""Several sources of configuration: which counts, what adds up, and that HCL equals JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portway.agent.config import AgentConfig, ConfigError, load, validate
from portway.agent.config.deprecated import RENAMED, translate
from portway.agent.config.files import Contents, Source, contents
from portway.config import Duration


def write(folder: Path, **files: str) -> list[str]:
    """Files by name, ``a_hcl`` as a.hcl; returns the arguments that read the folder."""
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return ["-dev", f"-config-dir={folder}"]


def config(*arguments: str) -> AgentConfig:
    return load(arguments, persist=False).config


def test_later_files_win_and_lists_add_up(tmp_path: Path) -> None:
    arguments = write(
        tmp_path,
        b_json='{"datacenter": "two", "recursors": ["192.0.2.2"],'
        ' "node_meta": {"a": "2", "c": "3"}}',
        a_hcl='datacenter = "one"\nrecursors = ["192.0.2.1"]\nnode_meta { a = "1" b = "1" }',
    )
    merged = config(*arguments)
    assert merged.datacenter == "two"
    assert merged.recursors == ["192.0.2.1", "192.0.2.2"]
    assert merged.node_meta == {"a": "2", "b": "1", "c": "3"}
    assert merged.files == [str(tmp_path / "a.hcl"), str(tmp_path / "b.json")]


def test_blocks_overlay_key_by_key(tmp_path: Path) -> None:
    arguments = write(
        tmp_path,
        a_hcl="ports { http = 1000 dns = 1001 }\n"
        'dns_config { service_ttl { "*" = "1s" a = "2s" } }',
        b_hcl='ports { dns = 2001 }\ndns_config { service_ttl { a = "3s" } }',
    )
    merged = config(*arguments)
    assert (merged.ports.http, merged.ports.dns) == (1000, 2001)
    assert merged.dns_config.service_ttl == {"*": Duration(1), "a": Duration(3)}


def test_every_file_may_define_one_service_and_many(tmp_path: Path) -> None:
    arguments = write(
        tmp_path,
        a_hcl='service { name = "a" }\nservice { name = "b" }\nservices = [{ name = "c" }]',
        b_hcl='service { name = "d" }',
        c_json='{"service": {"name": "e"}, "services": [{"name": "f"}],'
        ' "check": {"name": "x", "ttl": "9s"}}',
    )
    merged = config(*arguments)
    assert sorted(service.name for service in merged.services) == list("abcdef")
    assert [check.name for check in merged.checks] == ["x"]


ORDER = [
    # lists of flags, then files as the arguments order them, then scalars of flags, then -hcl
    (["-recursor=192.0.2.9", "-config-file={a}", "-config-file={b}"], "b", 9),
    (["-config-file={b}", "-config-file={a}", "-recursor=192.0.2.9"], "a", 9),
    (["-datacenter=flag", "-config-file={a}"], "flag", None),
    (["-hcl", 'datacenter = "hcl"', "-config-file={a}", "-datacenter=flag"], "hcl", None),
    (["-hcl", 'datacenter = "x"', "-hcl", 'datacenter = "y"'], "y", None),
    (["-datacenter=x", "-datacenter", "z"], "z", None),
]


@pytest.mark.parametrize(("arguments", "datacenter", "first"), ORDER)
def test_order_of_sources(
    arguments: list[str], datacenter: str, first: int | None, tmp_path: Path
) -> None:
    names = {}
    for number, name in enumerate("ab"):
        file = tmp_path / f"{name}.hcl"
        file.write_text(f'datacenter = "{name}"\nrecursors = ["192.0.2.{number}"]')
        names[name] = file
    merged = config("-dev", *(argument.format(**names) for argument in arguments if argument))
    assert merged.datacenter == datacenter
    if first is not None:
        assert merged.recursors[0] == f"192.0.2.{first}"
        assert len(merged.recursors) == 3


def test_files_win_over_dev_and_flags_over_files(tmp_path: Path) -> None:
    arguments = write(tmp_path, a_hcl='log_level = "warn"\nenable_debug = false')
    assert config(*arguments).log_level == "WARN"
    assert not config(*arguments).enable_debug
    assert config(*arguments, "-log-level=err").log_level == "ERROR"
    assert config("-dev", "-server=false", "-ui=false").server is False


def test_directories_are_flat_and_other_files_are_skipped(tmp_path: Path) -> None:
    write(tmp_path, a_hcl="enable_debug = false", notes_txt="not = configuration {")
    (tmp_path / "sub.hcl").mkdir()
    (tmp_path / "sub.hcl" / "x.hcl").write_text("nonsense")
    (tmp_path / "empty.hcl").write_text("  \n")
    loaded = load(["-dev", f"-config-dir={tmp_path}"])
    assert loaded.config.files == [str(tmp_path / "a.hcl")]
    assert loaded.warnings == [
        f"skipping file {tmp_path / 'notes.txt'}, extension must be .hcl or .json,"
        " or config format must be set"
    ]


def test_config_format_is_every_files(tmp_path: Path) -> None:
    (tmp_path / "web.conf").write_text('{"datacenter": "json", "data_dir": "d"}')
    assert config("-dev", "-config-format=json", f"-config-dir={tmp_path}").datacenter == "json"
    assert validate([str(tmp_path)], "hcl").config.datacenter == "json"


def test_go_flag_grammar() -> None:
    spellings = (["-node=x"], ["--node=x"], ["-node", "x"], ["--node", "x"])
    for spelling in spellings:
        assert config("-dev", *spelling).node_name == "x"
    assert config("-dev", "-node-meta=a:b:c", "-node-meta", "d").node_meta == {"a": "b:c", "d": ""}
    assert config("-dev", "-http-port", "16").ports.http == 16
    assert config("-dev", "-retry-join=a", "-join=b").retry_join == ["a", "b"]


def said(text: str, format_: str = "hcl") -> Contents:
    return contents(Source("f", format_, text))


@pytest.mark.parametrize("old", RENAMED)
def test_old_keys_become_new_ones(old: str) -> None:
    new = RENAMED[old]
    value = ["v"] if old.startswith("start_join") else "v"
    tree: Any = value
    for name in reversed(old.split(".")):
        tree = {name: tree}
    before = json.dumps(tree)
    translated, warnings = translate(tree)
    found: Any = translated
    for name in new.split("."):
        found = found[name]
    assert found == value
    assert warnings == [f"The '{old}' field is deprecated. Use the '{new}' field instead."]
    assert json.dumps(tree) == before


def test_the_new_key_of_a_source_wins() -> None:
    assert said('acl_token = "old"\nacl { tokens { default = "new" } }').tree["acl"] == {
        "tokens": {"default": "new"}
    }
    assert said('start_join = ["b"]\nretry_join = ["a"]').tree == {"retry_join": ["a", "b"]}


def test_what_old_keys_meant_besides() -> None:
    assert said('acl_datacenter = "dc1"').tree == {
        "primary_datacenter": "dc1",
        "acl": {"enabled": True},
    }
    assert said("verify_incoming = true").tree["tls"] == {
        "defaults": {"verify_incoming": True},
        "grpc": {"verify_incoming": False},
    }
    versions = said('tls_min_version = "tls12"')
    assert versions.tree == {"tls": {"defaults": {"tls_min_version": "TLSv1_2"}}}
    assert versions.warnings[0] == (
        "'tls_min_version' value 'tls12' is deprecated, please specify 'TLSv1_2' instead"
    )


def test_old_keys_do_not_hide_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match=r"'acl' expected a map, got 'int'"):
        said('acl = 5\nacl_token = "x"')


_TEXT = st.text(st.sampled_from('abcXYZ 09.-_/é"\\'), min_size=1, max_size=12)
_SECONDS = st.integers(0, 5000).map(lambda n: f"{n}s")
_WEB = st.fixed_dictionaries(
    {"name": st.sampled_from(["web", "db", "api"])},
    optional={
        "port": st.integers(0, 65535),
        "tags": st.lists(_TEXT, max_size=3),
        "meta": st.dictionaries(st.sampled_from("abc"), _TEXT, max_size=2),
        "check": st.fixed_dictionaries({"ttl": _SECONDS}, optional={"notes": _TEXT}),
        "weights": st.fixed_dictionaries({"passing": st.integers(1, 9), "warning": st.just(1)}),
    },
)
_FILE = st.fixed_dictionaries(
    {},
    optional={
        "datacenter": st.sampled_from(["dc1", "eu-west"]),
        "server": st.booleans(),
        "node_meta": st.dictionaries(st.sampled_from("abcd"), _TEXT, max_size=3),
        "ports": st.fixed_dictionaries(
            {}, optional={"http": st.integers(-1, 9), "dns": st.just(1)}
        ),
        "services": st.lists(_WEB, min_size=1, max_size=3),
        "recursors": st.lists(st.sampled_from(["192.0.2.1", "192.0.2.2"]), max_size=2),
        "dns_config": st.fixed_dictionaries(
            {}, optional={"node_ttl": _SECONDS, "service_ttl": st.dictionaries(_TEXT, _SECONDS)}
        ),
        "watches": st.lists(st.fixed_dictionaries({"type": st.just("key"), "key": _TEXT})),
        "connect": st.fixed_dictionaries(
            {}, optional={"ca_config": st.dictionaries(_TEXT, _TEXT | st.integers(0, 9))}
        ),
    },
)


def _hcl(tree: dict[str, Any]) -> str:
    """A tree in the forms people write: blocks, repeated blocks, assignments."""
    lines = []
    for key, value in tree.items():
        if isinstance(value, dict):
            lines.append(f"{_name(key)} {{\n{_hcl(value)}\n}}")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            lines += [f"{_name(key)} {{\n{_hcl(item)}\n}}" for item in value]
        else:
            lines.append(f"{_name(key)} = {json.dumps(value, ensure_ascii=False)}")
    return "\n".join(lines)


def _name(key: str) -> str:
    return key if key.isidentifier() and key.isascii() else json.dumps(key, ensure_ascii=False)


@given(_FILE)
def test_hcl_and_json_say_the_same(tree: dict[str, Any]) -> None:
    assert said(_hcl(tree)) == said(json.dumps(tree), "json")


@given(_FILE)
def test_null_says_nothing(tree: dict[str, Any]) -> None:
    nulls = {"retry_join": None, "segments": None, "verify_incoming": None, "service": None}
    assert said(json.dumps({**tree, **nulls}), "json") == said(json.dumps(tree), "json")
