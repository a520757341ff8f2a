"""From what a caller sends of one customer to a row that can be scored."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from churn.columns import Raw
from churn.errors import RequestError
from churn.events import KIND_CODES, Event, EventLog, Feed, Kind, customer_log
from churn.features import FEATURES, POSITION, FeatureSettings, features
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
        self,
        customer_id: str,
        events: Sequence[Event],
        as_of: int,
        *,
        own: Mapping[str, Raw] | None = None,
        feeds: frozenset[Feed] | None = None,
        max_reasons: int = 3,
        direction: Direction = "raises",
        language: Language = "en",
        channels: frozenset[str] | None = None,
    ) -> CustomerRow:
        """Make one customer's row from the history in the observation window.

        Parameters
        ----------
        customer_id : str
            Opaque identifier.
        events : sequence of Event
            In any order; repeats are dropped, events at or after `as_of` are not seen.
        as_of : int
            Microseconds since 1970-01-01 UTC.
        own : mapping of str to float, str or None, optional
            The columns that no event tells: those of the user's own.
        feeds, max_reasons, direction, language, channels
            As in `CustomerRow`.

        Raises
        ------
        RequestError
            A column in `own` that the model does not have or that events tell, or a wrong value;
            or the model reads no events.
        """
        log = customer_log(customer_id, events)
        return self._of_log(log, as_of, own, feeds, max_reasons, direction, language, channels)

    def of_history(
        self,
        customer_id: str,
        history: History,
        as_of: int,
        *,
        upto: int | None = None,
        feeds: frozenset[Feed] | None = None,
        max_reasons: int = 3,
        direction: Direction = "raises",
        language: Language = "en",
        channels: frozenset[str] | None = None,
    ) -> CustomerRow:
        """Make one customer's row from stored events: the row that sending them would make.

        Parameters
        ----------
        history : History
            The customer's.
        upto : int, optional
            Number of the last write to be seen.
        customer_id, as_of, feeds, max_reasons, direction, language, channels
            As in `of_events`.

        Raises
        ------
        RequestError
            The model reads no events.
        """
        log = history.log(customer_id, upto)
        return self._of_log(log, as_of, None, feeds, max_reasons, direction, language, channels)

    def _of_log(
        self,
        log: EventLog,
        as_of: int,
        own: Mapping[str, Raw] | None,
        feeds: frozenset[Feed] | None,
        max_reasons: int,
        direction: Direction,
        language: Language,
        channels: frozenset[str] | None,
    ) -> CustomerRow:
        if not self._schema.loop:
            raise RequestError(
                "this model was made of a ready feature table and reads no events; send "
                "`features` instead, as GET /v1/model names them",
                pointer="/events",
                code="events_not_read",
            )
        found = features(log, as_of, self._settings)[0]
        numbers = found
        missing: tuple[str, ...] = ()
        if own or self._schema.extras:
            numbers = self.inputs.row(own or {})
            told = [name for name in own or {} if name in POSITION]
            if told:
                raise RequestError(
                    f"{told[0]} is computed from the events; beside events send only your own "
                    "columns",
                    pointer=f"/features/{told[0]}",
                    code="computed_from_events",
                )
            numbers[: len(FEATURES)] = found
            missing = self.inputs.missing_own(numbers)
        warnings = _missing(missing)
        later = np.count_nonzero((log.time >= as_of) | (log.known_at >= as_of))
        if later:
            warnings += (f"{later} events at or after as_of, or known only then, were not seen",)
        return CustomerRow(
            log.customer_ids[0],
            numbers,
            as_of,
            feeds,
            max_reasons,
            direction,
            language,
            warnings,
            missing,
            channels,
            _contacts(log, as_of),
        )

    def of_features(
        self,
        customer_id: str,
        named: Mapping[str, Raw],
        as_of: int,
        *,
        feeds: frozenset[Feed] | None = None,
        max_reasons: int = 3,
        direction: Direction = "raises",
        language: Language = "en",
        channels: frozenset[str] | None = None,
    ) -> CustomerRow:
        """Make one customer's row from features that the caller computed.

        Raises
        ------
        UnknownFeature
            A name that the model does not have.
        RequestError
            A number below zero that no history could give, text for a number, or the reverse.
        """
        numbers = self.inputs.row(named)
        missing = self.inputs.missing(numbers, feeds)
        warnings = _missing(missing) + self._unused(named)
        too_few = np.count_nonzero(numbers == numbers) < self._minimum_features
        if too_few and self._schema.loop:
            numbers[_SILENCE] = np.nan  # too little to say anything
        return CustomerRow(
            customer_id, numbers, as_of, feeds, max_reasons, direction, language, warnings,
            missing, channels,
        )  # fmt: skip

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


def _contacts(log: EventLog, as_of: int) -> tuple[Contact, ...]:
    """What the events tell of deliveries: when, and no more."""
    if _CONTACT not in log.kind.tobytes():  # as nearly always: a search in bytes
        return ()
    known = (log.kind == _CONTACT) & (log.time < as_of) & (log.known_at < as_of)
    return tuple([Contact(at) for at in log.time[known].tolist()])
