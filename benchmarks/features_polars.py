"""Those of the features that can be said as aggregates, in Polars, from the same file.

Features that need a walk along a customer's events (the state of complaint cases, the last orders
against those before, new categories, the calendar) are left out: they would cost Polars more.
"""

import sys
import time
from pathlib import Path

import polars as pl

from benchmarks.report import tell

DAY = 86_400_000_000


def _within(days: int, what: pl.Expr) -> pl.Expr:
    """The sum of what is at most so many days old."""
    return pl.when(pl.col("age") <= days).then(what).sum()


def _orders(seen: pl.LazyFrame, as_of: int) -> pl.LazyFrame:
    """Features of orders: their number, rhythm and money."""
    amount, discount, gap, day = (pl.col(name) for name in ("amount", "discount", "gap", "day"))
    follows = pl.col("customer_id") == pl.col("customer_id").shift(1)
    orders = (
        seen.filter(pl.col("kind") == "purchase")
        .group_by("customer_id", "order_id")
        .agg(pl.col("at").min(), amount.sum(), discount.sum())
        .sort("customer_id", "at")
        .with_columns(age=(as_of - pl.col("at")) / DAY, day=pl.col("at") // DAY)
        .with_columns(gap=pl.when(follows & (day > day.shift(1))).then(day - day.shift(1)))
    )
    counted = orders.group_by("customer_id").agg(
        pl.col("age").min().alias("days_since_last_purchase"),
        pl.col("age").max().alias("tenure_days"),
        pl.len().alias("purchases_total"),
        (gap.count() + 1).alias("purchase_days_total"),
        *(_within(days, pl.lit(1)).alias(f"purchases_{days}d") for days in (30, 60, 90, 180, 365)),
        gap.mean().alias("average_gap_days"),
        gap.median().alias("median_gap_days"),
        gap.max().alias("longest_gap_days"),
        gap.std(ddof=0).alias("gap_deviation_days"),
        gap.log().mean().alias("mean_log_gap"),
        gap.log().std(ddof=0).alias("deviation_log_gap"),
        amount.mean().alias("average_cheque"),
        amount.max().alias("largest_cheque"),
        amount.last().alias("last_cheque"),
        amount.std(ddof=0).alias("cheque_spread"),
        amount.sum().alias("spend_total"),
        *(_within(days, amount).alias(f"spend_{days}d") for days in (30, 90, 365)),
        (discount > 0).mean().alias("discounted_share"),
        _within(180, (discount > 0).cast(pl.Float64)).alias("discounted_180d"),
        discount.sum().alias("discounts"),
        pl.when(discount == 0).then(pl.col("age")).min().alias("days_since_full_price"),
    )
    silence, tenure = pl.col("days_since_last_purchase"), pl.col("tenure_days")
    total = pl.col("purchases_total")
    return (
        counted.filter(silence <= 180)
        .with_columns(
            *(
                (silence / pl.col(f"{gap}_gap_days")).alias(f"silence_over_{gap}_gap")
                for gap in ("average", "median", "longest")
            ),
            (tenure - silence).alias("active_span_days"),
            ((tenure - silence) / tenure).alias("active_share_of_tenure"),
            (pl.col("purchase_days_total") == 1).cast(pl.Float64).alias("is_one_time_buyer"),
            (total / pl.col("purchase_days_total")).alias("orders_per_purchase_day"),
            (total / pl.max_horizontal(tenure, pl.lit(30.0)) * 30).alias("purchases_per_month"),
            (pl.col("cheque_spread") / pl.col("average_cheque")).alias("cheque_deviation"),
            *(
                pl.when(tenure >= 2 * days)
                .then(
                    (pl.col(f"purchases_{days}d") + 1)
                    / ((total - pl.col(f"purchases_{days}d")) / (tenure - days) * days + 1)
                )
                .alias(f"frequency_ratio_{days}d")
                for days in (30, 90, 180)
            ),
            (pl.col("discounted_180d") / pl.col("purchases_180d")).alias("discounted_share_180d"),
            (pl.col("discounts") / (pl.col("spend_total") + pl.col("discounts"))).alias(
                "average_discount_rate"
            ),
        )
        .drop("cheque_spread", "discounted_180d", "discounts")
    )


def _others(seen: pl.LazyFrame, as_of: int) -> pl.LazyFrame:
    """Features of everything but orders."""

    def of(kind: str) -> pl.Expr:
        return pl.col("kind") == kind

    def counts(kind: str, name: str, *spans: int) -> list[pl.Expr]:
        return [_within(days, of(kind)).alias(f"{name}_{days}d") for days in spans]

    bought = of("purchase")
    return (
        seen.with_columns(age=(as_of - pl.col("at")) / DAY)
        .group_by("customer_id")
        .agg(
            *counts("complaint", "complaints", 30, 90, 365),
            *counts("return", "returns", 90, 365),
            *counts("cancellation", "cancellations", 90, 365),
            *counts("visit", "visits", 7, 30, 90),
            *counts("cart_abandoned", "carts_abandoned", 30, 90),
            *counts("review", "ratings", 365),
            *(
                pl.when(of(kind)).then(pl.col("age")).min().alias(f"days_since_last_{kind}")
                for kind in ("complaint", "return", "cancellation", "visit", "review")
            ),
            pl.when(of("review")).then(pl.col("value")).mean().alias("average_rating"),
            pl.when(of("return") | of("cancellation"))
            .then(pl.col("amount"))
            .sum()
            .alias("returned_amount"),
            pl.when(bought).then(pl.col("category")).n_unique().alias("categories_total"),
            pl.when(bought & (pl.col("age") <= 90))
            .then(pl.col("category"))
            .n_unique()
            .alias("categories_90d"),
        )
    )


def main(path: Path, as_ofs: list[int]) -> None:
    started = time.perf_counter()
    rows = columns = 0
    for as_of in as_ofs:
        seen = (
            pl.scan_parquet(path)
            .with_columns(pl.col("occurred_at").cast(pl.Int64).alias("at"))
            .filter((pl.col("at") < as_of) & (pl.col("at") >= as_of - 730 * DAY))
        )
        snapshot = _orders(seen, as_of).join(_others(seen, as_of), on="customer_id", how="left")
        names = [name for name in snapshot.collect_schema().names() if name != "customer_id"]
        found = snapshot.select(pl.len(), pl.col(names).sum()).collect(engine="streaming")
        rows += found["len"].item()
        columns = len(names)
    tell(started, rows=rows, features=columns)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(as_of) for as_of in sys.argv[2:]])
