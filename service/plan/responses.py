"""What is answered about plans."""

from typing import Annotated

from pydantic import Field

from service.responses import Exact, RecordedAs, RowProblem


class Assignment(Exact):
    """What one customer gets."""

    customer_id: str
    action: str
    channel: str
    owed: Annotated[bool, Field(description="Service: it takes places first and no budget.")]
    cost: float
    expected_value: Annotated[float | None, Field(description="Null where nothing is claimed.")]
    decision_id: RecordedAs = None


class Withheld(Exact):
    """What a customer would get who is held out: it is not to be carried out."""

    customer_id: str
    action: str
    decision_id: RecordedAs = None


class LeftOut(Exact):
    """A customer who gets nothing, and why."""

    customer_id: str
    reason: str
    decision_id: RecordedAs = None


class PlanAnswer(Exact):
    """Who gets what, within the limits. Money is in `currency`."""

    assignments: list[Assignment]
    withheld: list[Withheld]
    left_out: list[LeftOut]
    cost: Annotated[float, Field(description="Expected, of what is weighed; within the budget.")]
    expected_value: Annotated[float, Field(description="Of what is weighed, its cost taken off.")]
    upper_bound: Annotated[float, Field(description="No plan within the limits is worth more.")]
    service_cost: Annotated[float, Field(description="Of what is owed, beside the budget.")]
    currency: str
    shadow_prices: Annotated[
        dict[str, float],
        Field(description="What one more of each limit would bring: of `budget`, of an action."),
    ]
    notes: Annotated[list[str], Field(description="The same in words, and what reasons mean.")]
    errors: list[RowProblem]
    model_version: str
    policy_version: str
    as_of: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    request_id: str
