"""One customer with 50 events: from the bytes of a JSON document to features."""

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from random import Random

import orjson

from benchmarks.report import Result, each_us, in_process, machine

DAY = 86_400_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
AS_OF = 20_000 * DAY
EVENTS = 50


def run() -> Result:
    load = os.getloadavg()[0]
    rows = []
    for name, setting in (("Numba", "1"), ("plain Python", "0")):
        told = in_process("benchmarks.customer", KEEPWELL_NUMBA=setting)
        parts = [told["parsing"], told["events"], told["log"], told["features"]]
        rows.append([name, *parts, sum(parts)])
    return Result(
        title="One customer with 50 events",
        notes=(
            "Microseconds from the bytes of a JSON document (orjson, no validation) to all "
            "features, medians of five runs. Fields by kind as a shop would send them, in no order."
        ),
        columns=("", "parsing", "events", "log in canonical order", "features", "all"),
        rows=rows,
        targets={"at most 300 us": f"{rows[0][-1]:.0f} us, plain Python {rows[1][-1]:.0f} us"},
        machine=machine(load),
    )


def document() -> bytes:
    random = Random(3)
    events = []
    while len(events) < EVENTS:
        kind = random.choice(["purchase"] * 5 + ["visit"] * 3 + ["complaint", "return", "review"])
        moment = EPOCH + timedelta(microseconds=AS_OF - random.randrange(700 * DAY))
        event = {"occurred_at": moment.isoformat(), "kind": kind}
        if kind in ("purchase", "return"):
            event |= {"amount": random.randrange(1, 9999) / 100, "order_id": f"o{random.random()}"}
        if kind == "purchase":
            event |= {"category": f"c{random.randrange(6)}", "discount": random.choice([0.0, 5.0])}
        if kind == "complaint":
            event["case_id"] = f"k{random.randrange(3)}"
        if kind == "review":
            event["value"] = float(random.randrange(1, 6))
        events.append(event)
    return json.dumps({"customer_id": "c-1042", "events": events}).encode()


def measure() -> None:
    from churn.events import Event, Kind, customer_log
    from churn.features import FeatureSettings, features

    kinds = {kind.value: kind for kind in Kind}
    body = document()
    parsed = orjson.loads(body)

    def to_events() -> list[Event]:
        return [
            Event(
                (datetime.fromisoformat(row["occurred_at"]) - EPOCH) // MICROSECOND,
                kinds[row["kind"]], row.get("order_id"), row.get("amount"), row.get("value"),
                row.get("quantity"), row.get("discount"), row.get("category"), row.get("case_id"),
            )
            for row in parsed["events"]
        ]  # fmt: skip

    events = to_events()
    log = customer_log("c-1042", events)
    settings = FeatureSettings()
    sys.stdout.write(
        json.dumps(
            {
                "parsing": each_us(lambda: orjson.loads(body), 2000),
                "events": each_us(to_events, 1000),
                "log": each_us(lambda: customer_log("c-1042", events), 1000),
                "features": each_us(lambda: features(log, AS_OF, settings), 300),
            }
        )
    )


if __name__ == "__main__":
    measure()
