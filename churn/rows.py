"""From what a caller sends of one customer to a row that can be scored."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from churn.columns import Raw
from churn.errors import RequestError
from churn.events import KIND_CODES, Event, EventLog, Feed, Kind, customers_log
from churn.features import FEATURES, POSITION, FeatureSettings, feature_rows
from churn.history import History
from churn.inputs import Inputs
from churn.manifest import Manifest
from churn.policy.contacts import Contact
from churn.reasons import Direction
from churn.schema import Schema
from churn.words import Language

_SILENCE = POSITION["days_since_last_purchase"]
_CONTACT = KIND_CODES[Kind.CONTACT]


class CustomerRow(NamedTuple):
    """One customer, ready to be scored: input columns, and how the answer is to be told.

    Attributes
    ----------
    customer_id : str
        Opaque identifier.
    numbers : ndarray of float64, shape (n_inputs,)
        Input columns.
    as_of : int
        Microseconds since 1970-01-01 UTC.
    feeds : frozenset of Feed or None
        What the caller records; None for the model's.
    max_reasons, direction, language
        How many reasons, of which direction, in which language.
    warnings : tuple of str
        What the caller should know of the request.
    missing : tuple of str
        Columns that were expected and are not known.
    channels : frozenset of str or None
        The channels that the customer allows; None where nobody was asked: all.
    contacts : tuple of Contact
        What was delivered to the customer so far.
    """

    customer_id: str
    numbers: NDArray[np.float64]
    as_of: int
    feeds: frozenset[Feed] | None
    max_reasons: int
    direction: Direction
    language: Language
    warnings: tuple[str, ...]
    missing: tuple[str, ...]
    channels: frozenset[str] | None = None
    contacts: tuple[Contact, ...] = ()


class Sent(NamedTuple):
    """What a caller says beside a customer's events; attributes as of `CustomerRow`.

    Attributes
    ----------
    named : mapping of str to float, str or None, optional
        Features that are sent ready: beside events those that no event tells, the user's own.
    """

    customer_id: str
    as_of: int
    named: Mapping[str, Raw] | None = None
    feeds: frozenset[Feed] | None = None
    max_reasons: int = 3
    direction: Direction = "raises"
    language: Language = "en"
    channels: frozenset[str] | None = None

    def row(
        self,
        numbers: NDArray[np.float64],
        warnings: tuple[str, ...],
        missing: tuple[str, ...],
        contacts: tuple[Contact, ...] = (),
    ) -> CustomerRow:
        """The customer's row, of what was found out; parameters as of `CustomerRow`."""
        return CustomerRow(
            self.customer_id,
            numbers,
            self.as_of,
            self.feeds,
            self.max_reasons,
            self.direction,
            self.language,
            warnings,
            missing,
            self.channels,
            contacts,
        )


