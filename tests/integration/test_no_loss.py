"""No request is lost while containers come and go, whatever else fails meanwhile.

The control is Traefik under the same load: it loses requests, so these tests can fail.
"""

from __future__ import annotations

import pytest

from tests.docker import needs_docker
from tests.integration import churn
from tests.integration.churn import CONNECTIONS, Play, run

pytestmark = [pytest.mark.docker, pytest.mark.slow, needs_docker("wrk")]


@pytest.mark.parametrize("disturbance", [churn.calm, churn.killed_control, churn.daemon_away])
async def test_no_request_is_lost(disturbance: Play) -> None:
    result = await run("portway", disturbance)
    assert result.requests > 1000
    assert result.stops >= 9
    assert result.disturbances >= (0 if disturbance is churn.calm else 4)
    assert (result.non_2xx, result.timeouts, result.errors) == (0, 0, 0)


async def test_the_same_load_shows_what_traefik_loses() -> None:
    result = await run("traefik")
    assert result.stops >= 9
    assert result.losses > 0


@pytest.mark.parametrize(
    ("play", "environment"),
    [
        pytest.param(churn.restarted, {}, id="docker restart"),
        pytest.param(churn.killed, {}, id="docker kill"),
        pytest.param(churn.paused, {}, id="docker pause"),
        pytest.param(churn.recreated, {}, id="docker rm -f and run"),
        pytest.param(
            churn.stopped_against_its_will, {"WHOAMI_STOP_AFTER": "60"}, id="SIGTERM is ignored"
        ),
        pytest.param(
            churn.stopped_in_turn, {"WHOAMI_START_AFTER": "2"}, id="accepts two seconds late"
        ),
    ],
)
async def test_no_request_is_lost_however_a_container_goes(
    play: Play, environment: dict[str, str]
) -> None:
    result = await run("portway", churn=play, seconds=6, stops=3, environment=environment)
    assert result.stops >= 3
    assert (result.non_2xx, result.timeouts, result.errors) == (0, 0, 0)


async def test_no_post_is_lost_when_servers_finish_their_work() -> None:
    """They serve on for seconds after their stop signal, as servers that stop gracefully do."""
    environment = {"WHOAMI_STOP_AFTER": "5"}
    result = await run("portway", method="POST", seconds=8, stops=3, environment=environment)
    assert result.stops >= 3
    assert (result.non_2xx, result.timeouts, result.errors) == (0, 0, 0)


@pytest.mark.parametrize("disturbance", [churn.calm, churn.daemon_away])
async def test_only_posts_in_the_hands_of_a_dying_server_fail(disturbance: Play) -> None:
    """They may have been processed, so they must not be repeated. All others are: nobody else
    learns of a server that refuses connections, even if Portway cannot learn of its stop."""
    result = await run("portway", disturbance, method="POST", seconds=12, stops=3)
    assert result.requests > 1000
    assert result.non_2xx <= result.stops * CONNECTIONS
    assert (result.timeouts, result.errors) == (0, 0)
