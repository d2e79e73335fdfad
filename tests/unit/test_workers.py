from pathlib import Path

import pytest

from portway.edge.workers import quota, workers


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_limit_of_a_container(tmp_path: Path, files: dict[str, str], cpus: int | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert quota(tmp_path) == cpus


def test_a_container_with_one_cpu_has_one_worker(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert workers({}, tmp_path) == 1


def test_the_number_can_be_set(tmp_path: Path) -> None:
    assert workers({"PORTWAY_WORKERS": "7"}, tmp_path) == 7


@pytest.mark.parametrize("wish", ["0", "-1", "many", "1025", "1.5"])
def test_what_is_no_number_of_workers_is_refused(tmp_path: Path, wish: str) -> None:
    with pytest.raises(ValueError, match=r"PORTWAY_WORKERS: .* is not a number from 1 to 1024"):
        workers({"PORTWAY_WORKERS": wish}, tmp_path)
