"""What a reason family may say where it lowers the risk: told only to who asks for both directions.

The counterpart of `churn.reason_rules`, in the same form: the first rule whose evidence holds
speaks, and a family without evidence says nothing.
"""

from churn.features import Family
from churn.reason_rules import Rule

LOWERING_RULES: tuple[Rule, ...] = (
    Rule(
        "quick_resolution", Family.COMPLAINTS, "last_resolution_days", None,
        lambda row: (row["open_complaints"] == 0) & (row["last_resolution_days"] <= 7),
        ("last_resolution_days",),
        {"en": "no complaint is open; the last one was resolved in {last_resolution_days:days}",
         "ru": "нерешённых жалоб нет; последняя решена, срок: {last_resolution_days:days}"},
    ),
    Rule(
        "no_complaints", Family.COMPLAINTS, "complaints_365d", None,
        lambda row: row["complaints_365d"] == 0,
        (),
        {"en": "no complaints in the last 365 days",
         "ru": "ни одной жалобы за последние 365 дней"},
    ),
    Rule(
        "no_returns", Family.RETURNS, "returns_365d", None,
        lambda row: (row["returns_365d"] == 0) & (row["cancellations_365d"] == 0),
        (),
        {"en": "nothing returned or cancelled in the last 365 days",
         "ru": "ни возвратов, ни отмен за последние 365 дней"},
    ),
    Rule(
        "few_returns", Family.RETURNS, "returned_amount_share", None,
        lambda row: row["returned_amount_share"] <= 0.1,
        ("returned_amount_share",),
        {"en": "only {returned_amount_share:percent} of the money spent was returned or cancelled",
         "ru": "возвращено или отменено лишь {returned_amount_share:percent} от суммы покупок"},
    ),
    Rule(
        "steady_rating", Family.SATISFACTION, "last_rating", "average_rating",
        lambda row: row["rating_change"] >= 0,
        ("last_rating", "average_rating"),
        {"en": "last rating {last_rating:number}, no lower than the average "
               "of {average_rating:number}",
         "ru": "последняя оценка {last_rating:number} не ниже средней "
               "({average_rating:number})"},
    ),
    Rule(
        "good_rating", Family.SATISFACTION, "last_rating", None,
        lambda row: row["ratings_365d"] > 0,
        ("last_rating",),
        {"en": "last rating {last_rating:number}",
         "ru": "последняя оценка {last_rating:number}"},
    ),
    Rule(
        "recent_first_purchase", Family.SILENCE, "days_since_last_purchase", None,
        lambda row: row["is_one_time_buyer"] == 1,
        ("days_since_last_purchase",),
        {"en": "only {days_since_last_purchase:days} since the first day with a purchase",
         "ru": "первый день с покупкой был лишь {days_since_last_purchase:days} назад"},
    ),
    Rule(
        "within_own_rhythm", Family.SILENCE, "silence_over_own_gap", 1.0,
        lambda row: row["silence_over_own_gap"] <= 1,
        ("days_since_last_purchase", "average_gap_days"),
        {"en": "last purchase {days_since_last_purchase:days} ago, within the usual gap "
               "of {average_gap_days:days}",
         "ru": "последняя покупка {days_since_last_purchase:days} назад, в пределах обычного "
               "перерыва ({average_gap_days:days})"},
    ),
    Rule(
        "quickening_rhythm", Family.SILENCE, "average_last_2_gaps_days", "average_gap_days",
        lambda row: row["gap_trend"] < 1,
        ("average_last_2_gaps_days", "average_gap_days"),
        {"en": "buys more often of late: the last two gaps average "
               "{average_last_2_gaps_days:days}, all of them {average_gap_days:days}",
         "ru": "в последнее время покупает чаще: два последних перерыва в среднем "
               "{average_last_2_gaps_days:days}, за всё время {average_gap_days:days}"},
    ),
    Rule(
        "last_purchase", Family.SILENCE, "days_since_last_purchase", None,
        lambda row: row["days_since_last_purchase"] >= 0,
        ("days_since_last_purchase",),
        {"en": "last purchase {days_since_last_purchase:days} ago",
         "ru": "последняя покупка {days_since_last_purchase:days} назад"},
    ),
    Rule(
        "frequency_rise", Family.FREQUENCY, "purchases_90d", "earlier_pace_90d",
        lambda row: row["purchases_90d"] > row["earlier_pace_90d"],
        ("purchases_90d", "earlier_pace_90d"),
        {"en": "{purchases_90d:orders} in the last 90 days, up from "
               "{earlier_pace_90d:number} in as long before",
         "ru": "{purchases_90d:orders} за последние 90 дней; раньше меньше: "
               "{earlier_pace_90d:number} за тот же срок"},
    ),
    Rule(
        "regular_purchases", Family.FREQUENCY, "purchases_365d", None,
        lambda row: row["purchases_365d"] >= 1,
        ("purchases_365d",),
        {"en": "{purchases_365d:orders} in the last 365 days",
         "ru": "{purchases_365d:orders} за последние 365 дней"},
    ),
    Rule(
        "cheque_rise", Family.CHEQUE, "average_last_3_cheques", "earlier_average_cheque",
        lambda row: row["last_3_cheques_ratio"] > 1,
        ("average_last_3_cheques", "earlier_average_cheque"),
        {"en": "the last three cheques average {average_last_3_cheques:money}, up from "
               "{earlier_average_cheque:money}",
         "ru": "три последних чека в среднем {average_last_3_cheques:money}; раньше меньше: "
               "{earlier_average_cheque:money}"},
    ),
    Rule(
        "large_last_cheque", Family.CHEQUE, "last_cheque", "average_cheque",
        lambda row: row["last_cheque_ratio"] > 1,
        ("last_cheque", "average_cheque"),
        {"en": "last cheque {last_cheque:money}, above the average of {average_cheque:money}",
         "ru": "последний чек {last_cheque:money}, выше среднего ({average_cheque:money})"},
    ),
    Rule(
        "high_spend", Family.CHEQUE, "spend_365d", None,
        lambda row: row["spend_365d"] > 0,
        ("spend_365d",),
        {"en": "spent {spend_365d:money} in the last 365 days",
         "ru": "потрачено {spend_365d:money} за последние 365 дней"},
    ),
    Rule(
        "engagement_rise", Family.ENGAGEMENT, "visits_30d", "earlier_visits_30d",
        lambda row: row["visits_30d"] > row["earlier_visits_30d"],
        ("visits_30d", "earlier_visits_30d"),
        {"en": "{visits_30d:visits} in the last 30 days, up from {earlier_visits_30d:number}",
         "ru": "{visits_30d:visits} за последние 30 дней; обычно меньше: "
               "{earlier_visits_30d:number}"},
    ),
    Rule(
        "recent_visits", Family.ENGAGEMENT, "visits_90d", None,
        lambda row: row["visits_90d"] > 0,
        ("visits_90d",),
        {"en": "{visits_90d:visits} in the last 90 days",
         "ru": "{visits_90d:visits} за последние 90 дней"},
    ),
    Rule(
        "full_price", Family.DISCOUNT, "discounted_share", None,
        lambda row: row["discounted_share"] == 0,
        (),
        {"en": "buys at full price, without discounts",
         "ru": "покупает по полной цене, без скидок"},
    ),
    Rule(
        "discounts_used", Family.DISCOUNT, "discounted_share", None,
        lambda row: row["discounted_share"] > 0,
        ("discounted_share",),
        {"en": "{discounted_share:percent} of orders were bought with a discount",
         "ru": "{discounted_share:percent} заказов сделаны со скидкой"},
    ),
    Rule(
        "wide_assortment", Family.ASSORTMENT, "categories_total", None,
        lambda row: row["categories_total"] > 2,
        ("categories_total",),
        {"en": "buys in {categories_total:categories}",
         "ru": "покупает в разных категориях (всего {categories_total:number})"},
    ),
    Rule(
        "steady_assortment", Family.ASSORTMENT, "categories_90d", "categories_total",
        lambda row: row["categories_90d"] >= row["categories_total"],
        ("categories_90d",),
        {"en": "{categories_90d:categories} in the last 90 days, no fewer than ever",
         "ru": "{categories_90d:categories} за последние 90 дней, не меньше, чем за всё время"},
    ),
    Rule(
        "long_relationship", Family.TENURE, "tenure_days", None,
        lambda row: row["tenure_days"] >= 180,
        ("tenure_days",),
        {"en": "a customer for {tenure_days:days}",
         "ru": "стаж клиента {tenure_days:days}"},
    ),
    Rule(
        "new_customer", Family.TENURE, "tenure_days", None,
        lambda row: row["tenure_days"] < 180,
        ("tenure_days",),
        {"en": "first purchase {tenure_days:days} ago",
         "ru": "первая покупка {tenure_days:days} назад"},
    ),
)  # fmt: skip
