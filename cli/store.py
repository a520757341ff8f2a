"""Load a log into the store of the service, write the stored log back, forget a customer."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from cli.extras import training_extra
from cli.options import DEFAULT_CONFIG, AsJson, ConfigFile
from cli.output import complain, print_json, say
from cli.progress import progress
from cli.scratch import scratch

if TYPE_CHECKING:
    from service.store.database import Database
    from training.progress import Progress

T = TypeVar("T")

ATTEMPTS, PAUSE_SECONDS = 10, 3.0
"""Of an import, to write a part: a server that is started anew is back by then."""

app = typer.Typer(no_args_is_help=False)

StoreUrl = Annotated[
    str | None,
    typer.Option(
        "--store-url", help="The store. Default: KEEPWELL_STORE_URL, else sqlite:///keepwell.db."
    ),
]


def opened(store_url: str | None) -> "Database":
    """Return the store that is meant, ready to be used.

    Raises
    ------
    BadStoreUrl
        Its URL can never work.
    StoreUnavailable
        It does not answer.
    WrongErasureKey
        It has tombstones of another key.
    """
    from service.settings import load
    from service.store.database import Database

    settings = load(store_url=store_url)
    database = Database(settings.store_url, erasure_key=settings.tombstone_key)
    database.prepare()
    return database


def patiently(
    work: Callable[[], T],
    note: Callable[[str], object],
    *,
    sleep: Callable[[float], object] = time.sleep,
) -> T:
    """Do what may be done again until the store answers, but no more than `ATTEMPTS` times.

    Raises
    ------
    StoreUnavailable
        It has not answered by then, or takes no writes.
    """
    from service.store.errors import StoreReadOnly, StoreUnavailable

    for attempt in range(1, ATTEMPTS):
        try:
            return work()
        except StoreReadOnly:
            raise
        except StoreUnavailable as error:
            note(f"{error} ({attempt} of {ATTEMPTS})")
            sleep(PAUSE_SECONDS)
    return work()


@app.command("import")
def import_log(
    config: ConfigFile = DEFAULT_CONFIG,
    store_url: StoreUrl = None,
    quarantine: Annotated[
        Path | None,
        typer.Option(
            help="Where rejected rows go, with the reason. "
            "Default: quarantine.parquet beside the configuration."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put the log of keepwell.toml into the store, beside what is there.

    Nothing is kept twice: start it again after an interruption, and it goes on where it was; of a
    log that is in nothing is read into the store again. The service may run meanwhile.
    """
    with training_extra():
        from training.config import Config
        from training.settings import read
        from training.stored_log import read_log
    from service.settings import load as service_settings
    from service.store.loading import Loaded, Loading

    most_events = service_settings().max_stored_events
    settings = read(config)
    if not isinstance(settings, Config):
        raise typer.BadParameter(f"{config} describes a ready table; a store keeps [events]")
    started = time.monotonic()
    now = time.time_ns() // 1000
    with (
        closing(opened(store_url)) as database,
        scratch("keepwell-import-") as work,
        progress() as listener,
    ):
        log = read_log(settings, work, now_us=now, progress=listener)
        kept = log.keep_quarantine(quarantine or settings.base_dir / "quarantine.parquet")
        loading, total = Loading(database, most_events), Loaded()
        sources, repeats, resumed = [], 0, 0
        listener.stage("storing events", log.rows - log.n_rejected)
        for bucket in log.buckets():
            done = loading.done(bucket.source)
            sources.append(bucket.source)
            repeats += bucket.repeats
            listener.advance(bucket.repeats)
            for part in bucket.parts():
                if part.number in done:
                    resumed += done[part.number]
                else:
                    ready = (bucket.source, part.number, part.customers(), part.last(), now)
                    total.add(patiently(partial(loading.load, *ready), listener.note))
                listener.advance(len(part.events))
        loading.keep_only(sources)
    refused = dict(log.rejected.reasons.most_common())
    refused |= {"customer_id_unusable": total.unusable} if total.unusable else {}
    refused |= {"erased": total.erased} if total.erased else {}
    refused |= {"too_many_stored": total.full} if total.full else {}
    summary = {
        "rows": log.rows,
        "accepted": total.accepted,
        "duplicates": total.duplicates + repeats,
        "resumed": resumed,
        "refused": refused,
        "quarantine": kept,
        "seconds": round(time.monotonic() - started, 1),
    }
    if as_json:
        print_json(summary)
    else:
        say(_lines(summary))


def _lines(summary: dict[str, Any]) -> Iterator[str]:
    yield (
        f"stored {summary['accepted']:,} of {summary['rows']:,} rows in {summary['seconds']:.1f} s"
    )
    if summary["resumed"]:
        yield f"{summary['resumed']:,} had been stored by an earlier import of the same log"
    if summary["duplicates"]:
        yield f"{summary['duplicates']:,} were known already, or are twice in the log"
    for reason, count in summary["refused"].items():
        yield f"{count:,} refused: {reason}"
    if summary["quarantine"]:
        yield f"the rejected rows, each with its reason: {summary['quarantine']}"


