"""What is answered about a period."""

from typing import Annotated

from pydantic import Field

from service.responses import Exact


class Cohort(Exact):
    """Customers by the month of their first purchase."""

    month: Annotated[str, Field(description="Such as 2026-01, UTC.")]
    customers: int
    bought: Annotated[
        list[float], Field(description="Percent who bought in that month and in each later one.")
    ]


class Retention(Exact):
    """Management figures of a period; null where a figure would divide by nothing."""

    start: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    end: Annotated[str, Field(json_schema_extra={"format": "date-time"}, description="Exclusive.")]
    inactivity_days: Annotated[int, Field(description="Without a purchase: a customer no more.")]
    currency: str
    computed_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    customers_at_start: int
    customers_at_end: int
    acquired: int
    returned: int
    lost: int
    buyers: int
    retention_rate: Annotated[float | None, Field(description="Percent.")]
    churn_rate: Annotated[float | None, Field(description="Percent.")]
    repeat_purchase_rate: Annotated[float | None, Field(description="Percent.")]
    lost_to_new: float | None
    revenue: float
    arpu: float | None
    lifetime_value: float | None
    cohorts: list[Cohort]
    lost_by: Annotated[
        dict[str, dict[str, float]] | None,
        Field(description="Shares of the lost by main reason, loss category and value segment."),
    ]
    lost_asked: Annotated[int, Field(description="Of how many lost customers those are shares.")]
    model_version: Annotated[str, Field(description="Of the model that was asked about the lost.")]
    definitions: Annotated[dict[str, str], Field(description="What each figure means.")]
