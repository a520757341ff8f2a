"""Lists of customers: every row is answered or refused by itself, in input order.

The rows run inside the event loop, which gets its turn every few milliseconds, so that single
requests and probes are not kept waiting by a long list.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from service import strict_json
from service.problems import MALFORMED_JSON, TOO_LARGE, FieldError, Problem

TURN_SECONDS = 0.005
LARGE_BODY = 256 * 1024


async def parse(body: bytes, known_keys: frozenset[str]) -> Any:
    """Parse a JSON body; a large one in a thread, so that the loop goes on meanwhile.

    Raises
    ------
    Problem
        The body is not acceptable JSON.
    """
    try:
        if len(body) > LARGE_BODY:
            return await asyncio.to_thread(strict_json.parse, body, known_keys)
        return strict_json.parse(body, known_keys)
    except strict_json.BadJson as error:
        raise malformed(error) from None


def malformed(error: strict_json.BadJson) -> Problem:
    """Make the problem of a body that is not acceptable JSON."""
    return Problem(MALFORMED_JSON, str(error), (FieldError("", error.code),))


def check_count(count: int, most: int) -> None:
    """Refuse a batch of too many customers.

    Raises
    ------
    Problem
        There are more than `most`.
    """
    if count > most:
        raise Problem(
            TOO_LARGE,
            f"A batch has at most {most} customers; split the list.",
            (FieldError("", "too_many_customers"),),
        )


def lines(body: bytes, most: int) -> list[bytes]:
    """Split an NDJSON body into its lines; a line break at the end opens no further line.

    Raises
    ------
    Problem
        There are more than `most`.
    """
    body = body.rstrip(b" \t\r").removesuffix(b"\n")
    if not body:
        return []
    check_count(body.count(b"\n") + 1, most)
    return body.split(b"\n")


async def each(
    rows: Iterable[Any],
    answer: Callable[[int, Any], dict[str, Any]],
    refuse: Callable[[int, Exception], dict[str, Any]],
) -> list[bytes]:
    """Every row's answer or problem, as JSON, in input order.

    Parameters
    ----------
    rows : iterable
        Parsed customers or raw lines.
    answer : callable
        Given the row's index and the row; raises `Problem` where the row is wrong.
    refuse : callable
        Given the index and what was raised; makes the row's problem document.
    """
    out: list[bytes] = []
    turn = time.perf_counter()
    for index, row in enumerate(rows):
        try:
            result = answer(index, row)
        except Exception as error:
            result = refuse(index, error)
        out.append(orjson.dumps(result))
        if time.perf_counter() - turn > TURN_SECONDS:
            await asyncio.sleep(0)
            turn = time.perf_counter()
    return out


def line_too_long(limit: int) -> Problem:
    """Make the problem of an NDJSON line that is larger than one customer may be."""
    return Problem(
        TOO_LARGE,
        f"The line is larger than {limit} bytes; send a shorter history.",
        (FieldError("", "body_too_large"),),
    )
