"""What is wrong with a keepwell.toml, in one line: file, line, key, what is allowed."""

import re
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from churn.advice import nearest

_ALLOWED = {
    "int_type": "must be a whole number, not {input!r}",
    "float_type": "must be a number, not {input!r}",
    "string_type": "must be text in quotes, not {input!r}",
    "finite_number": "must be a finite number, not {input!r}",
    "greater_than": "must be more than {gt}, not {input!r}",
    "greater_than_equal": "must be at least {ge}, not {input!r}",
    "literal_error": "must be {expected}, not {input!r}",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "bool_type": "must be true or false, not {input!r}",
    "less_than": "must be less than {lt}, not {input!r}",
    "less_than_equal": "must be at most {le}, not {input!r}",
    "string_pattern_mismatch": "must be three capital letters such as RUB or EUR, not {input!r}",
    "model_type": "must be a table such as [{key}], not {input!r}",
    "model_attributes_type": "must be a table such as [{key}], not {input!r}",
    "value_error": "{error}",
}

_TABLE = r"\s*\[\s*([\w.-]+)\s*\]"


def explain(error: ValidationError, config: type[BaseModel], path: Path, text: str) -> str:
    """Say in one line what the first problem is, and how many more there are.

    Parameters
    ----------
    error : ValidationError
        What pydantic found.
    config : type of BaseModel
        The model whose fields are the file's tables.
    path, text
        The file and its content, from which the line is told.
    """
    by_key: dict[tuple[str, ...], ErrorDetails] = {}
    for problem in error.errors():
        by_key.setdefault(_location(problem), problem)
    # An unknown key first: a misspelt one also shows up as the key that is then missing.
    problems = sorted(by_key.values(), key=lambda problem: problem["type"] != "extra_forbidden")
    more = "" if len(problems) == 1 else f" (and {len(problems) - 1} more)"
    return _one(problems[0], config, path, text) + more


def _one(problem: ErrorDetails, config: type[BaseModel], path: Path, text: str) -> str:
    location = _location(problem)
    section, key = location[0], location[-1] if len(location) > 1 else None
    table = ".".join(location[:-1]) if key is not None else section
    line = _line_of(text, location)
    where = f"{path}, line {line}: " if line else f"{path}: "
    name = f"[{table}]" if key is None else f"[{table}] {key}"
    if problem["type"] == "extra_forbidden":
        known = _keys(config, location[:-1])
        if key is None and not isinstance(problem["input"], dict):
            return f"{where}unknown key {section}{_hint(config, section, known)}"
        noun = "table" if key is None else "key"
        return f"{where}unknown {noun} {name}{_hint(config, location[-1], known)}"
    if key == "[key]":
        expected = problem.get("ctx", {}).get("expected", "another name")
        return f"{where}[{table}] is not known; it must be one of {expected}"
    if problem["type"] == "missing":
        if section == "events":
            return f"{where}[events] query is missing: the SQL that maps your data to events"
        return f"{where}{name} is missing"
    return f"{where}{name} {_allowed(problem, table if key is None else f'{table}.{key}')}"


def _allowed(problem: ErrorDetails, table: str) -> str:
    wording = _ALLOWED.get(problem["type"])
    if "date" in problem["type"]:
        wording = "must be a date such as 2011-12-10, not {input!r}"
    if wording is None:
        return f"is wrong: {problem['msg']}"
    limits = {
        name: int(limit) if isinstance(limit, float) and limit.is_integer() else limit
        for name, limit in problem.get("ctx", {}).items()
    }
    if problem["type"] == "string_pattern_mismatch" and limits["pattern"] != "^[A-Z]{3}$":
        wording = "must be a name of letters, digits and underscores, not {input!r}"
    return wording.format(input=problem["input"], key=table, **limits)


def _hint(config: type[BaseModel], name: str, known: list[str]) -> str:
    """Say in which table a key belongs, or else which known one is nearest."""
    for section in config.model_fields:
        if name in _keys(config, (section,)):
            return f"; it belongs in [{section}]"
    return nearest(name, known)


def _keys(config: type[BaseModel], path: tuple[str, ...]) -> list[str]:
    """Return the keys that the table at a path may have; none where its keys are free."""
    table: Any = config
    for part in path:
        if isinstance(table, type) and issubclass(table, BaseModel):
            field = table.model_fields.get(part)
            table = None if field is None else field.annotation
        elif get_origin(table) is dict:
            table = get_args(table)[1]
        members = [one for one in get_args(table) if isinstance(one, type)]
        if get_origin(table) is not dict and members:
            table = members[0]
    if isinstance(table, type) and issubclass(table, BaseModel):
        return list(table.model_fields)
    return []


def _location(problem: ErrorDetails) -> tuple[str, ...]:
    """Return the tables and the key, without the branches of a union that pydantic names."""
    location = tuple(str(part) for part in problem["loc"])
    return location[:2] if location[0] == "events" else location


def _line_of(text: str, location: tuple[str, ...]) -> int | None:
    """Return the line where a key, or else the nearest table around it, begins."""
    for depth in range(len(location), 0, -1):
        table, key = ".".join(location[: depth - 1]), location[depth - 1]
        line = _assigned(text, table, key) or _header(text, ".".join(location[:depth]))
        if line is not None:
            return line
    return None


def _header(text: str, table: str) -> int | None:
    for number, line in enumerate(text.splitlines(), start=1):
        found = re.match(_TABLE, line)
        if found and f"{found[1]}.".startswith(f"{table}."):
            return number
    return None


def _assigned(text: str, table: str, key: str) -> int | None:
    current = ""
    for number, line in enumerate(text.splitlines(), start=1):
        found = re.match(_TABLE, line)
        if found:
            current = found[1]
        assigned = re.match(r"\s*([\w-]+)\s*=", line)
        if assigned and current == table and assigned[1] == key:
            return number
    return None
