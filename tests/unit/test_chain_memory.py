from pathlib import Path

from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig

from portway.edge.compile import chain_memory


def test_a_successor_finds_the_chains_of_its_predecessor(tmp_path: Path) -> None:
    chains = {"native0": {"abc": (TypedExtensionConfig(name="one"),)}, "native1": {}}
    chain_memory.save(tmp_path, chains)
    assert chain_memory.load(tmp_path) == chains


def test_without_a_predecessor_there_are_no_chains(tmp_path: Path) -> None:
    assert chain_memory.load(tmp_path) == {}


def test_chains_of_an_earlier_generation_are_replaced(tmp_path: Path) -> None:
    chain_memory.save(tmp_path, {"native0": {"old": ()}})
    chain_memory.save(tmp_path, {"native0": {"new": ()}})
    assert chain_memory.load(tmp_path) == {"native0": {"new": ()}}
