"""What campaigns were worth, what another policy would be, what is to be learnt from them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from churn.errors import PolicyError
from cli.extras import training_extra
from cli.options import (
    DEFAULT_CONFIG,
    DEFAULT_MODELS,
    AsJson,
    ConfigFile,
    ModelsDir,
    PolicyFile,
    in_zone,
    instant,
)
from cli.output import plain, print_json, say
from cli.plan import plan
from cli.progress import progress
from cli.signing import keys

if TYPE_CHECKING:
    from churn.policy.policy import Policy

app = typer.Typer(no_args_is_help=False)
app.command("plan")(plan)

SEED = 7

DecisionsFile = Annotated[
    Path,
    typer.Option("--decisions", help="A file of `keepwell store export --decisions`."),
]
Currency = Annotated[str, typer.Option(help="Of the amounts, for the words only.")]


@app.command("report")
def report(
    decisions: Annotated[
        Path | None,
        typer.Option("--decisions", help="A file of `keepwell store export --decisions`."),
    ] = None,
    policy: PolicyFile = None,
    currency: Currency = "RUB",
    uplift: Annotated[
        bool,
        typer.Option(
            "--uplift", help="Ask too whom each action changes: an uplift model, with its Qini."
        ),
    ] = False,
    retention: Annotated[
        bool,
        typer.Option(
            "--retention",
            help="Tell instead who was kept, won and lost in a period of the log, what customers "
            "bring, and how cohorts fare.",
        ),
    ] = False,
    config: ConfigFile = DEFAULT_CONFIG,
    start: Annotated[
        datetime | None,
        typer.Option(
            "--from", parser=instant, metavar="DATE", help="Of the period; 90 days by default."
        ),
    ] = None,
    end: Annotated[
        datetime | None,
        typer.Option(
            "--to",
            parser=instant,
            metavar="DATE",
            help="Its end (exclusive); the log's by default.",
        ),
    ] = None,
    models_dir: ModelsDir = DEFAULT_MODELS,
    as_json: AsJson = False,
) -> None:
    """Compare those who got an action with those from whom it was withheld."""
    if retention:
        _tell_retention(config, start, end, models_dir, as_json)
        return
    if decisions is None:
        raise typer.BadParameter("give --decisions FILE, or --retention")
    with training_extra():
        from training.policy.decisions import read
        from training.policy.lift import lifts
        from training.policy.verdict import sentence
        from training.policy.words import lift_lines, uplift_lines
    found, in_use = read(decisions), read_policy(policy)[1]
    lines = lifts(found, in_use)
    told = None
    if uplift:
        with training_extra():
            from training.policy.persuadable import persuadable
        told = persuadable(found, in_use, SEED)
    if as_json:
        words = [sentence(line.verdict, line.needed) for line in lines]
        print_json({"currency": currency, "actions": lines, "sentences": words, "uplift": told})
        return
    say(lift_lines(lines, currency))
    if told is not None:
        say(["", *uplift_lines(told)])


def _tell_retention(
    config: Path, start: datetime | None, end: datetime | None, models_dir: Path, as_json: bool
) -> None:
    """Management figures of a log."""
    with training_extra():
        from churn.retention import DEFINITIONS
        from training.config import Config
        from training.policy.retention import retention
        from training.policy.retention_words import retention_lines
        from training.settings import read
    settings = read(config)
    if not isinstance(settings, Config):
        raise typer.BadParameter(f"{config} describes a ready table; retention is told of [events]")
    zone = settings.events.zone
    with progress() as listener:
        found = retention(
            settings,
            models_dir,
            start=in_zone(start, zone),
            end=in_zone(end, zone),
            now=datetime.now(UTC),
            keys=keys(),
            progress=listener,
        )
    if as_json:
        print_json(
            {
                "start": str(moment_of(found.period.start)),
                "end": str(moment_of(found.period.end)),
                "currency": found.currency,
                **plain(found.figures),
                "lost_by": found.lost_by,
                "definitions": DEFINITIONS,
            }
        )
    else:
        say(retention_lines(found))


def moment_of(at: int) -> datetime:
    """The UTC time of microseconds since 1970-01-01."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)


@app.command("evaluate")
def evaluate(
    decisions: DecisionsFile,
    policy: Annotated[Path, typer.Option("--policy", help="The policy.toml to value.")],
    ran: Annotated[
        list[Path] | None,
        typer.Option(
            "--ran",
            envvar="KEEPWELL_POLICY_FILE",
            help="The policy.toml that took the decisions; repeat it for each that did. "
            "Default: the one that `keepwell init` writes.",
        ),
    ] = None,
    currency: Currency = "RUB",
    as_json: AsJson = False,
) -> None:
    """Value a policy that has not run on decisions that another one took."""
    with training_extra():
        from training.policy.decisions import read
        from training.policy.off_policy import evaluate as value
        from training.policy.words import evaluation_lines
    past = [read_policy(path)[1] for path in ran] if ran else [read_policy(None)[1]]
    other = read_policy(policy)[1]
    found = value(read(decisions), {one.version: one for one in past}, other)
    if as_json:
        print_json(found)
    else:
        say(evaluation_lines(found, currency))


@app.command("learn")
def learn(
    decisions: DecisionsFile,
    out: Annotated[Path, typer.Option("--out", help="Where the proposed policy.toml goes.")],
    policy: PolicyFile = None,
    as_json: AsJson = False,
) -> None:
    """Propose a policy.toml with what the outcomes teach; nothing that is there is changed."""
    with training_extra():
        from training.policy.decisions import read
        from training.policy.learning import propose
        from training.policy.words import proposal_lines
    if out.exists():
        raise typer.BadParameter(f"{out} is there already; a proposal replaces nothing")
    text, _, path = read_policy(policy)
    proposal = propose(read(decisions), text, path)
    out.write_text(proposal.text, encoding="utf-8")
    if as_json:
        print_json(
            {
                "out": out,
                "policy_version": proposal.policy.version,
                "changes": [
                    {
                        "action": change.action,
                        "field": change.field,
                        "within": change.within,
                        "before": change.before._asdict(),
                        "after": change.after._asdict(),
                        "treated": change.treated,
                    }
                    for change in proposal.changes
                ],
                "untreated": proposal.untreated,
                "too_few": proposal.too_few,
            }
        )
    else:
        say([*proposal_lines(proposal), f"wrote {out}: look at it, then put it to use"])


def read_policy(path: Path | None) -> tuple[str, "Policy", Path]:
    """The text of a policy, the policy, and where it lies; the default one where none is named.

    Raises
    ------
    PolicyError
        The file is not there, or cannot work.
    """
    from churn.policy.default import DEFAULT
    from churn.policy.policy import parse

    if path is None:
        path, text = Path("policy.toml"), DEFAULT
    else:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
            raise PolicyError(f"{path}: {reason}") from None
    return text, parse(text, path), path