@app.command("export")
def export_log(
    out: Annotated[
        Path | None, typer.Option("--out", help="The events: a .parquet, .csv or .ndjson file.")
    ] = None,
    decisions: Annotated[
        Path | None,
        typer.Option("--decisions", help="Decisions and what came of them: a .parquet file."),
    ] = None,
    store_url: StoreUrl = None,
    as_json: AsJson = False,
) -> None:
    """Write what is stored to files: the log that train reads, and what was decided.

    Events are sorted by customer and time, decisions by customer and day. Of customers whose events
    are stored a decision says whether they bought within its horizon.
    """
    with training_extra():
        from training import decision_files, event_files
    from service.store.decisions_out import DecisionsOut
    from service.store.exporting import Exporting

    if out is None and decisions is None:
        raise typer.BadParameter("say what to write: --out FILE, --decisions FILE, or both")
    if out is not None and out.suffix not in event_files.FORMATS:
        formats = ", ".join(event_files.FORMATS)
        raise typer.BadParameter(f"--out must end in {formats}, not {out.name!r}")
    if decisions is not None and decisions.suffix != ".parquet":
        raise typer.BadParameter(f"--decisions must end in .parquet, not {decisions.name!r}")
    started = time.monotonic()
    summary: dict[str, Any] = {}
    with closing(opened(store_url)) as database, progress() as listener:
        if out is not None:
            exporting = Exporting(database)
            listener.stage("writing customers", exporting.customers)
            summary |= {"events": event_files.write(_pages(exporting, listener), out), "out": out}
        if decisions is not None:
            decided = DecisionsOut(database)
            listener.stage("writing decisions", decided.count)
            rows = decision_files.write(_counted(decided.pages(), listener), decisions)
            summary |= {"decisions": rows, "decisions_out": decisions}
    summary["seconds"] = round(time.monotonic() - started, 1)
    if as_json:
        print_json(summary)
        return
    wrote = []
    if out is not None:
        wrote.append(f"{summary['events']:,} events to {out}")
    if decisions is not None:
        wrote.append(f"{summary['decisions']:,} decisions to {decisions}")
    say([f"wrote {' and '.join(wrote)} in {summary['seconds']:.1f} s"])


def _pages(exporting: Any, listener: "Progress") -> Iterator[Iterator[tuple[str, Any]]]:
    for page in exporting.pages():
        yield ((who, history.columns(exporting.received)) for who, history in page)
        listener.advance(len(page))


def _counted(pages: Iterator[dict[str, Any]], listener: "Progress") -> Iterator[dict[str, Any]]:
    for page in pages:
        yield page
        listener.advance(len(page["decision_id"]))


@app.command("erase")
def erase(
    customer_id: Annotated[str, typer.Argument(metavar="CUSTOMER_ID", help="Who is forgotten.")],
    store_url: StoreUrl = None,
    now: Annotated[
        bool,
        typer.Option(
            "--now", help="Write a large SQLite file anew at once; writers wait meanwhile."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Forget a customer: remove everything that is kept, and take no older events again."""
    from service import instants
    from service.audit import audit as audit_log
    from service.erasure import Eraser
    from service.jobs.folders import Folders
    from service.jobs.job import Limits
    from service.jobs.taking_out import TakingOut
    from service.metrics import Metrics
    from service.settings import load

    settings = load(store_url=store_url)
    audit = audit_log.opened(settings, Metrics(), instants.now)
    with closing(opened(store_url)) as database:
        take_out = TakingOut(
            database,
            Folders(settings.jobs_dir),
            Limits(settings.max_body_bytes, settings.max_events),
        )
        eraser = Eraser(database, instants.now, take_out, hour=settings.vacuum_hour)
        summary = eraser.erase(customer_id, at_once=now).document()
    if audit is not None:
        audit.act("erasure", None, customer_id, **summary)
        audit.close()
    if as_json:
        print_json(summary)
        return
    say(
        [
            f"removed {summary['events']:,} events, {summary['scores']:,} recorded scores, "
            f"{summary['decisions']:,} recorded decisions and "
            f"{summary['job_rows']:,} rows of jobs; "
            f"nothing from before {summary['erased_at']} is taken again"
        ]
    )
    if summary["rewritten_at"]:
        complain(
            "traces may be in the store's file until the service writes it anew, at "
            f"{summary['rewritten_at']}; do the same again with --now to have it done"
        )
    elif summary["pending"]:
        complain(
            "remains are still in the files of the store, as it is being read: the service removes "
            "them, or do the same again"
        )
