"""py-consul's own test suite, all of it, with Portway's agent where it starts containers.

The source distribution on PyPI carries the suite. Only the file that starts containers is left
out; the fixtures in it come from ``py_consul_fixtures``. What is expected not to pass is listed
here, each with its reason; a listed test that passes is an error too, so the list stays true.
Several tests of the suite wait for fixed times, so those that failed run once more.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from tests.clients.artefacts import sdist

VERSION = "1.8.0"
_SHA256 = "ed9ab0adb335d33ea84f7622f372411f8e288bb09aee5e7632264d28d285a52c"
_TESTS = 168
_LONGEST = 600.0  # seconds

_MESH = "the mesh is not part of this version"
EXCEPTIONS = {
    "tests.api.test_connect.TestConsulConnectCA::test_ca_update_configuration": _MESH,
    "tests.api.test_discovery_chain.TestDiscoveryChain::test_discovery_chain_get": _MESH,
}
"""Test → why it does not pass. Only enterprise, mesh and several servers are reasons."""


def test_the_suite_of_py_consul(network: list[str], tmp_path: Path) -> None:
    suite = sdist("py-consul", VERSION, _SHA256, leave_out=["conftest.py"])
    outcomes = _run(suite, network, tmp_path, "all")
    assert len(outcomes) == _TESTS, sorted(outcomes)
    if {test for test, why in outcomes.items() if why} - set(EXCEPTIONS):
        outcomes |= _run(suite, network, tmp_path, "again", "--last-failed")
    wrong = {test: why for test, why in outcomes.items() if why and test not in EXCEPTIONS}
    assert not wrong, "\n\n".join(f"{test}\n{why}" for test, why in wrong.items())
    assert not {test for test in EXCEPTIONS if not outcomes[test]}, "these pass meanwhile"


def _run(suite: Path, network: list[str], scratch: Path, name: str, *flags: str) -> dict[str, str]:
    results = scratch / f"{name}.xml"
    options = ["-p", "py_consul_fixtures", "-o", "addopts=", "-o", f"cache_dir={scratch / 'cache'}"]
    report = [f"--junitxml={results}", f"--basetemp={scratch / name}"]
    environ = {name: value for name, value in os.environ.items() if "CONSUL" not in name}
    paths = [str(Path(__file__).parent), environ.get("PYTHONPATH", "")]
    environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    done = subprocess.run(
        [*network, sys.executable, "-m", "pytest", *options, *report, *flags, "tests"],
        cwd=suite,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LONGEST,
        check=False,
    )
    assert results.exists(), done.stdout
    return _outcomes(results)


def _outcomes(results: Path) -> dict[str, str]:
    """Test → why it failed or was skipped, empty if it passed."""
    outcomes = {}
    for case in ElementTree.parse(results).iter("testcase"):
        faults = [case.find(kind) for kind in ("failure", "error", "skipped")]
        why = [fault.text or fault.get("message") for fault in faults if fault is not None]
        outcomes[f"{case.get('classname')}::{case.get('name')}"] = "\n".join(filter(None, why))
    return outcomes
