"""Scores as a table, and as the file that a program or a manager reads."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from churn.compiled import Integers
from churn.loss import CATEGORIES
from churn.policy.contacts import RecentContacts
from churn.policy.situation import MOST_REASONS
from churn.policy.why_many import whys
from churn.reasons_by_column import many_reasons
from churn.scoring import BANDS, STATUSES, MatrixScores, Scorer
from churn.sheets import harmless_sql
from churn.value import SEGMENTS
from churn.words import Language
from training.action_columns import FIELDS, action_columns
from training.reason_lists import REASON, listed

_POINT = pa.struct([("days", pa.int64()), ("probability", pa.float64())])
_JOINED = "array_to_string(list_transform(reasons, lambda r: r.text), ' | ')"


def schema(reasons: int) -> pa.Schema:
    """Columns of the scores, with reasons and suggestions if any reasons are wanted."""
    fields = [
        ("customer_id", pa.string()),
        ("status", pa.string()),
        ("churn_probability", pa.float64()),
        ("risk_band", pa.string()),
        ("risk_curve", pa.list_(_POINT)),
        ("next_purchase_days", pa.float64()),
        ("customer_value", pa.float64()),
        ("value_segment", pa.string()),
        ("loss_category", pa.string()),
    ]
    if reasons > 0:
        fields += [("reasons", pa.list_(REASON)), *FIELDS, ("policy_version", pa.string())]
    return pa.schema([*fields, ("model_version", pa.string())])


def scored_table(
    customer_id: pa.Array,
    scores: MatrixScores,
    scorer: Scorer,
    X: NDArray[np.float64],
    reasons: int,
    language: Language,
    as_of: Integers | None = None,
    contacts: RecentContacts | None = None,
) -> pa.Table:
    """Table the scores of n customers.

    Parameters
    ----------
    customer_id : Array of string, length n
        Identifiers.
    scores : MatrixScores
        With contributions if reasons are wanted.
    scorer : Scorer
        What gave them.
    X : ndarray of float64, shape (n, n_features)
        The loop features that were scored.
    reasons : int
        At most so many per customer.
    language : {"en", "ru"}
        Of the texts.
    as_of : ndarray of int64, shape (n,), optional
        Microseconds since 1970-01-01 UTC; needed where reasons are wanted.
    contacts : RecentContacts, optional
        What was delivered to each lately.
    """
    columns = {
        "customer_id": customer_id,
        "status": _named(scores.status, STATUSES),
        "churn_probability": pa.array(scores.probability, from_pandas=True),
        "risk_band": _named(scores.band, BANDS),
        "risk_curve": _curves(scores, scorer),
        "next_purchase_days": pa.array(
            scorer.bundle.model.curve.days_until(scores.curve, 0.5)[:, 0], from_pandas=True
        ),
        "customer_value": pa.array(scores.value, from_pandas=True),
        "value_segment": _named(scores.segment, SEGMENTS),
        "loss_category": _named(scores.category, CATEGORIES),
    }
    if reasons > 0 and scores.contributions is not None:
        many = many_reasons(
            X,
            scores.contributions,
            schema=scorer.schema,
            max_reasons=max(reasons, MOST_REASONS),
            language=language,
            currency=scorer.bundle.manifest.currency,
        )
        families = scorer.schema.families
        columns["reasons"] = listed(many.first(reasons), families)
        assert as_of is not None
        until = scorer.days_until_purchase(scores.curve)
        action = scorer.advise_matrix(
            X,
            scores,
            many.main_families,
            until[:, 1],
            customer_id.to_pylist(),
            as_of,
            contacts=contacts,
            alternatives=True,
        )
        why = whys(scorer.advisor, action, scores.band, many, families, language)
        columns |= action_columns(action, why)
        columns["policy_version"] = pa.array([scorer.policy.version] * len(X), pa.string())
    columns["model_version"] = pa.array([scorer.bundle.version] * len(X), pa.string())
    return pa.table(columns, schema=schema(reasons))


def _named(codes: NDArray[np.int8], names: Sequence[str]) -> pa.Array:
    """Names by their positions; -1 is none."""
    return pa.array(np.array([*names, None], dtype=object)[codes], pa.string())


def _curves(scores: MatrixScores, scorer: Scorer) -> pa.Array:
    """The points that a score shows, an empty list where there is no score."""
    layer = scorer.bundle.model.curve
    scored = scores.band >= 0
    shown = scores.curve[scored][:, layer.shown]
    points = pa.StructArray.from_arrays(
        [pa.array(np.tile(layer.days[layer.shown], len(shown))), pa.array(shown.ravel())],
        fields=list(_POINT),
    )
    ends = np.cumsum(scored) * len(layer.shown)
    offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
    return pa.ListArray.from_arrays(offsets, points, type=pa.list_(_POINT))


def write(
    tables: Iterator[pa.Table], out: Path, columns: pa.Schema, as_csv: str | None = None
) -> int:
    """Write tables to `out` under a temporary name, then rename; return the number of rows.

    A CSV file has what `as_csv` selects from the tables, in DuckDB's SQL.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = 0
    with tempfile.TemporaryDirectory(prefix=".keepwell-", dir=out.parent) as folder:
        scored = Path(folder) / "scored.parquet"
        with pq.ParquetWriter(scored, columns, compression="zstd") as writer:
            for table in tables:
                writer.write_table(table)
                rows += table.num_rows
        finished = Path(folder) / f"finished{out.suffix}"
        if out.suffix == ".parquet":
            scored.rename(finished)
        else:
            _convert(scored, finished, as_csv or for_a_manager(columns))
        with finished.open("rb") as whole:
            os.fsync(whole.fileno())
        finished.replace(out)
    return rows


def for_a_manager(columns: pa.Schema) -> str:
    """What CSV has of scores: most at stake first, reasons as one text."""
    texts = ""
    if "reasons" in columns.names:
        texts = (
            f", {harmless_sql(_JOINED)} AS reasons, action, act_by,"
            f" {harmless_sql('action_why')} AS action_why,"
            " round(action_expected_value, 2) AS expected_value, holdout"
        )
    return (
        f"SELECT {harmless_sql('customer_id')} AS customer_id, status,"
        " round(churn_probability, 4) AS churn_probability, risk_band,"
        f" round(next_purchase_days) AS next_purchase_days{texts},"
        " round(customer_value, 2) AS customer_value, value_segment, loss_category FROM scored"
        " ORDER BY scored.churn_probability * scored.customer_value DESC NULLS LAST,"
        " scored.churn_probability DESC NULLS LAST, scored.customer_id"
    )


def _convert(written: Path, out: Path, as_csv: str) -> None:
    """CSV or NDJSON of a Parquet file."""
    form = "(FORMAT json)" if out.suffix == ".ndjson" else "(FORMAT csv, HEADER)"
    selected = "FROM scored" if out.suffix == ".ndjson" else as_csv
    with duckdb.connect(config={"temp_directory": str(out.parent)}) as connection:
        connection.execute(f"CREATE VIEW scored AS FROM '{_quoted(written)}'")
        connection.execute(f"COPY ({selected}) TO '{_quoted(out)}' {form}")


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
