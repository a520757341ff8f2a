"""The published contract is what the app serves, and its fixtures are real answers."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from service import problems
from service.openapi import document, write
from tests.contract.client import AppClient
from tests.contract.exchanges import EXCHANGES, FOLDER, as_fixture, call, services

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "openapi" / "openapi.json"
API_PAGE = ROOT / "docs" / "api.md"
CONTRACT: dict[str, Any] = json.loads(PUBLISHED.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def clients(published: Path) -> Iterator[dict[str, AppClient]]:
    with services(published) as clients:
        yield clients


def fixture(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return loaded


NDJSON_ROWS = {
    "/v1/score/batch": ("Score", "RowProblem"),
    "/v1/events": ("KeptEvent", "RefusedEvent"),
}


def template(path: str) -> str:
    """The path as the contract has it."""
    bare = path.split("?")[0]
    for known in CONTRACT["paths"]:
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", known), bare):
            return str(known)
    return bare


def conform(value: Any, schema: dict[str, Any]) -> None:
    """Hold a value against a schema of the contract."""
    whole = {**schema, "components": CONTRACT["components"]}
    jsonschema.Draft202012Validator(whole).validate(value)


def check_against_contract(kept: dict[str, Any]) -> None:
    request, response = kept["request"], kept["response"]
    path = CONTRACT["paths"].get(template(request["path"]), {})
    operation = path.get(request["method"].lower())
    if operation is None:
        conform(response["body"], {"$ref": "#/components/schemas/Problem"})
        return
    declared = operation["responses"][str(response["status"])].get("content")
    if not declared or request["method"] == "HEAD":
        assert response["body"] == ""
        return
    media_type = response["headers"]["content-type"].split(";")[0]
    conform(response["body"], declared[media_type]["schema"])
    if media_type == "application/x-ndjson" and template(request["path"]) in NDJSON_ROWS:
        names = NDJSON_ROWS[request["path"]]
        row = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in names]}
        for line in response["body"].splitlines():
            conform(json.loads(line), row)


def shape(value: Any) -> Any:
    """Leave of a value only what does not depend on the model: keys, and the types of values."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in sorted(value.items())}
    if isinstance(value, list):
        return sorted({json.dumps(shape(inner)) for inner in value})
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number or null"
    return "number or null" if value is None else type(value).__name__


def test_the_published_contract_is_what_the_app_serves(client: AppClient) -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == document()
    assert client.get("/openapi.json").json() == CONTRACT


def test_writing_the_contract_gives_the_same_bytes(tmp_path: Path) -> None:
    assert write(tmp_path / "new").read_bytes() == PUBLISHED.read_bytes()


def test_every_exchange_has_its_fixture_and_every_fixture_its_exchange() -> None:
    assert {path.stem for path in FOLDER.glob("*")} == set(EXCHANGES)


def test_every_endpoint_and_every_kind_of_problem_has_a_fixture() -> None:
    kept = [fixture(name) for name in EXCHANGES]
    answered = {
        (one["request"]["method"].lower(), template(one["request"]["path"]))
        for one in kept
        if one["response"]["status"] < 300
    }
    assert answered == {
        (method, path) for path, item in CONTRACT["paths"].items() for method in item
    }
    told = {one["response"]["body"]["type"] for one in kept if one["response"]["status"] >= 400}
    assert told == {kind.type for kind in problems.KINDS}


@pytest.mark.parametrize("name", EXCHANGES)
def test_a_fixture_keeps_to_the_contract(name: str) -> None:
    check_against_contract(fixture(name))


@pytest.mark.parametrize("name", EXCHANGES)
def test_the_live_answer_is_like_the_fixture(clients: dict[str, AppClient], name: str) -> None:
    exchange = EXCHANGES[name]
    live = as_fixture(exchange, call(clients[exchange.service], exchange))
    kept = fixture(name)
    check_against_contract(live)
    assert live["request"] == kept["request"]
    if kept["response"]["status"] >= 400:
        assert live["response"] == kept["response"]
    else:
        assert shape(live["response"]) == shape(kept["response"])
        assert live["response"]["headers"] == kept["response"]["headers"]


@pytest.mark.parametrize("name", [name for name in EXCHANGES if name.startswith("score_")])
def test_requests_that_are_answered_keep_to_the_contract_too(name: str) -> None:
    request = fixture(name)["request"]
    operation = CONTRACT["paths"][request["path"]][request["method"].lower()]
    media_type = request["headers"]["content-type"]
    if name != "score_batch_json":  # has a wrong row on purpose
        conform(request["body"], operation["requestBody"]["content"][media_type]["schema"])


def test_examples_in_the_contract_are_scored(client: AppClient) -> None:
    content = CONTRACT["paths"]["/score"]["post"]["requestBody"]["content"]
    for example in content["application/json"]["examples"].values():
        assert client.post("/score", example["value"]).status_code == 200


def test_the_contract_names_no_address_to_load_anything_from() -> None:
    assert "http://" not in document()
    assert "https://" not in document()


@pytest.mark.parametrize(
    "kind", problems.KINDS + problems.CONNECTION_KINDS, ids=lambda kind: kind.slug
)
def test_every_kind_of_problem_is_described(kind: problems.Kind) -> None:
    page = API_PAGE.read_text(encoding="utf-8")
    assert re.search(rf"^### `{re.escape(kind.type)}` \({kind.status}\)$", page, re.MULTILINE)


def test_every_code_of_a_field_error_is_described() -> None:
    page = API_PAGE.read_text(encoding="utf-8")
    sources = [path.read_text() for path in (ROOT / "service").glob("*.py")]
    codes = set()
    for source in sources:
        codes |= set(re.findall(r'FieldError\([^()]*, "(\w+)"\)', source))
        codes |= set(re.findall(r'_Fault\(\s*"(\w+)"', source))
    assert len(codes) > 20
    for code in codes:
        assert f"`{code}`" in page, code