class Rows:
    """Makes the rows of one model.

    Parameters
    ----------
    schema : Schema
        The model's columns.
    manifest : Manifest
        Its windows, and what it uses.

    Attributes
    ----------
    inputs : Inputs
        The model's input columns, as callers name them.
    """

    def __init__(self, schema: Schema, manifest: Manifest) -> None:
        self._schema = schema
        self.inputs = Inputs(schema, manifest)
        self._settings = FeatureSettings(manifest.observation_window_days, manifest.horizon_days)
        self._minimum_features = manifest.minimum_features

    def of_events(
        self, customer_id: str, events: Sequence[Event], as_of: int, **how: Any
    ) -> CustomerRow:
        """Make one customer's row: as `of_histories`, what else is sent by name."""
        return self.of_histories([Sent(customer_id, as_of, **how)], [events])[0]

    def of_histories(
        self, sent: Sequence[Sent], histories: Sequence[Sequence[Event]]
    ) -> list[CustomerRow]:
        """Make customers' rows from the histories in the observation window.

        Parameters
        ----------
        sent : sequence of Sent
            Who they are.
        histories : sequence of sequences of Event
            Of each, in any order; repeats are dropped, events at or after `as_of` are not seen.

        Raises
        ------
        RequestError
            A column in `named` that the model does not have or that events tell, or a wrong value;
            or the model reads no events.
        """
        return self._of_log(customers_log([one.customer_id for one in sent], histories), sent)

    def of_history(
        self,
        customer_id: str,
        history: History,
        as_of: int,
        *,
        upto: int | None = None,
        **how: Any,
    ) -> CustomerRow:
        """Make one customer's row from stored events: the row that sending them would make.

        Parameters
        ----------
        history : History
            The customer's.
        upto : int, optional
            Number of the last write to be seen.
        customer_id, as_of, **how
            As in `of_events`.

        Raises
        ------
        RequestError
            The model reads no events.
        """
        log = history.log(customer_id, upto)
        return self._of_log(log, [Sent(customer_id, as_of, **how)])[0]

    def _of_log(self, log: EventLog, sent: Sequence[Sent]) -> list[CustomerRow]:
        if not self._schema.loop:
            raise RequestError(
                "this model was made of a ready feature table and reads no events; send "
                "`features` instead, as GET /v1/model names them",
                pointer="/events",
                code="events_not_read",
            )
        n = len(sent)
        as_ofs = np.array([one.as_of for one in sent], dtype=np.int64)
        found = feature_rows(log, np.arange(n, dtype=np.int64), as_ofs, self._settings)
        until = as_ofs if n == 1 else np.repeat(as_ofs, np.diff(log.offsets))
        is_late = (log.time >= until) | (log.known_at >= until)
        has_late, has_contacts = bool(is_late.any()), _CONTACT in log.kind.tobytes()
        rows = []
        for at, one in enumerate(sent):
            numbers = found[at]
            missing: tuple[str, ...] = ()
            if one.named or self._schema.extras:
                numbers = self._with_own(numbers, one.named or {})
                missing = self.inputs.missing_own(numbers)
            warnings = _missing(missing)
            contacts: tuple[Contact, ...] = ()
            if has_late or has_contacts:
                mine = slice(log.offsets[at], log.offsets[at + 1])
                late = is_late[mine]
                if late.any():
                    warnings += (
                        f"{np.count_nonzero(late)} events at or after as_of, or known only then, "
                        "were not seen",
                    )
                known = log.time[mine][(log.kind[mine] == _CONTACT) & ~late]
                contacts = tuple([Contact(when) for when in known.tolist()])
            rows.append(one.row(numbers, warnings, missing, contacts))
        return rows

    def _with_own(self, found: NDArray[np.float64], own: Mapping[str, Raw]) -> NDArray[np.float64]:
        """What the events tell, and the columns of the user's own."""
        numbers = self.inputs.row(own)
        told = [name for name in own if name in POSITION]
        if told:
            raise RequestError(
                f"{told[0]} is computed from the events; beside events send only your own columns",
                pointer=f"/features/{told[0]}",
                code="computed_from_events",
            )
        numbers[: len(FEATURES)] = found
        return numbers

    def of_features(
        self, customer_id: str, named: Mapping[str, Raw], as_of: int, **how: Any
    ) -> CustomerRow:
        """Make one customer's row: as `of_named`, what else is sent by name."""
        return self.of_named([Sent(customer_id, as_of, named, **how)])[0]

    def of_named(self, sent: Sequence[Sent]) -> list[CustomerRow]:
        """Make customers' rows from features that the caller computed.

        Raises
        ------
        UnknownFeature
            A name that the model does not have.
        RequestError
            A number below zero that no history could give, text for a number, or the reverse.
        """
        X = self.inputs.rows([one.named or {} for one in sent])
        lacking: list[tuple[str, ...]] = [()] * len(X)
        is_known = X == X
        if not is_known.all():
            lacking = [
                self.inputs.missing(row, one.feeds) for row, one in zip(X, sent, strict=True)
            ]
            if self._schema.loop:
                known = np.count_nonzero(is_known, axis=1)
                X[known < self._minimum_features, _SILENCE] = np.nan  # too little to say anything
        return [
            one.row(numbers, _missing(missing) + self._unused(one.named or {}), missing)
            for one, numbers, missing in zip(sent, X, lacking, strict=True)
        ]

    def warnings(
        self,
        numbers: NDArray[np.float64],
        names: Collection[str],
        feeds: frozenset[Feed] | None = None,
    ) -> list[tuple[str, ...]]:
        """What `of_features` says of n rows of checked input columns with these names.

        Parameters
        ----------
        numbers : ndarray of float64, shape (n, n_inputs)
            As they were given, not settled yet.
        names : collection of str
            The columns that were given.
        feeds : frozenset of Feed, optional
            As in `CustomerRow`.
        """
        unused = self._unused(names)
        lacking = self.inputs.missing_each(numbers, feeds)
        told = {missing: _missing(missing) + unused for missing in set(lacking)}
        return [told[missing] for missing in lacking]

    def settled(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Checked input columns of n customers, shape (n, n_inputs), as `of_features` leaves them.

        Where too little is known nothing is said.
        """
        out = np.array(numbers, dtype=np.float64)
        if self._schema.loop:
            known = np.count_nonzero(out == out, axis=1)
            out[known < self._minimum_features, _SILENCE] = np.nan
        return out

    def _unused(self, named: Collection[str]) -> tuple[str, ...]:
        ignored = self.inputs.unused(named)
        return (f"features that this model does not use: {', '.join(ignored)}",) if ignored else ()


def _missing(names: Sequence[str]) -> tuple[str, ...]:
    return (f"missing features: {', '.join(names)}",) if names else ()
