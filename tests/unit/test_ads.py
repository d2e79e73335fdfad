"""The delta xDS conversation, with a model of Envoy in place of the network."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from random import Random

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.service.discovery.v3 import discovery_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from portway.envoy.ads import Ads
from portway.envoy.resource import (
    CLUSTER,
    ENDPOINTS,
    FILTER,
    LISTENER,
    ROUTES,
    SECRET,
    Key,
    Rejection,
    Resource,
)
from tests.patience import PATIENCE

ORDER = (CLUSTER, ENDPOINTS, FILTER, LISTENER, ROUTES, SECRET)


def cluster(name: str, mark: int = 0) -> Resource:
    body = cluster_pb2.Cluster(name=name, type=cluster_pb2.Cluster.EDS, alt_stat_name=str(mark))
    return Resource.of(CLUSTER, name, body.SerializeToString())


def endpoints(name: str, mark: int = 0) -> Resource:
    return Resource.of(ENDPOINTS, name, b"%d" % mark)


def routes(*clusters: str, name: str = "web", filters: tuple[str, ...] = ()) -> Resource:
    """A route table whose body is just the names it uses: clusters, then filter chains."""
    return Resource.of(ROUTES, name, f"{','.join(clusters)};{','.join(filters)}".encode())


def chains(*names: str) -> Resource:
    return Resource.of(FILTER, "slot", ",".join(names).encode())


def listener(mark: int = 0) -> Resource:
    return Resource.of(LISTENER, "web", b"%d" % mark)


class Envoy:
    """A model of Envoy: asks for clusters and listeners, follows what they name, applies and
    acknowledges responses in order. ``refuses`` decides which resources it does not take.
    """

    def __init__(
        self,
        ads: Ads,
        *,
        held: dict[Key, Resource] | None = None,
        refuses: Callable[[Resource], bool] = lambda _: False,
        seed: int = 0,
        patient: bool = True,
    ) -> None:
        self.held: dict[Key, Resource] = dict(held or {})
        self.got: list[discovery_pb2.DeltaDiscoveryResponse] = []
        self.refuses = refuses
        self.answering = patient
        self.seen_unknown_clusters = False
        self.seen_unknown_chains = False
        self._random = Random(seed)
        self._inbox: asyncio.Queue[discovery_pb2.DeltaDiscoveryResponse] = asyncio.Queue()
        self._followed: set[Key] = set()
        self._types: set[str] = set()
        self.stream = ads.join(self._inbox.put_nowait)

    def ask(self, type_url: str, *names: str, drop: tuple[str, ...] = ()) -> None:
        claims = {}
        if type_url not in self._types:
            self._types.add(type_url)
            claims = {k.name: r.version for k, r in self.held.items() if k.type_url == type_url}
            names = tuple({*names, *self._named(type_url)})
        self._followed |= {Key(type_url, name) for name in names}
        self._followed -= {Key(type_url, name) for name in drop}
        self.stream.receive(
            discovery_pb2.DeltaDiscoveryRequest(
                type_url=type_url,
                resource_names_subscribe=names,
                resource_names_unsubscribe=drop,
                initial_resource_versions=claims,
            )
        )

    async def connect(self) -> None:
        """Say everything one wants to know, as Envoy does on a new stream, in any rhythm."""
        self.ask(CLUSTER)
        others = [ENDPOINTS, LISTENER, ROUTES, FILTER, SECRET]
        self._random.shuffle(others)
        for type_url in others:
            for _ in range(self._random.randrange(12)):
                await asyncio.sleep(0)
            if type_url not in self._types and (type_url == LISTENER or self._named(type_url)):
                self.ask(type_url)

    def _named(self, type_url: str) -> set[str]:
        """What the clusters and listeners one holds need of a type."""
        naming = {ENDPOINTS: CLUSTER, ROUTES: LISTENER, FILTER: LISTENER}.get(type_url)
        names = {key.name for key in self.held if key.type_url == naming}
        return {"slot"} if names and type_url == FILTER else names

    async def live(self) -> None:
        """Read responses for ever, with pauses of random length."""
        while True:
            response = await self._inbox.get()
            self.got.append(response)
            for _ in range(self._random.randrange(4)):
                await asyncio.sleep(0)
            if self.answering:
                self.take(response)

    def take(self, response: discovery_pb2.DeltaDiscoveryResponse) -> None:
        resources = [
            Resource.of(response.type_url, each.name, each.resource.value)
            for each in response.resources
        ]
        answer = discovery_pb2.DeltaDiscoveryRequest(
            type_url=response.type_url, response_nonce=response.nonce
        )
        wrong = [resource.key.name for resource in resources if self.refuses(resource)]
        if wrong:
            answer.error_detail.message = "something is wrong"
            self.stream.receive(answer)
            return
        for resource in resources:
            if resource.key.type_url in (CLUSTER, LISTENER) or resource.key in self._followed:
                self.held[resource.key] = resource
        for name in response.removed_resources:
            self.held.pop(Key(response.type_url, name), None)
        self._follow(response)
        self.stream.receive(answer)
        self._look()

    def _follow(self, response: discovery_pb2.DeltaDiscoveryResponse) -> None:
        asks = {CLUSTER: ENDPOINTS, LISTENER: ROUTES}.get(response.type_url)
        if asks is None:
            return
        for each in response.resources:
            if Key(asks, each.name) not in self._followed:
                self.ask(asks, each.name)
            if asks == ROUTES and Key(FILTER, "slot") not in self._followed:
                self.ask(FILTER, "slot")
        for name in response.removed_resources:
            self.held.pop(Key(asks, name), None)
            if Key(asks, name) in self._followed:
                self.ask(asks, drop=(name,))

    def _look(self) -> None:
        """What a request would meet now."""
        filters = self.held.get(Key(FILTER, "slot"))
        known = filters.body.decode().split(",") if filters else []
        for key, resource in self.held.items():
            if key.type_url == ROUTES:
                clusters, _, named = resource.body.decode().partition(";")
                for name in filter(None, clusters.split(",")):
                    if not {Key(CLUSTER, name), Key(ENDPOINTS, name)} <= self.held.keys():
                        self.seen_unknown_clusters = True
                for name in filter(None, named.split(",")):
                    if name not in known:
                        self.seen_unknown_chains = True

    def sent(self, type_url: str | None = None) -> list[tuple[str, ...]]:
        """Names in each response so far; removed ones with a minus."""
        return [
            (*sorted(r.name for r in each.resources), *(f"-{n}" for n in each.removed_resources))
            for each in self.got
            if type_url in (None, each.type_url)
        ]


@contextlib.asynccontextmanager
async def alive(envoy: Envoy, ads: Ads) -> AsyncIterator[Envoy]:
    tasks = [asyncio.create_task(envoy.stream.run()), asyncio.create_task(envoy.live())]
    await envoy.connect()
    try:
        yield envoy
    finally:
        ads.leave(envoy.stream)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def settled(ads: Ads) -> None:
    await asyncio.wait_for(ads.settled(), PATIENCE)


def new_ads() -> tuple[Ads, list[Rejection]]:
    rejections: list[Rejection] = []
    return Ads(rejections.append, patience=30), rejections


BASE = [cluster("a"), endpoints("a"), listener(), routes("a"), chains()]


async def test_everything_asked_for_arrives() -> None:
    ads, rejections = new_ads()
    ads.update(BASE)
    async with alive(Envoy(ads), ads) as envoy:
        await settled(ads)
    assert envoy.held == {resource.key: resource for resource in BASE}
    assert not envoy.seen_unknown_clusters
    assert rejections == []


async def test_nothing_is_answered_before_the_state_is_known() -> None:
    ads, _ = new_ads()
    async with alive(Envoy(ads), ads) as envoy:
        for _ in range(20):
            await asyncio.sleep(0)
        assert envoy.got == []
        assert not ads.is_settled
        ads.update(BASE)
        await settled(ads)
    assert envoy.held.keys() == {resource.key for resource in BASE}


async def test_an_empty_state_is_an_answer() -> None:
    ads, _ = new_ads()
    ads.update([])
    async with alive(Envoy(ads), ads) as envoy:
        await settled(ads)
    assert {each.type_url for each in envoy.got} == {CLUSTER, LISTENER}


async def test_a_name_that_does_not_exist_is_answered_at_once() -> None:
    ads, _ = new_ads()
    ads.update(BASE)
    async with alive(Envoy(ads), ads) as envoy:
        await settled(ads)
        envoy.ask(SECRET, "nobody")
        await settled(ads)
        assert envoy.sent(SECRET) == [("-nobody",)]
        later = Resource.of(SECRET, "nobody", b"key")
        ads.update([later])
        await settled(ads)
    assert envoy.held[later.key] == later


async def test_an_envoy_that_has_everything_is_sent_nothing() -> None:
    ads, _ = new_ads()
    ads.update(BASE)
    held = {resource.key: resource for resource in BASE}
    async with alive(Envoy(ads, held=held), ads) as envoy:
        await settled(ads)
    assert envoy.got == []


async def test_an_envoy_that_comes_back_is_sent_the_differences_only() -> None:
    ads, _ = new_ads()
    ads.update([*BASE, endpoints("a", 1), cluster("b"), endpoints("b")])
    gone = [cluster("old"), endpoints("old")]
    held = {resource.key: resource for resource in [*BASE, *gone]}
    async with alive(Envoy(ads, held=held), ads) as envoy:
        await settled(ads)
    assert sorted(name for names in envoy.sent() for name in names) == ["-old", "a", "b", "b"]
    assert envoy.sent()[-1] == ("-old",)
    assert cluster("old").key not in envoy.held


async def test_an_unchanged_resource_is_not_sent_again() -> None:
    ads, _ = new_ads()
    ads.update(BASE)
    async with alive(Envoy(ads), ads) as envoy:
        await settled(ads)
        before = len(envoy.got)
        ads.update(BASE)
        assert ads.is_settled
        assert len(envoy.got) == before


async def test_a_name_asked_for_again_is_sent_again() -> None:
    ads, _ = new_ads()
    ads.update(BASE)
    async with alive(Envoy(ads), ads) as envoy:
        await settled(ads)
        envoy.ask(ENDPOINTS, "a")
        await settled(ads)
    assert envoy.sent(ENDPOINTS) == [("a",), ("a",)]


async def test_what_is_no_longer_asked_for_is_no_longer_sent() -> None:
    ads, _ = new_ads()
    ads.update(BASE)
    async with alive(Envoy(ads), ads) as envoy:
        await settled(ads)
        envoy.ask(ENDPOINTS, drop=("a",))
        ads.update([endpoints("a", 7)])
        await settled(ads)
        assert envoy.sent(ENDPOINTS) == [("a",)]
        envoy.ask(ENDPOINTS, "a")
        await settled(ads)
    assert envoy.held[endpoints("a").key] == endpoints("a", 7)


async def test_endpoints_of_a_known_cluster_do_not_wait_for_a_round() -> None:
    ads, _ = new_ads()
    ads.update(BASE)
    async with alive(Envoy(ads), ads) as envoy:
        await settled(ads)
        envoy.answering = False
        ads.update([cluster("slow"), endpoints("slow")])
        for _ in range(20):
            await asyncio.sleep(0)
        ads.update([endpoints("a", 1)])
        for _ in range(20):
            await asyncio.sleep(0)
        assert envoy.sent()[-2:] == [("slow",), ("a",)]


async def test_a_changed_cluster_is_followed_by_its_endpoints() -> None:
    ads, _ = new_ads()
    ads.update(BASE)
    async with alive(Envoy(ads), ads) as envoy:
        await settled(ads)
        before = len(envoy.got)
        ads.update([cluster("a", 1)])
        await settled(ads)
    assert [each.type_url for each in envoy.got[before:]] == [CLUSTER, ENDPOINTS]


async def test_a_replaced_service_is_made_before_the_old_one_is_broken() -> None:
    ads, _ = new_ads()
    ads.update(BASE)
    async with alive(Envoy(ads), ads) as envoy:
        await settled(ads)
        before = len(envoy.got)
        ads.update([routes("b"), endpoints("b"), cluster("b")], [k.key for k in BASE[:2]])
        await settled(ads)
    sent = [(each.type_url, bool(each.resources)) for each in envoy.got[before:]]
    assert sent == [(CLUSTER, True), (ENDPOINTS, True), (ROUTES, True), (CLUSTER, False)]
    assert not envoy.seen_unknown_clusters


@pytest.mark.parametrize("good", [0, 1, 6, 40])
@pytest.mark.parametrize("bad", [1, 2, 5])
async def test_refused_resources_are_found_and_the_rest_gets_through(good: int, bad: int) -> None:
    ads, rejections = new_ads()
    names = [*(f"good{i}" for i in range(good)), *(f"bad{i}" for i in range(bad))]
    Random(good * 7 + bad).shuffle(names)
    ads.update([*BASE, *map(cluster, names), *map(endpoints, names)])
    envoy = Envoy(ads, refuses=lambda each: each.key.name.startswith("bad"))
    async with alive(envoy, ads):
        await settled(ads)
    assert {key.name for key in envoy.held if key.type_url == CLUSTER} == {
        "a",
        *(f"good{i}" for i in range(good)),
    }
    assert sorted(rejection.names for rejection in rejections) == [(f"bad{i}",) for i in range(bad)]
    assert {rejection.version for rejection in rejections} == {cluster("bad0").version} or bad > 1


async def test_a_search_for_the_culprit_does_not_bring_back_older_content() -> None:
    ads, rejections = new_ads()
    ads.update([*BASE, cluster("bad"), endpoints("bad")])
    envoy = Envoy(ads, refuses=lambda each: each == endpoints("bad", 1))
    async with alive(envoy, ads):
        await settled(ads)
        ads.update([endpoints("a", 1), endpoints("bad", 1)])
        ads.update([endpoints("a", 2)])
        await settled(ads)
    assert envoy.held[endpoints("a").key] == endpoints("a", 2)
    assert [rejection.names for rejection in rejections] == [("bad",)]


async def test_an_envoy_that_tells_late_which_routes_it_has_keeps_their_clusters() -> None:
    ads, _ = new_ads()
    ads.update([cluster("b"), endpoints("b"), listener(), routes("b"), chains()])
    envoy = Envoy(ads, held={resource.key: resource for resource in BASE})
    tasks = [asyncio.create_task(envoy.stream.run()), asyncio.create_task(envoy.live())]
    envoy.ask(CLUSTER)
    async with asyncio.timeout(PATIENCE):
        while cluster("b").key not in envoy.held:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    for _ in range(50):
        await asyncio.sleep(0)
    assert cluster("a").key in envoy.held
    envoy.ask(LISTENER)
    envoy.ask(ROUTES)
    assert not ads.is_settled, "its filters are not known yet"
    envoy.ask(FILTER)
    await settled(ads)
    assert cluster("a").key not in envoy.held
    assert not envoy.seen_unknown_clusters
    for task in tasks:
        task.cancel()


async def test_refused_content_is_reported_once_and_offered_again_only_when_changed() -> None:
    ads, rejections = new_ads()
    ads.update(BASE)
    wrong, right = routes("a", "a"), routes("a", filters=("",))
    envoy = Envoy(ads, refuses=lambda each: each == wrong)
    async with alive(envoy, ads):
        await settled(ads)
        ads.update([wrong])
        await settled(ads)
        sent = len(envoy.got)
        ads.update([wrong])
        await settled(ads)
        assert len(envoy.got) == sent
        assert envoy.held[wrong.key] == routes("a")
        ads.update([right])
        await settled(ads)
        assert envoy.held[right.key] == right
    expected = Rejection(ROUTES, ("web",), "something is wrong", wrong.version)
    assert rejections == [expected]


async def test_a_new_envoy_gets_the_last_good_content_of_what_is_refused() -> None:
    ads, rejections = new_ads()
    ads.update(BASE)
    wrong = routes("a", "a")

    def refuses(each: Resource) -> bool:
        return each == wrong

    async with alive(Envoy(ads, refuses=refuses), ads):
        await settled(ads)
        ads.update([wrong])
        await settled(ads)
    async with alive(Envoy(ads, refuses=refuses), ads) as second:
        await settled(ads)
    assert second.held[wrong.key] == routes("a")
    assert len(rejections) == 1


async def test_what_was_refused_can_be_offered_again() -> None:
    ads, rejections = new_ads()
    ads.update([*BASE])
    envoy = Envoy(ads, refuses=lambda each: each == listener(1))
    async with alive(envoy, ads):
        await settled(ads)
        ads.update([listener(1)])
        await settled(ads)
        envoy.refuses = lambda _: False
        ads.retry([listener().key])
        await settled(ads)
    assert envoy.held[listener().key] == listener(1)
    assert len(rejections) == 1


async def test_the_owner_may_answer_a_rejection_with_another_update() -> None:
    ads = Ads(lambda _: ads.update([routes("a")]), patience=30)
    ads.update([*BASE[:3], chains(), routes("a", "wrong")])
    envoy = Envoy(ads, refuses=lambda each: b"wrong" in each.body)
    async with alive(envoy, ads):
        await settled(ads)
    assert envoy.held[routes().key] == routes("a")


async def test_clusters_stay_while_refused_routes_leave_older_ones_in_force() -> None:
    ads, _ = new_ads()
    ads.update(BASE)
    envoy = Envoy(ads, refuses=lambda each: each == routes("b"))
    async with alive(envoy, ads):
        await settled(ads)
        ads.update([routes("b"), cluster("b"), endpoints("b")], [k.key for k in BASE[:2]])
        await settled(ads)
        assert cluster("a").key in envoy.held
        ads.update([routes("b", "b")])
        await settled(ads)
        assert cluster("a").key not in envoy.held
    assert not envoy.seen_unknown_clusters


@pytest.mark.parametrize("refused", [routes("b"), chains("wrong")])
async def test_what_envoy_has_may_be_wanted_again_after_a_refusal(refused: Resource) -> None:
    """A successor offers what is refused, then exactly what Envoy has; nothing is to be sent,
    and the refusal must hold nothing up any more."""
    told: list[bool] = []
    ads = Ads(lambda _: None, lambda: told.append(True))
    state = {each.key: each for each in BASE}
    ads.update({**state, refused.key: refused}.values())
    envoy = Envoy(ads, held=state, refuses=lambda each: each == refused)
    async with alive(envoy, ads):
        await settled(ads)
        assert not told
        ads.update([state[refused.key]])
        await settled(ads)
        assert told
        ads.update([cluster("c"), endpoints("c"), routes("c")], [k.key for k in BASE[:2]])
        await settled(ads)
    assert envoy.held[routes().key] == routes("c")
    assert cluster("a").key not in envoy.held


async def test_routes_wait_until_the_filter_they_need_is_accepted() -> None:
    ads, _ = new_ads()
    ads.update([*BASE, chains("one"), routes("a", filters=("one",))])
    envoy = Envoy(ads, refuses=lambda each: each == chains("one", "wrong"))
    async with alive(envoy, ads):
        await settled(ads)
        ads.update([chains("one", "wrong"), routes("a", filters=("one", "wrong"))])
        await settled(ads)
        assert envoy.held[routes().key] == routes("a", filters=("one",))
        ads.update([chains("one", "right"), routes("a", filters=("one", "right"))])
        await settled(ads)
        assert envoy.held[routes().key] == routes("a", filters=("one", "right"))
    assert not envoy.seen_unknown_chains


async def test_an_envoy_that_does_not_answer_delays_but_does_not_block() -> None:
    ads = Ads(lambda _: None, patience=0.01)
    ads.update(BASE)
    async with alive(Envoy(ads), ads) as envoy:
        await settled(ads)
        answered = len(envoy.got)
        envoy.answering = False
        ads.update([cluster("b"), endpoints("b"), routes("b")])
        async with asyncio.timeout(PATIENCE):
            while ROUTES not in {each.type_url for each in envoy.got[answered:]}:  # noqa: ASYNC110
                await asyncio.sleep(0.005)


async def test_being_settled_is_told_each_time() -> None:
    told: list[bool] = []
    ads = Ads(lambda _: None, lambda: told.append(ads.is_settled))
    ads.update(BASE)
    async with alive(Envoy(ads), ads):
        await settled(ads)
        before = len(told)
        ads.update([endpoints("a", 1)])
        assert not ads.is_settled
        await settled(ads)
        assert len(told) == before + 1
    assert all(told)


@pytest.mark.parametrize("refused", [FILTER, LISTENER, ROUTES])
async def test_being_settled_is_not_told_while_older_content_is_in_force(refused: str) -> None:
    told: list[bool] = []
    ads = Ads(lambda _: None, lambda: told.append(True))
    ads.update(BASE)
    news = {FILTER: chains("new"), LISTENER: listener(1), ROUTES: routes("a", "a")}
    envoy = Envoy(ads, refuses=lambda each: each == news[refused])
    async with alive(envoy, ads):
        await settled(ads)
        before = len(told)
        ads.update([*news.values()])
        await settled(ads)
        assert len(told) == before
        envoy.refuses = lambda _: False
        ads.retry([news[refused].key])
        await settled(ads)
        assert len(told) == before + 1


@settings(max_examples=150)
@given(
    steps=st.lists(
        st.tuples(
            st.frozensets(st.sampled_from("abcdef"), min_size=1),  # services routed to
            st.integers(0, 2),  # content of clusters and endpoints
            st.integers(0, 12),  # turns of the event loop before the next step
        ),
        min_size=1,
        max_size=12,
    ),
    seed=st.integers(0, 1000),
    reconnects=st.booleans(),
)
def test_whatever_changes_routes_never_name_what_envoy_lacks(
    steps: list[tuple[frozenset[str], int, int]], seed: int, reconnects: bool
) -> None:
    async def play() -> None:
        ads, rejections = new_ads()
        wanted: dict[Key, Resource] = {}
        envoy = Envoy(ads, seed=seed)
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(alive(envoy, ads))
            for number, (services, mark, turns) in enumerate(steps):
                state = [
                    listener(),
                    chains(*services),
                    routes(*services, filters=()),
                    *(cluster(name, mark) for name in services),
                    *(endpoints(name, mark) for name in services),
                ]
                gone = wanted.keys() - {resource.key for resource in state}
                if reconnects and number == len(steps) // 2:
                    await stack.aclose()
                    assert not envoy.seen_unknown_clusters
                ads.update(state, gone)
                wanted = {resource.key: resource for resource in state}
                if reconnects and number == len(steps) // 2:
                    envoy = Envoy(ads, seed=seed + 1, held=envoy.held)
                    await stack.enter_async_context(alive(envoy, ads))
                for _ in range(turns):
                    await asyncio.sleep(0)
            await settled(ads)
        assert envoy.held == wanted
        assert not envoy.seen_unknown_clusters
        assert rejections == []

    asyncio.run(play())
