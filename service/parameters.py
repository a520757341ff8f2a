"""Query parameters: strict as bodies are, and declared from the same schema that checks them."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import QueryParams

from service.faults import fault_of, nearest
from service.problems import INVALID_FIELD, FieldError, Problem, invalid_field

MOST_OF_A_PAGE = 100

_WHOLE = re.compile(r"-?[0-9]{1,18}")


class Parameters(BaseModel):
    """The query parameters of one endpoint; each may come once."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Paged(Parameters):
    """Which page of a list."""

    limit: Annotated[
        int, Field(ge=1, le=MOST_OF_A_PAGE, description="How many a page has at most.")
    ] = 30
    cursor: Annotated[
        str | None, Field(description="`next` of the page before.", max_length=256)
    ] = None


P = TypeVar("P", bound=Parameters)


def read(model: type[P], query: QueryParams) -> P:
    """Check a request's query.

    Raises
    ------
    Problem
        A parameter is unknown, comes twice, or has a wrong value.
    """
    names = [name for name, _ in query.multi_items()]
    for name in names:
        if name not in model.model_fields:
            raise _unknown(name, model)
        if names.count(name) > 1:
            raise invalid_field(
                f"The query parameter `{name}` comes more than once.", f"/{name}", "duplicate_key"
            )
    try:
        return model.model_validate(
            {name: _typed(text, model, name) for name, text in query.items()}
        )
    except ValidationError as error:
        details = error.errors(include_input=False, include_url=False)
        first = str(details[0]["loc"][0])
        faults = [
            FieldError(f"/{detail['loc'][0]}", fault_of(detail, model.model_fields)[0])
            for detail in details
        ]
        sentence = fault_of(details[0], model.model_fields)[1]
        raise Problem(INVALID_FIELD, f"The query parameter `{first}` {sentence}", faults) from None


def bad_cursor() -> Problem:
    """Make the answer to a `cursor` that no page has told."""
    return invalid_field(
        "The query parameter `cursor` must be the `next` of a page.", "/cursor", "invalid"
    )


def declared(model: type[Parameters]) -> list[dict[str, Any]]:
    """Declare the parameters as OpenAPI has them."""
    described = []
    for name, schema in model.model_json_schema()["properties"].items():
        inner = {key: value for key, value in schema.items() if key != "title"}
        kept = _without_null(inner)
        text = kept.pop("description", "")
        described.append(
            {"name": name, "in": "query", "required": False, "description": text, "schema": kept}
        )
    return described


def header(name: str, description: str, **schema: Any) -> dict[str, Any]:
    """Declare a request header as OpenAPI has it."""
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", **schema},
    }


def _typed(text: str, model: type[Parameters], name: str) -> str | int:
    """A whole number where one is asked for; everything else is a text."""
    whole = model.model_fields[name].annotation is int
    return int(text) if whole and _WHOLE.fullmatch(text) else text


def _unknown(name: str, model: type[Parameters]) -> Problem:
    known: Iterable[str] = model.model_fields
    near = nearest(name, model.model_fields)
    hint = (
        f"did you mean `{near}`?"
        if near
        else f"known are {', '.join(f'`{one}`' for one in known)}."
    )
    return invalid_field(
        f"The query has a parameter that is not known; {hint}", "", "unknown_parameter"
    )


def _without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """An optional parameter is left out, never null."""
    kept = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
    if schema.get("default") is not None:
        kept["default"] = schema["default"]
    others = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    return {**kept, **(others[0] if len(others) == 1 else {})}
