"""From an Arrow IPC stream of columns to checked rows. Loaded only where pyarrow is installed.

As strict as the JSON form: nothing is coerced but whole numbers to floats, unknown columns are
errors, null is missing and NaN is refused. A fault of one value is a fault of the stream.
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from churn.events import Feed
from churn.inputs import Input, Inputs
from churn.reasons import MAX_REASONS
from service.arrow_columns import (
    channels_of,
    codes_of,
    identifiers,
    instants_of,
    is_text,
    is_texts,
    numbers_of,
)
from service.arrow_messages import RECORDS, SCHEMA, BadStream, Message, messages
from service.columns import Told
from service.faults import nearest
from service.problems import MALFORMED_ARROW, FieldError, Problem, invalid_field
from service.schemas import (
    DEFAULT_REASONS,
)
from service.validation import check_count

OPTIONS = "keepwell."
"""What a key of the schema's metadata begins with, if it is for us."""

_CUSTOMER, _AS_OF, _CHANNELS = "customer_id", "as_of", "channels"


class Columns(NamedTuple):
    """The checked content of a stream of n customers.

    `as_of` has microseconds since 1970-01-01 UTC, `numbers` the model's input columns, `channels`
    what each customer allows, if anybody was asked.
    """

    customer_id: list[str]
    as_of: NDArray[np.int64]
    numbers: NDArray[np.float64]
    told: Told
    channels: list[frozenset[str] | None] | None


def read(stream: bytes, inputs: Inputs, *, now: int, most: int) -> Columns:
    """Decode and check a stream.

    Parameters
    ----------
    stream : bytes
        A whole Arrow IPC stream.
    inputs : Inputs
        The model's input columns.
    now : int
        `as_of` of the customers that have none.
    most : int
        Most customers of a stream.

    Raises
    ------
    Problem
        The stream is none, too long, or a column or a value is wrong.
    """
    described = _frames(stream, most)
    try:
        with pa.ipc.open_stream(pa.py_buffer(stream)) as reader:
            schema = reader.schema
            wanted = _wanted(schema, inputs)
            # Only now, when no column is left that nobody asked for.
            table = reader.read_all()
        table.validate(full=True)
        columns = [column.combine_chunks() for column in table.unify_dictionaries().columns]
    except Problem:
        raise
    except Exception:
        # Whatever the decoder says of bytes that are no stream; it may quote them.
        raise _malformed() from None
    assert len(table) == sum(message.rows for message in described if message.kind == RECORDS)
    customer_id: list[str] = []
    channels: list[frozenset[str] | None] | None = None
    as_of = np.full(len(table), now, dtype=np.int64)
    numbers = np.full((len(table), len(inputs.schema)), np.nan)
    for (name, found), column in zip(wanted, columns, strict=True):
        if name == _CUSTOMER:
            customer_id = identifiers(_CUSTOMER, column)
        elif name == _CHANNELS:
            channels = channels_of(_CHANNELS, column)
        elif found is None:
            as_of = instants_of(_AS_OF, column, now)
        elif found.own is not None and found.is_text:
            numbers[:, found.at] = codes_of(name, found.own, column)
        else:
            numbers[:, found.at] = numbers_of(name, column, found.may_be_negative)
    return Columns(customer_id, as_of, numbers, _told(schema.metadata or {}), channels)


def _frames(stream: bytes, most: int) -> list[Message]:
    """What the stream's messages say of themselves, if they may be decoded."""
    try:
        described = list(messages(stream))
    except BadStream:
        raise _malformed() from None
    if not described or described[0].kind != SCHEMA:
        raise _malformed()
    if any(message.is_compressed for message in described):
        raise invalid_field(
            "The stream's buffers are compressed, which is not supported; write them plain.",
            "",
            "compressed",
        )
    check_count(sum(message.rows for message in described if message.kind == RECORDS), most)
    return described


def _malformed() -> Problem:
    return Problem(
        MALFORMED_ARROW,
        "The body is not a whole Arrow IPC stream of valid columns, ended by its marker; write it "
        "with pyarrow.ipc.new_stream or its like, and close the writer.",
        (FieldError("", "malformed_arrow"),),
    )


def _wanted(schema: Any, inputs: Inputs) -> list[tuple[str, Input | None]]:
    """The columns' names, each known and of a type that it may have, and the model's inputs."""
    if len(set(schema.names)) != len(schema.names):
        raise invalid_field("Two columns have the same name; send each once.", "", "duplicate_key")
    if _CUSTOMER not in schema.names:
        raise invalid_field(
            f"There must be a column `{_CUSTOMER}` of strings.", f"/{_CUSTOMER}", "required"
        )
    wanted = []
    for position, (name, kind) in enumerate(zip(schema.names, schema.types, strict=True), 1):
        found = inputs.find(name)
        if name == _AS_OF:
            if not pa.types.is_timestamp(kind) or kind.tz is None:
                raise invalid_field(
                    f"Column `{name}` must hold timestamps with a time zone, such as "
                    "timestamp[us, tz=UTC].",
                    f"/{name}",
                    "no_offset",
                )
        elif name == _CHANNELS:
            if not is_texts(kind):
                raise invalid_field(
                    f"Column `{name}` must hold lists of strings, null where nobody was asked.",
                    f"/{name}",
                    "not_an_array",
                )
        elif name == _CUSTOMER or (found is not None and found.is_text):
            if not is_text(kind):
                raise invalid_field(
                    f"Column `{name}` must hold strings, dictionary-encoded or not.",
                    f"/{name}",
                    "not_a_string",
                )
        elif found is None:
            near = nearest(name, inputs.schema.names)
            hint = f"did you mean `{near}`?" if near else "GET /v1/model lists the features."
            raise invalid_field(
                f"Column {position} is not a feature of the loaded model; {hint}",
                "",
                "unknown_feature",
            )
        elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            raise invalid_field(
                f"Column `{name}` must hold numbers; send null where unknown.",
                f"/{name}",
                "not_a_number",
            )
        wanted.append((name, found))
    return wanted


def _told(metadata: dict[bytes, bytes]) -> Told:
    asked = {
        key.removeprefix(OPTIONS.encode()): value
        for key, value in metadata.items()
        if key.startswith(OPTIONS.encode())
    }
    choices: dict[bytes, dict[bytes, Any]] = {
        b"max_reasons": {b"%d" % most: most for most in range(MAX_REASONS + 1)},
        b"direction": {b"raises": "raises", b"both": "both"},
        b"language": {b"en": "en", b"ru": "ru"},
    }
    told: dict[bytes, Any] = {
        b"max_reasons": DEFAULT_REASONS, b"direction": "raises", b"language": "en", b"feeds": None,
    }  # fmt: skip
    feeds = {feed.value.encode(): feed for feed in Feed}
    for key, value in asked.items():
        if key == b"feeds" and set(value.split(b",")) <= feeds.keys():
            told[key] = frozenset(feeds[feed] for feed in value.split(b","))
        elif key in choices and value in choices[key]:
            told[key] = choices[key][value]
        else:
            known = key.decode() if key in told else None
            allowed = b", ".join(feeds if key == b"feeds" else choices.get(key, told)).decode()
            raise invalid_field(
                f"The schema's metadata `{OPTIONS}{known}` must be of: {allowed}."
                if known
                else f"The schema's metadata has an option that is not known; known are {allowed}.",
                f"/{OPTIONS}{known}" if known else "",
                "unknown_value" if known else "unknown_field",
            )
    return Told(*(told[key] for key in (b"max_reasons", b"direction", b"language", b"feeds")))
