"""What is wrong with a keepwell.toml, in one line: file, line, key, what is allowed."""

import re
from pathlib import Path

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from training.advice import nearest

_ALLOWED = {
    "int_type": "must be a whole number, not {input!r}",
    "float_type": "must be a number, not {input!r}",
    "string_type": "must be text in quotes, not {input!r}",
    "finite_number": "must be a finite number, not {input!r}",
    "greater_than": "must be more than {gt}, not {input!r}",
    "greater_than_equal": "must be at least {ge}, not {input!r}",
    "less_than_equal": "must be at most {le}, not {input!r}",
    "string_pattern_mismatch": "must be three capital letters such as RUB or EUR, not {input!r}",
    "model_type": "must be a table such as [{key}], not {input!r}",
    "model_attributes_type": "must be a table such as [{key}], not {input!r}",
    "value_error": "{error}",
}


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
    section, key = location[0], location[1] if len(location) > 1 else None
    line = _line_of(text, section, key)
    where = f"{path}, line {line}: " if line else f"{path}: "
    name = f"[{section}]" if key is None else f"[{section}] {key}"
    if problem["type"] == "extra_forbidden":
        known = _keys(config, section if key is not None else None)
        if key is None and not isinstance(problem["input"], dict):
            return f"{where}unknown key {section}{_hint(config, section, known)}"
        noun = "table" if key is None else "key"
        return f"{where}unknown {noun} {name}{_hint(config, location[-1], known)}"
    if problem["type"] == "missing":
        if section == "events":
            return f"{where}[events] query is missing: the SQL that maps your data to events"
        return f"{where}{name} is missing"
    return f"{where}{name} {_allowed(problem, section)}"


def _allowed(problem: ErrorDetails, section: str) -> str:
    wording = _ALLOWED.get(problem["type"])
    if "date" in problem["type"]:
        wording = "must be a date such as 2011-12-10, not {input!r}"
    if wording is None:
        return f"is wrong: {problem['msg']}"
    limits = {
        name: int(limit) if isinstance(limit, float) and limit.is_integer() else limit
        for name, limit in problem.get("ctx", {}).items()
    }
    return wording.format(input=problem["input"], key=section, **limits)


def _hint(config: type[BaseModel], name: str, known: list[str]) -> str:
    """Say in which table a key belongs, or else which known one is nearest."""
    for section in config.model_fields:
        if name in _keys(config, section):
            return f"; it belongs in [{section}]"
    return nearest(name, known)


def _keys(config: type[BaseModel], section: str | None) -> list[str]:
    if section is None:
        return list(config.model_fields)
    table: object = config.model_fields[section].annotation
    if isinstance(table, type) and issubclass(table, BaseModel):
        return list(table.model_fields)
    return []


def _location(problem: ErrorDetails) -> tuple[str, ...]:
    """Return table and key, without the branches of a union that pydantic names."""
    return tuple(str(part) for part in problem["loc"] if part not in ("date", "datetime"))


def _line_of(text: str, section: str, key: str | None) -> int | None:
    """Return the line where a key, or else its table, begins; None where it cannot be told."""
    current: str | None = None
    header: int | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        table = re.match(r"\s*\[\s*([\w-]+)\s*\]", line)
        if table:
            current = table[1]
            header = number if current == section else header
        assigned = re.match(r"\s*([\w-]+)\s*=", line)
        if assigned and (
            (current == section and assigned[1] == key)
            or (current is None and key is None and assigned[1] == section)
        ):
            return number
    return header
