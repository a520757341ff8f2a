"""What the audit log tells.

A line for each customer of a request, without the customer: an HMAC stands for the id, so that who
has the key can find a person's lines and nobody else can tell whose they are.
"""

import asyncio
import hmac
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from starlette.types import Scope

from churn.compiled import Floats
from churn.errors import ConfigError
from churn.rows import CustomerRow
from churn.scores import STATUSES
from service import instants
from service.access.gate import caller
from service.audit.files import AuditFiles
from service.columns import Answers, Customers
from service.context import id_of
from service.metrics import Metrics
from service.recording import Answer, features_hash
from service.settings import Settings

SECONDS = 0.5
"""How long a line may wait for its disk."""


class Audit:
    """The audit log of one service.

    Parameters
    ----------
    files : AuditFiles
        Where it is written.
    key : bytes
        Of the HMAC.
    clock : callable
        The present, microseconds since 1970-01-01 UTC.
    """

    def __init__(self, files: AuditFiles, key: bytes, clock: Callable[[], int]) -> None:
        self._files = files
        self._key = key
        self._clock = clock

    def pseudonym(self, customer_id: str) -> str:
        """What stands for a customer."""
        return hmac.digest(self._key, customer_id.encode(), "sha256").hex()

    def scored(self, scope: Scope, answer: Answer, row: CustomerRow | None, at: int) -> None:
        """Tell of one customer who was scored; `row` is what from, if there was anything."""
        score = answer.score
        action = score.action
        self._add(
            {
                **_who(scope, "score", at),
                "customer": self.pseudonym(score.customer_id),
                "status": score.status,
                "probability": score.churn_probability,
                "action": None if action is None else action.code,
                "withheld": None if action is None else action.holdout,
                "decision_id": answer.decision_id,
                "features_hash": None if row is None else features_hash(row.numbers),
                "as_of": instants.text(score.as_of),
                "model_version": score.model_version,
                "policy_version": score.policy_version,
            }
        )

    def scored_columns(
        self,
        scope: Scope,
        customers: Customers,
        sent: Floats,
        answers: Answers,
        versions: Mapping[str, str],
        at: int,
    ) -> None:
        """Tell of customers who were scored by column; `sent` is as `Rows.settled` gives it."""
        who = _who(scope, "score", at)
        scores, action = answers.scores, answers.action
        for place, customer_id in enumerate(customers.customer_id):
            is_scored, code = scores.band[place] >= 0, action.code[place]
            self._add(
                {
                    **who,
                    "customer": self.pseudonym(customer_id),
                    "status": STATUSES[scores.status[place]],
                    "probability": float(scores.probability[place]) if is_scored else None,
                    "action": action.codes[code] if code >= 0 else None,
                    "withheld": bool(action.holdout[place]) if code >= 0 else None,
                    "decision_id": None,
                    "features_hash": features_hash(sent[place]),
                    "as_of": instants.text(int(customers.as_of[place])),
                    **versions,
                }
            )

    def planned(
        self,
        scope: Scope,
        plan: Mapping[str, Any],
        made_on: Mapping[str, Mapping[str, str]],
        at: int,
    ) -> None:
        """Tell of the customers of a plan, as it is answered, who get something or would.

        `made_on` has of each, by id, as of when and by which versions that was decided.
        """
        who = _who(scope, "plan", at)
        for withheld, name in ((False, "assignments"), (True, "withheld")):
            for one in plan[name]:
                customer = self.pseudonym(one["customer_id"])
                what = {
                    "action": one["action"],
                    "withheld": withheld,
                    "decision_id": one.get("decision_id"),
                }
                self._add({**who, "customer": customer, **what, **made_on[one["customer_id"]]})

    def act(
        self, kind: str, scope: Scope | None = None, customer_id: str | None = None, **told: Any
    ) -> None:
        """Tell of something that was done: by a request, or by the service itself."""
        whose = {} if customer_id is None else {"customer": self.pseudonym(customer_id)}
        self._add({**_who(scope, kind, self._clock()), **whose, **told})

    def changed(self, kind: str, before: object, now: object, **told: Any) -> None:
        """Tell that another model, policy or set of keys came into force, from any thread."""
        self.act(f"{kind}_change", before=before, now=now, **told)

    async def go_on(self) -> None:
        """Write for ever, beside the requests."""
        while True:
            await asyncio.to_thread(self.flush)
            await asyncio.sleep(SECONDS)

    def flush(self) -> None:
        """Write what waits. Never raises."""
        self._files.flush()

    def close(self) -> None:
        """Write what waits, and end."""
        self._files.close()

    def _add(self, line: Mapping[str, object]) -> None:
        self._files.add(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


def opened(settings: Settings, metrics: Metrics, clock: Callable[[], int]) -> Audit | None:
    """Open the audit log; None where none is asked for.

    Raises
    ------
    ConfigError
        It cannot be written, or has no key.
    """
    if settings.audit_file is None:
        return None
    if settings.audit_key is None:
        raise ConfigError(
            "KEEPWELL_AUDIT_KEY is not set, and KEEPWELL_AUDIT_FILE is: the audit log knows "
            "customers by an HMAC, and needs its key: openssl rand -hex 32"
        )
    files = AuditFiles(settings.audit_file, settings.audit_keep_days, metrics, clock)
    return Audit(files, settings.audit_key.get_secret_value(), clock)


def _who(scope: Scope | None, kind: str, at: int) -> dict[str, object]:
    key = None if scope is None else caller(scope)
    return {
        "at": instants.text(at),
        "kind": kind,
        "request_id": None if scope is None else id_of(scope),
        "key": None if key is None else key.key_id,
        "client": None if key is None else key.client,
    }
