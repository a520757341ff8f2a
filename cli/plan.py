"""`keepwell policy plan`: who of everybody gets what, under a budget and so many places."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from churn.advice import nearest
from churn.errors import ConfigError
from churn.sheets import harmless_sql
from cli.extras import training_extra
from cli.options import (
    DEFAULT_CONFIG,
    DEFAULT_MODELS,
    AsJson,
    AsOf,
    ConfigFile,
    ModelsDir,
    OfCustomers,
    PolicyFile,
    in_zone,
)
from cli.output import libraries_to_stderr, print_json, say
from cli.progress import progress
from cli.signing import keys
from cli.store import opened

if TYPE_CHECKING:
    import pyarrow as pa

    from service.plan.making import Plan

_MOST_PLACES = 1_000_000_000
_MOST_DIGITS = len(str(_MOST_PLACES))
_AS_CSV = (
    f"SELECT {harmless_sql('customer_id')} AS customer_id, * EXCLUDE (customer_id) FROM scored"
)


def plan(
    out: OfCustomers,
    budget: Annotated[
        float | None, typer.Option(min=0.0, help="What all actions may be expected to cost.")
    ] = None,
    capacity: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ACTION=N",
            help="How many customers may get an action; repeat it for each. Others have the "
            "policy's own capacity, or any.",
        ),
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
    as_of: AsOf = None,
    policy: PolicyFile = None,
    models_dir: ModelsDir = DEFAULT_MODELS,
    record: Annotated[
        bool,
        typer.Option(
            "--record",
            help="Store the decisions, one per customer and day; start it again after an "
            "interruption, and it goes on with what is left.",
        ),
    ] = False,
    store_url: Annotated[
        str | None,
        typer.Option(
            "--store-url",
            help="The store whose deliveries and decisions count. Default with --record: "
            "KEEPWELL_STORE_URL, else sqlite:///keepwell.db; without it no store is asked.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Give everybody of the log the actions that are worth most together.

    With --record or --store-url what the store knows counts: deliveries, and decisions of the day.
    """
    if budget is not None and not math.isfinite(budget):
        raise typer.BadParameter("--budget must be an amount; without it there is no limit")
    if find_spec("scipy") is None:
        raise ConfigError(
            "a plan needs SciPy, which is not installed: pip install 'keepwell[plan]'"
        )
    with training_extra():
        from training.bulk import current_scorer
        from training.config import Config
        from training.settings import read
    from cli.planned import Planned
    from service.plan import words
    from service.plan.options import WHY
    from service.policies import read as read_policy

    settings = read(config)
    if not isinstance(settings, Config):
        raise typer.BadParameter(
            f"{config} describes a ready table; a plan is made of [events], or by POST /v1/plan"
        )
    chosen = None if policy is None else read_policy(policy)
    scorer = current_scorer(models_dir, chosen, keys())
    places = _places(capacity or [], scorer.policy.actions)
    with ExitStack() as stack, progress() as listener:
        database = None
        if record or store_url is not None:
            database = stack.enter_context(closing(opened(store_url)))
        planned = Planned(scorer, database, record=record, progress=listener)
        as_of = in_zone(as_of, settings.events.zone)
        planned.weigh(settings, as_of=as_of, now=datetime.now(UTC))
        with libraries_to_stderr():
            made = planned.made(budget=math.inf if budget is None else budget, capacity=places)
    names = planned.book.names if record else None
    _write(made, [who for who, _ in planned.book.keys], WHY, names, out)
    currency = scorer.bundle.manifest.currency
    given = Counter(
        made.codes[at] for at in made.action[~made.withheld & (made.action >= 0)].tolist()
    )
    left_out = Counter(WHY[at] for at in made.why[made.why >= 0].tolist())
    n = len(planned.book.keys)
    if as_json:
        print_json(
            {
                "customers": n,
                "assigned": given,
                "withheld": int(made.withheld.sum()),
                "left_out": left_out,
                "cost": made.spent,
                "expected_value": made.value,
                "upper_bound": made.upper_bound,
                "service_cost": made.service_cost,
                "currency": currency,
                "shadow_prices": words.shadow_prices(made, budget),
                "recorded": planned.recorded,
                "standing": planned.book.n_standing,
                "path": out,
            }
        )
        return
    say(
        [
            f"wrote {n:,} customers to {out}",
            *(f"{count:>9,}  {code}" for code, count in given.most_common()),
            f"{int(made.withheld.sum()):>9,}  held out, so that the effect can be measured",
            *(
                f"{many:>9,}  get nothing: {words.REASONS[why]}"
                for why, many in left_out.most_common()
            ),
            f"expected value {made.value:,.2f} {currency} after a cost of {made.spent:,.2f}; no "
            f"plan within these limits is worth more than {made.upper_bound:,.2f}",
            *words.prices(made, budget, currency),
            *words.kept(planned.book.n_standing),
            *([f"recorded {planned.recorded:,} decisions"] if record else []),
        ]
    )


def _places(given: Sequence[str], actions: Mapping[str, Any]) -> dict[str, int]:
    """The places of each limited action: the policy's, unless the command names others."""
    found = {code: one.capacity for code, one in actions.items() if one.capacity is not None}
    for one in given:
        code, _, number = one.partition("=")
        if not number.isdecimal():
            raise typer.BadParameter(f"--capacity {one!r} is not ACTION=N, such as agent_call=200")
        if len(number) > _MOST_DIGITS or int(number) > _MOST_PLACES:
            raise typer.BadParameter(f"--capacity: {code} may have {_MOST_PLACES:,} places at most")
        if code not in actions:
            raise typer.BadParameter(
                f"--capacity names {code!r}, which is no action of the policy"
                f"{nearest(code, actions)}"
            )
        found[code] = int(number)
    return found


def _write(
    made: "Plan",
    ids: Sequence[str],
    why: Sequence[str],
    names: Sequence[str | None] | None,
    out: Path,
) -> None:
    import pyarrow as pa

    from training.score_files import write

    def named(positions: Any, names: Sequence[str]) -> "pa.Array":
        kept = pa.array(positions, pa.int32(), mask=positions < 0)
        return pa.DictionaryArray.from_arrays(kept, pa.array(names)).cast(pa.string())

    def number(values: Any) -> "pa.Array":
        return pa.array(values, from_pandas=True)

    table = pa.table(
        {
            "customer_id": ids,
            "action": named(made.action, made.codes),
            "withheld": made.withheld,
            "owed": made.owed,
            "expected_value": number(made.expected_value),
            "cost": number(made.cost),
            "reason": named(made.why, why),
            **({} if names is None else {"decision_id": pa.array(names, pa.string())}),
        }
    )
    write(iter([table]), out, table.schema, as_csv=_AS_CSV)
