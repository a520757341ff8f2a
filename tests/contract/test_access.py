"""Who is let in where: the table of docs/keys.md, held against the code, the contract, the app."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter
from starlette.applications import Starlette
from starlette.routing import Mount

from service.access import table
from service.access.keys import KeyScope
from service.openapi import document
from service.settings import Settings
from tests import keys
from tests.contract.client import NOW, AppClient, build, customer
from tests.contract.planted_jobs import LIST, WAITING

PAGE = Path(__file__).parents[2] / "docs" / "keys.md"
SCOPES = tuple(KeyScope)
EVERY = frozenset(SCOPES)
IN_FORCE = {f"only{scope}": frozenset({scope}) for scope in SCOPES} | {"all": EVERY}
DEAD = ("none", "malformed", "unknown", "wrong", "expired")
REFUSED = {401, 403}


def documented() -> dict[str, frozenset[KeyScope]]:
    """The table as people read it."""
    section = PAGE.read_text(encoding="utf-8").partition("## What a key may do")[2]
    found: dict[str, frozenset[KeyScope]] = {}
    for endpoints, allowed in re.findall(r"^\| (`.+?`) \| (.+?) \|$", section, re.MULTILINE):
        scopes = frozenset(map(KeyScope, re.findall(r"`(\w+)`", allowed)))
        if allowed == "any key":
            scopes = EVERY
        assert scopes or allowed == "no key", allowed
        for endpoint in re.findall(r"`([A-Z]+ [^`]+)`", endpoints):
            assert endpoint not in found, endpoint
            found[endpoint] = scopes
    return found


TABLE = documented()


@pytest.fixture
def settings(published: Path, tmp_path: Path) -> Settings:
    """Of a service with keys: one of each scope, one of all, one that has expired."""
    held = [keys.key(name, scopes) for name, scopes in IN_FORCE.items()]
    held.append(keys.key("expired", EVERY, expires_at=NOW))
    path = keys.write(tmp_path / "keys.toml", *held)
    return Settings(models_dir=published, keys_file=path)


@pytest.fixture
def keyed(settings: Settings) -> Iterator[AppClient]:
    with build(settings) as client:
        yield client


def ask(client: AppClient, endpoint: str, key: str | None) -> httpx.Response:
    method, path = endpoint.split(" ")
    headers = {}
    if key == "malformed":
        headers["authorization"] = "Bearer hello"
    elif key == "wrong":
        headers["authorization"] = keys.header("all")[:-1] + "x"
    elif key not in (None, "none"):
        headers["authorization"] = keys.header(key)
    return client.request(method, re.sub(r"{\w+}", "0" * 32, path), headers=headers)


def test_the_table_of_the_page_is_that_of_the_code() -> None:
    assert table.ACCESS == TABLE


def test_the_contract_declares_the_table() -> None:
    paths = json.loads(document())["paths"]
    declared = {
        f"{method.upper()} {path}": operation
        for path, operations in paths.items()
        for method, operation in operations.items()
    }
    assert set(declared) == set(TABLE) - {"GET /openapi.json"}
    for endpoint, operation in declared.items():
        asked = frozenset(
            KeyScope(one) for alternative in operation["security"] for one in alternative["key"]
        )
        assert asked == TABLE[endpoint], endpoint
        assert all(len(alternative["key"]) == 1 for alternative in operation["security"])
        assert ({"401", "403"} <= set(operation["responses"])) == bool(asked), endpoint


def test_every_endpoint_is_in_the_table_and_no_other(client: AppClient) -> None:
    served = {
        f"{method} {route.path_format}"
        for included in client.app.routes
        for route in included.original_router.routes  # type: ignore[attr-defined]
        for method in route.methods
    }
    assert served == set(table.ACCESS)


def test_an_endpoint_that_nobody_decided_on_is_not_served(keyed: AppClient) -> None:
    router = APIRouter()
    router.add_api_route("/v1/secrets", lambda: "secret")
    keyed.app.include_router(router)
    answer = ask(keyed, "GET /v1/secrets", "all")
    assert answer.status_code == 500
    assert 'secret"' not in answer.text


def test_every_key_is_let_in_where_the_table_says_and_nowhere_else(keyed: AppClient) -> None:
    for endpoint, allowed in TABLE.items():
        for name, scopes in IN_FORCE.items():
            status = ask(keyed, endpoint, name).status_code
            if not allowed or allowed & scopes:
                assert status not in REFUSED, (endpoint, name)
            else:
                assert status == 403, (endpoint, name)
        for name in DEAD:
            status = ask(keyed, endpoint, name).status_code
            assert (status == 401) == bool(allowed), (endpoint, name)


def test_who_is_not_let_in_does_not_hear_why(keyed: AppClient) -> None:
    answers = [ask(keyed, "POST /score", name) for name in DEAD]
    told = [{**answer.json(), "request_id": ""} for answer in answers]
    assert told == [told[0]] * len(DEAD)
    assert told[0]["type"] == "/problems/unauthorized"
    for answer in answers:
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["connection"] == "close"
    count = keyed.metric
    reasons = {"missing": 1, "malformed": 1, "unknown": 2, "expired": 1}
    assert {one: count("auth_failures_total", reason=one) for one in reasons} == reasons


def test_who_lacks_a_scope_hears_which(keyed: AppClient) -> None:
    answer = ask(keyed, "GET /v1/jobs", "onlyscore")
    assert answer.json()["type"] == "/problems/forbidden"
    assert answer.headers["www-authenticate"] == (
        'Bearer error="insufficient_scope", scope="admin batch"'
    )
    assert keyed.metric("auth_failures_total", reason="scope") == 1


def test_two_keys_at_once_are_none(keyed: AppClient) -> None:
    shown = [("authorization", keys.header("all"))] * 2
    assert keyed.get("/v1/model", headers=shown).status_code == 401


def test_nothing_of_a_body_is_read_before_its_key(keyed: AppClient) -> None:
    async def body() -> Any:
        raise AssertionError("read")
        yield b""

    for path in ("/score", "/v1/score/batch", "/v1/events", "/v1/jobs", "/v1/plan"):
        assert keyed.stream(path, body()).status_code == 401


def test_the_secret_of_a_key_is_nowhere(keyed: AppClient) -> None:
    for name in ("all", "onlyscore", "wrong", "expired"):
        answer = ask(keyed, "GET /v1/jobs", name)
        # Of the wrong one all but the last character, by which it differs, are a secret.
        assert keys.header(name)[-60:-1] not in answer.text + str(answer.headers)
    assert keys.header("all")[-60:-1] not in repr(keyed.app.state.keepwell)


def test_under_another_path_keys_are_asked_for_too(settings: Settings) -> None:
    mounted = build(settings)
    mounted.app = Starlette(routes=[Mount("/churn", mounted.app)])  # type: ignore[assignment]
    shown = keys.header("onlyscore")
    with mounted:
        assert mounted.post("/churn/score", customer()).status_code == 401
        assert mounted.post("/churn/v1/events", {}, authorization=shown).status_code == 403
        assert mounted.post("/churn/score", customer(), authorization=shown).status_code == 200


def test_without_keys_nobody_is_asked_for_one(client: AppClient) -> None:
    for endpoint in TABLE:
        if not endpoint.startswith("DELETE"):
            assert ask(client, endpoint, "wrong").status_code not in REFUSED, endpoint


def test_a_key_that_is_taken_out_is_refused_and_a_new_one_let_in(
    published: Path, tmp_path: Path
) -> None:
    path = keys.write(tmp_path / "keys.toml", keys.key("old", EVERY))
    with build(Settings(models_dir=published, keys_file=path)) as client:
        keys.write(path, keys.key("old", EVERY), keys.key("new", EVERY))
        client.refresh()
        assert ask(client, "GET /v1/model", "old").status_code == 200
        assert ask(client, "GET /v1/model", "new").status_code == 200
        keys.write(path, keys.key("new", EVERY))
        client.refresh()
        assert ask(client, "GET /v1/model", "old").status_code == 401
        assert ask(client, "GET /v1/model", "new").status_code == 200


# Whose key is shown, and whether it is to be let to the jobs of client `a`.
CALLERS = {"a1": True, "a2": True, "b1": False, "root": True}
JOB_ENDPOINTS = [endpoint for endpoint in TABLE if "{job_id}" in endpoint]


@pytest.fixture
def shared(published: Path, tmp_path: Path) -> Iterator[AppClient]:
    """A service with two clients and an administrator."""
    batch, admin = {KeyScope.BATCH}, {KeyScope.ADMIN}
    path = keys.write(
        tmp_path / "keys.toml",
        keys.key("a1", batch, client="a"),
        keys.key("a2", batch, client="a"),
        keys.key("b1", batch, client="b"),
        keys.key("root", admin, client="c"),
    )
    with build(Settings(models_dir=published, keys_file=path)) as client:
        yield client


def submit(client: AppClient, key: str, **headers: str) -> httpx.Response:
    return client.post(
        "/v1/jobs",
        LIST.encode(),
        content_type="application/x-ndjson",
        authorization=keys.header(key),
        **headers,
    )


def of(client: AppClient, key: str, method: str, path: str) -> httpx.Response:
    return client.request(method, path, headers={"authorization": keys.header(key)})


@pytest.mark.parametrize("endpoint", JOB_ENDPOINTS)
@pytest.mark.parametrize("key", CALLERS)
def test_a_job_is_its_clients_and_the_administrators(
    shared: AppClient, endpoint: str, key: str
) -> None:
    place = submit(shared, "a1").headers["location"]
    assert shared.app.state.keepwell.jobs.worker.step()
    method, path = endpoint.split(" ")
    answer = of(shared, key, method, path.replace("/v1/jobs/{job_id}", place))
    never = of(shared, key, method, path.replace("{job_id}", WAITING))
    assert never.status_code == 404
    if CALLERS[key]:
        assert answer.status_code in {200, 204, 409}
    else:
        assert answer.status_code == 404
        if method != "HEAD":
            assert {**answer.json(), "request_id": ""} == {**never.json(), "request_id": ""}
        assert of(shared, "a1", "GET", place).json()["state"] == "done"


def test_a_list_of_jobs_has_the_clients_own(shared: AppClient) -> None:
    first = submit(shared, "a1").json()["job_id"]
    second = submit(shared, "b1").json()["job_id"]

    def listed(key: str) -> set[str]:
        return {job["job_id"] for job in of(shared, key, "GET", "/v1/jobs").json()["jobs"]}

    assert listed("a1") == listed("a2") == {first}
    assert listed("b1") == {second}
    assert listed("root") == {first, second}


def test_an_idempotency_key_is_the_clients_own(shared: AppClient) -> None:
    first = submit(shared, "a1", idempotency_key="week-1")
    again = submit(shared, "a2", idempotency_key="week-1")
    other = submit(shared, "b1", idempotency_key="week-1")
    assert [one.status_code for one in (first, again, other)] == [202, 200, 202]
    assert first.json()["job_id"] == again.json()["job_id"] != other.json()["job_id"]


def test_a_job_from_before_there_were_keys_is_the_administrators(
    published: Path, shared: AppClient
) -> None:
    with build(Settings(models_dir=published)) as before:
        place = before.post("/v1/jobs", LIST.encode(), content_type="application/x-ndjson").headers[
            "location"
        ]
        foreign = submit(shared, "a1").headers["location"]
        # Where no keys are asked for everybody sees everything.
        assert before.get(foreign).status_code == 200
    assert of(shared, "a1", "GET", place).status_code == 404
    assert of(shared, "root", "GET", place).status_code == 200
    assert of(shared, "root", "DELETE", foreign).status_code == 204
    assert of(shared, "a1", "GET", foreign).status_code == 404
