"""Requests survive what networks and busy servers do, and never wait for ever."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from regatta.kube.client import Client
from regatta.kube.config import Connection
from regatta.kube.errors import (
    AlreadyExists,
    Invalid,
    NotFound,
    NotLeading,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from regatta.kube.resources import LEASES, PODS, TRAINING_JOBS, Resource
from regatta.kube.retry import Backoff, Effect, RetryPolicy, pause_before_retry
from regatta.kube.transport import Lane, Transport
from tests.unit.kube.conftest import FaultyServer, hangs, hangs_up, says, streams

QUICK = RetryPolicy(attempts=4, budget=5.0, backoff=Backoff(first=0.01, cap=0.02))


def status(reason: str) -> bytes:
    return orjson.dumps({"kind": "Status", "reason": reason, "message": reason})


async def ask(
    server: FaultyServer, *, effect: Effect = Effect.REPEATABLE, seconds: float = 2.0, policy: RetryPolicy = QUICK
) -> bytes:
    async with Transport(server.connection) as transport:
        return await transport.request(
            "POST",
            "/x",
            verb="create",
            resource="x",
            lane=Lane.BULK,
            effect=effect,
            body=b"{}",
            policy=policy,
            seconds=seconds,
        )


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(says(500, b"oops"), id="internal error"),
        pytest.param(says(503, b""), id="unavailable"),
        pytest.param(says(429, status("TooManyRequests")), id="too many requests"),
        pytest.param(hangs_up, id="hung up"),
        pytest.param(streams(b"{", then="cut"), id="cut in the middle of the answer"),
    ],
)
async def test_a_passing_fault_is_not_noticed(server: FaultyServer, fault: Any) -> None:
    server.script = [fault, fault, says(200, b'{"fine":1}')]
    assert await ask(server) == b'{"fine":1}'
    assert len(server.requests) >= 3


async def test_a_lasting_fault_is_told_after_the_policys_tries(server: FaultyServer) -> None:
    server.script = [says(503, b"away")]
    with pytest.raises(Unavailable, match="away"):
        await ask(server)
    assert len(server.requests) == QUICK.attempts


async def test_a_server_that_never_answers_costs_a_bounded_time(server: FaultyServer) -> None:
    server.script = [hangs]
    with pytest.raises(Unavailable, match="in time"):
        await ask(server, seconds=0.1, policy=RetryPolicy(attempts=1, budget=0))


async def test_no_server_at_all_is_unavailable() -> None:
    async with Client(Connection(server="http://127.0.0.1:1")) as client:
        with pytest.raises(Unavailable):
            await client.create(PODS, namespace="team", body={}, once=True)


async def test_a_request_that_may_take_effect_twice_is_not_repeated_after_a_lost_answer(server: FaultyServer) -> None:
    server.script = [hangs_up]
    with pytest.raises(Unavailable):
        await ask(server, effect=Effect.ONCE)
    assert len(server.requests) == 1


async def test_but_it_is_repeated_when_it_was_refused_before_anything_was_done(server: FaultyServer) -> None:
    server.script = [says(429, b""), says(200, b"{}")]
    assert await ask(server, effect=Effect.ONCE) == b"{}"


@pytest.mark.parametrize(("code", "error"), [(404, NotFound), (422, Invalid)])
async def test_a_clear_refusal_is_told_at_once(server: FaultyServer, code: int, error: type[Exception]) -> None:
    server.script = [says(code, b"no")]
    with pytest.raises(error):
        await ask(server)
    assert len(server.requests) == 1


async def test_a_create_whose_answer_was_lost_ends_as_already_exists(server: FaultyServer) -> None:
    server.script = [hangs_up, says(409, status("AlreadyExists"))]
    with pytest.raises(AlreadyExists):
        await ask(server, effect=Effect.NAMED_CREATE)


async def test_a_create_that_met_a_quotas_other_update_is_repeated(server: FaultyServer) -> None:
    server.script = [says(409, status("Conflict")), says(201, b"{}")]
    assert await ask(server, effect=Effect.NAMED_CREATE) == b"{}"


class Tokens:
    """Credentials that are good from the second reading on."""

    def __init__(self) -> None:
        self.refusals = 0

    async def header(self) -> str | None:
        return f"Bearer {self.refusals}"

    def refused(self) -> None:
        self.refusals += 1


async def test_refused_credentials_are_renewed_once_and_sent_again(server: FaultyServer) -> None:
    tokens = Tokens()
    server.script = [says(401, b""), says(200, b"{}")]
    async with Client(Connection(server=server.url, credentials=tokens)) as client:
        await client.get(PODS, namespace="team", name="a")
    assert [request.headers["Authorization"] for request in server.requests] == ["Bearer 0", "Bearer 1"]


async def test_credentials_that_stay_refused_are_told(server: FaultyServer) -> None:
    server.script = [says(401, b"")]
    async with Client(Connection(server=server.url, credentials=Tokens())) as client:
        with pytest.raises(Unauthorized):
            await client.get(PODS, namespace="team", name="a")
    assert len(server.requests) == 2


async def test_a_status_write_and_a_lease_do_not_wait_behind_creates(server: FaultyServer) -> None:
    async def answer(request: Any) -> Any:
        return await (hangs(request) if request.method == "POST" else says(200, b"{}")(request))

    server.script = [answer]
    async with Client(server.connection, parallel_writes=2) as client:
        creates = [asyncio.create_task(client.create(PODS, namespace="team", body={})) for _ in range(10)]
        async with asyncio.timeout(2):
            await client.patch_status(TRAINING_JOBS, namespace="team", name="a", patch={})
            await client.replace(LEASES, namespace="team", name="a", body={}, lane=Lane.LEASE, seconds=1)
        for create in creates:
            create.cancel()
        await asyncio.gather(*creates, return_exceptions=True)
    assert sum(request.method == "POST" for request in server.requests) == 2


async def test_whoever_does_not_lead_writes_nothing_but_reads_and_renews(server: FaultyServer) -> None:
    server.script = [says(200, b"{}")]
    async with Client(server.connection, may_write=lambda: False) as client:
        for write in (
            client.create(PODS, namespace="team", body={}),
            client.delete(PODS, namespace="team", name="a", uid="u"),
            client.patch_status(TRAINING_JOBS, namespace="team", name="a", patch={}),
        ):
            with pytest.raises(NotLeading):
                await write
        await client.get(PODS, namespace="team", name="a")
        await client.replace(LEASES, namespace="team", name="a", body={}, lane=Lane.LEASE, seconds=1)
    assert [request.method for request in server.requests] == ["GET", "PUT"]


async def test_an_answer_that_is_no_json_is_unavailable(server: FaultyServer) -> None:
    server.script = [says(200, b"<html>login</html>")]
    async with Client(server.connection) as client:
        with pytest.raises(Unavailable, match="JSON"):
            await client.get(PODS, namespace="team", name="a")


async def test_every_request_is_observed_with_its_code(server: FaultyServer) -> None:
    seen: list[tuple[str, str, int]] = []

    def observe(*, verb: str, resource: str, code: int, seconds: float) -> None:
        assert seconds >= 0
        seen.append((verb, resource, code))

    server.script = [says(404, b""), hangs_up]
    async with Client(server.connection, observer=observe) as client:
        with pytest.raises(NotFound):
            await client.get(PODS, namespace="team", name="a")
        with pytest.raises(Unavailable):
            await client.create(PODS, namespace="team", body={}, once=True)
    assert seen == [("get", "pods", 404), ("create", "pods", 0)]


async def test_a_delete_names_the_object_it_means(server: FaultyServer) -> None:
    server.script = [says(200, b"{}")]
    async with Client(server.connection) as client:
        await client.delete(PODS, namespace="team", name="a", uid="u-1", grace_seconds=5)
    options = orjson.loads(server.bodies[0])
    assert options["preconditions"] == {"uid": "u-1"}
    assert options["gracePeriodSeconds"] == 5


async def test_a_base_url_with_a_path_is_kept(server: FaultyServer) -> None:
    server.script = [says(200, b"{}")]
    async with Client(Connection(server=f"{server.url}/k8s/clusters/c-1")) as client:
        await client.get(PODS, namespace="team", name="a")
    assert server.requests[0].path == "/k8s/clusters/c-1/api/v1/namespaces/team/pods/a"


async def lines_of(server: FaultyServer, silence: float = 0.2) -> list[bytes]:
    lines: list[bytes] = []
    async with Transport(server.connection) as transport:
        async for batch in transport.stream("/x", resource="x", params={"a": "b"}, silence=silence):
            lines += batch
    return [line for line in lines if line]


async def test_a_streams_lines_are_whole_however_they_are_cut_up(server: FaultyServer) -> None:
    server.script = [streams(b'{"a"', b":1}\n{", b'"b":', b'2}\n\n{"c":3}\n')]
    assert await lines_of(server) == [b'{"a":1}', b'{"b":2}', b'{"c":3}']


async def test_a_line_longer_than_any_buffer_arrives_whole(server: FaultyServer) -> None:
    long = b"x" * 3_000_000
    server.script = [streams(long, b"\n")]
    assert await lines_of(server) == [long]


@pytest.mark.parametrize("then", ["silence", "cut"])
async def test_a_stream_that_dies_is_unavailable_and_not_merely_over(server: FaultyServer, then: str) -> None:
    server.script = [streams(b"{}\n", then=then)]
    with pytest.raises(Unavailable):
        await lines_of(server)


@pytest.mark.parametrize("segment", ["..", "a/b", "", "a?b", "-a", "a%2fb"])
def test_a_name_that_is_none_never_becomes_a_path(segment: str) -> None:
    with pytest.raises(ValueError, match="path"):
        PODS.path(namespace="team", name=segment)


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        pytest.param(PODS, "/api/v1/namespaces/team/pods/a", id="core"),
        pytest.param(TRAINING_JOBS, "/apis/regatta.dev/v1alpha1/namespaces/team/trainingjobs/a", id="group"),
    ],
)
def test_paths_are_those_of_the_api(resource: Resource, path: str) -> None:
    assert resource.path(namespace="team", name="a") == path


def test_the_pause_is_never_shorter_than_the_server_asks() -> None:
    error = TooManyRequests("slow down", code=429, retry_after=4)
    pause = pause_before_retry(error, effect=Effect.ONCE, tried=1, elapsed=0, policy=RetryPolicy())
    assert pause is not None
    assert pause >= 4


def test_no_try_begins_after_the_budget() -> None:
    error = TooManyRequests("slow down", code=429, retry_after=4)
    assert pause_before_retry(error, effect=Effect.ONCE, tried=1, elapsed=28, policy=RetryPolicy()) is None
