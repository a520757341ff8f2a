"""The columns of a table of customers, known by name: of a CSV file or a Parquet file."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from churn.inputs import Input, Inputs
from service.faults import nearest
from service.jobs.job import JobFailed

CUSTOMER, AS_OF, EVENTS, CHANNELS = "customer_id", "as_of", "events", "channels"
_OTHERS = (CUSTOMER, AS_OF, EVENTS, CHANNELS)


class Known(NamedTuple):
    """Where each column of a table is; `features` are in the table's order."""

    names: list[str]
    features: list[tuple[int, str, Input]]
    customer: int
    as_of: int | None
    events: int | None
    channels: int | None


def known_columns(names: Sequence[str], inputs: Inputs) -> Known:
    """Find out what each column is.

    Raises
    ------
    JobFailed
        A name is not known or there twice, or `customer_id` is missing; the message never holds
        a name that is not known.
    """
    if len(set(names)) != len(names):
        raise JobFailed("two columns of the input have the same name; send each once")
    known = [*_OTHERS, *inputs.schema.names]
    features = []
    for at, name in enumerate(names):
        found = None if name in _OTHERS else inputs.find(name)
        if found is not None:
            features.append((at, name, found))
        elif name not in _OTHERS:
            near = nearest(name, known)
            hint = f"did you mean `{near}`?" if near else "GET /v1/model lists the features"
            raise JobFailed(f"column {at + 1} of the input is not known; {hint}")
    if CUSTOMER not in names:
        raise JobFailed(
            f"the input has no column `{CUSTOMER}`; its columns must be named, and separated by "
            "commas if it is CSV"
        )
    places = {name: at for at, name in enumerate(names)}
    others = (places.get(name) for name in (AS_OF, EVENTS, CHANNELS))
    return Known(list(names), features, places[CUSTOMER], *others)


def customer(
    columns: Known,
    customer_id: Any,
    as_of: Any,
    events: Any,
    channels: Any,
    cells: Mapping[str, Any],
) -> dict[str, Any]:
    """A customer as in a batch, from a row of a table.

    Parameters
    ----------
    columns : Known
        The table's.
    customer_id, as_of, events, channels : object
        As in a batch, None where there is none.
    cells : mapping of str to object
        The features, None where unknown.
    """
    value: dict[str, Any] = {CUSTOMER: customer_id}
    if as_of is not None:
        value[AS_OF] = as_of
    if channels is not None:
        value[CHANNELS] = channels
    if events is None:
        if columns.features:
            value["features"] = dict(cells)
        return value
    value[EVENTS] = events
    # Beside events stand only columns of the user's own; a feature that is not given is none.
    given = {name: cell for name, cell in cells.items() if cell is not None}
    if given:
        value["features"] = given
    return value
