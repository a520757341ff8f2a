"""What each reason family may say: codes, the evidence each needs, and its words.

A family that raises a customer's risk is shown with the first rule whose evidence holds. A family
without evidence says nothing: a customer who never complained gets no complaint as a reason,
whatever the trees make of its absence.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from churn.features import Family
from churn.words import Language

Row = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Rule:
    """One way in which a family can be a reason.

    Attributes
    ----------
    code : str
        Stable identifier.
    family : Family
        Whose contribution it explains.
    feature, norm : str, str or float or None
        The evidence and what it is held against: a feature that tells the customer's own norm, a
        constant, or nothing where there is no norm yet.
    holds : callable
        Whether the evidence is there, given the row's features by name; NaN compares false.
    needs : tuple of str
        Features that must be known for the words.
    words : dict
        Template per language, in the form of `churn.words.fill`.
    """

    code: str
    family: Family
    feature: str
    norm: str | float | None
    holds: Callable[[Row], bool]
    needs: tuple[str, ...]
    words: dict[Language, str]


RULES: tuple[Rule, ...] = (
    Rule(
        "open_complaint", Family.COMPLAINTS, "open_complaints", 0.0,
        lambda row: row["open_complaints"] > 0,
        ("open_complaints", "days_since_open_complaint"),
        {"en": "a complaint made {days_since_open_complaint:days} ago is still open",
         "ru": "жалоба остаётся нерешённой {days_since_open_complaint:days}"},
    ),
    Rule(
        "repeated_complaints", Family.COMPLAINTS, "complaints_365d", 0.0,
        lambda row: row["complaints_365d"] >= 2,
        ("complaints_365d",),
        {"en": "{complaints_365d:complaints} in the last 365 days",
         "ru": "{complaints_365d:complaints} за последние 365 дней"},
    ),
    Rule(
        "slow_resolution", Family.COMPLAINTS, "last_resolution_days", None,
        lambda row: row["last_resolution_days"] > 7,
        ("last_resolution_days",),
        {"en": "the last complaint took {last_resolution_days:days} to resolve",
         "ru": "последнюю жалобу решали {last_resolution_days:days}"},
    ),
    Rule(
        "recent_complaint", Family.COMPLAINTS, "days_since_last_complaint", None,
        lambda row: row["complaints_365d"] > 0,
        ("days_since_last_complaint",),
        {"en": "a complaint {days_since_last_complaint:days} ago",
         "ru": "жалоба {days_since_last_complaint:days} назад"},
    ),
    Rule(
        "recent_returns", Family.RETURNS, "returns_90d", None,
        lambda row: row["returns_90d"] > 0,
        ("returns_90d",),
        {"en": "{returns_90d:returns} in the last 90 days",
         "ru": "{returns_90d:returns} за последние 90 дней"},
    ),
    Rule(
        "recent_cancellations", Family.RETURNS, "cancellations_90d", None,
        lambda row: row["cancellations_90d"] > 0,
        ("cancellations_90d",),
        {"en": "{cancellations_90d:cancellations} in the last 90 days",
         "ru": "{cancellations_90d:cancellations} за последние 90 дней"},
    ),
    Rule(
        "high_return_share", Family.RETURNS, "returned_amount_share", None,
        lambda row: row["returned_amount_share"] > 0.1,
        ("returned_amount_share",),
        {"en": "{returned_amount_share:percent} of the money spent was returned or cancelled",
         "ru": "возвращено или отменено {returned_amount_share:percent} от суммы покупок"},
    ),
    Rule(
        "low_rating", Family.SATISFACTION, "last_rating", "average_rating",
        lambda row: row["rating_change"] < 0,
        ("last_rating", "average_rating"),
        {"en": "last rating {last_rating:number}; {average_rating:number} on average",
         "ru": "последняя оценка {last_rating:number}; в среднем {average_rating:number}"},
    ),
    Rule(
        "last_rating", Family.SATISFACTION, "last_rating", None,
        lambda row: row["ratings_365d"] > 0,
        ("last_rating",),
        {"en": "last rating {last_rating:number}",
         "ru": "последняя оценка {last_rating:number}"},
    ),
    Rule(
        "single_purchase_silence", Family.SILENCE, "days_since_last_purchase", None,
        lambda row: row["is_one_time_buyer"] == 1,
        ("days_since_last_purchase",),
        {"en": "{days_since_last_purchase:days} since the only day with a purchase",
         "ru": "{days_since_last_purchase:days} с единственного дня с покупкой"},
    ),
    Rule(
        "long_silence", Family.SILENCE, "silence_over_own_gap", 1.0,
        lambda row: row["silence_over_own_gap"] > 1,
        ("days_since_last_purchase", "average_gap_days"),
        {"en": "{days_since_last_purchase:days} without a purchase; "
               "usually buys every {average_gap_days:days}",
         "ru": "{days_since_last_purchase:days} без покупок; "
               "обычно покупает раз в {average_gap_days:days}"},
    ),
    Rule(
        "slowing_rhythm", Family.SILENCE, "average_last_2_gaps_days", "average_gap_days",
        lambda row: row["gap_trend"] > 1.2,
        ("average_last_2_gaps_days", "average_gap_days"),
        {"en": "the last two gaps between purchases average {average_last_2_gaps_days:days}; "
               "{average_gap_days:days} over all",
         "ru": "два последних перерыва между покупками в среднем "
               "{average_last_2_gaps_days:days}; за всё время {average_gap_days:days}"},
    ),
    Rule(
        "slow_rhythm", Family.SILENCE, "average_gap_days", None,
        lambda row: row["average_gap_days"] > 0,
        ("average_gap_days", "days_since_last_purchase"),
        {"en": "buys every {average_gap_days:days}; "
               "last purchase {days_since_last_purchase:days} ago",
         "ru": "покупает раз в {average_gap_days:days}; "
               "последняя покупка {days_since_last_purchase:days} назад"},
    ),
    Rule(
        "time_since_purchase", Family.SILENCE, "days_since_last_purchase", None,
        lambda row: row["days_since_last_purchase"] >= 0,
        ("days_since_last_purchase",),
        {"en": "{days_since_last_purchase:days} since the last purchase",
         "ru": "{days_since_last_purchase:days} с последней покупки"},
    ),
    Rule(
        "frequency_drop", Family.FREQUENCY, "purchases_90d", "earlier_pace_90d",
        lambda row: row["purchases_90d"] < row["earlier_pace_90d"],
        ("purchases_90d", "earlier_pace_90d"),
        {"en": "{purchases_90d:orders} in the last 90 days; "
               "before that {earlier_pace_90d:number} in as long",
         "ru": "{purchases_90d:orders} за последние 90 дней; "
               "раньше {earlier_pace_90d:number} за тот же срок"},
    ),
    Rule(
        "few_purchases", Family.FREQUENCY, "purchases_365d", None,
        lambda row: row["purchases_365d"] >= 1,
        ("purchases_365d",),
        {"en": "{purchases_365d:orders} in the last 365 days",
         "ru": "{purchases_365d:orders} за последние 365 дней"},
    ),
    Rule(
        "cheque_decline", Family.CHEQUE, "average_last_3_cheques", "earlier_average_cheque",
        lambda row: row["last_3_cheques_ratio"] < 0.8,
        ("average_last_3_cheques", "earlier_average_cheque"),
        {"en": "the last three cheques average {average_last_3_cheques:money}; "
               "before that {earlier_average_cheque:money}",
         "ru": "три последних чека в среднем {average_last_3_cheques:money}; "
               "раньше {earlier_average_cheque:money}"},
    ),
    Rule(
        "small_last_cheque", Family.CHEQUE, "last_cheque", "average_cheque",
        lambda row: row["last_cheque_ratio"] < 0.8,
        ("last_cheque", "average_cheque"),
        {"en": "last cheque {last_cheque:money}; {average_cheque:money} on average",
         "ru": "последний чек {last_cheque:money}; в среднем {average_cheque:money}"},
    ),
    Rule(
        "low_spend", Family.CHEQUE, "spend_365d", None,
        lambda row: row["spend_365d"] > 0,
        ("spend_365d",),
        {"en": "spent {spend_365d:money} in the last 365 days",
         "ru": "потрачено {spend_365d:money} за последние 365 дней"},
    ),
    Rule(
        "engagement_drop", Family.ENGAGEMENT, "visits_30d", "earlier_visits_30d",
        lambda row: row["visits_30d"] < row["earlier_visits_30d"],
        ("visits_30d", "earlier_visits_30d"),
        {"en": "{visits_30d:visits} in the last 30 days; usually {earlier_visits_30d:number}",
         "ru": "{visits_30d:visits} за последние 30 дней; обычно {earlier_visits_30d:number}"},
    ),
    Rule(
        "few_visits", Family.ENGAGEMENT, "visits_90d", None,
        lambda row: row["visits_90d"] >= 0,
        ("visits_90d",),
        {"en": "{visits_90d:visits} in the last 90 days",
         "ru": "{visits_90d:visits} за последние 90 дней"},
    ),
    Rule(
        "discount_dependence", Family.DISCOUNT, "discounted_share", None,
        lambda row: row["discounted_share"] > 0,
        ("discounted_share",),
        {"en": "{discounted_share:percent} of orders were bought with a discount",
         "ru": "{discounted_share:percent} заказов сделаны со скидкой"},
    ),
    Rule(
        "narrowing_assortment", Family.ASSORTMENT, "categories_90d", "categories_total",
        lambda row: row["categories_90d"] < row["categories_total"],
        ("categories_90d", "categories_total"),
        {"en": "{categories_90d:categories} in the last 90 days; {categories_total:number} ever",
         "ru": "{categories_90d:categories} за последние 90 дней; "
               "всего {categories_total:number}"},
    ),
    Rule(
        "narrow_assortment", Family.ASSORTMENT, "categories_total", None,
        lambda row: row["categories_total"] <= 2,
        ("categories_total",),
        {"en": "buys in {categories_total:categories} only",
         "ru": "покупает только в одной-двух категориях (всего {categories_total:number})"},
    ),
    Rule(
        "one_time_buyer", Family.TENURE, "is_one_time_buyer", None,
        lambda row: row["is_one_time_buyer"] == 1,
        ("tenure_days",),
        {"en": "bought on one day only, {tenure_days:days} ago",
         "ru": "покупки только в один день, {tenure_days:days} назад"},
    ),
    Rule(
        "short_relationship", Family.TENURE, "tenure_days", None,
        lambda row: row["tenure_days"] < 180,
        ("tenure_days",),
        {"en": "a customer for {tenure_days:days}",
         "ru": "стаж клиента {tenure_days:days}"},
    ),
)  # fmt: skip

CONTROLLABLE: dict[Family, bool] = {family: family is not Family.TENURE for family in Family}
