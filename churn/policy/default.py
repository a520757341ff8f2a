"""The policy that a new user starts from, as `keepwell init` writes it."""

from functools import lru_cache
from pathlib import Path

from churn.policy.policy import Policy, parse

DEFAULT = """\
# What Keepwell may suggest, what it costs and brings, and who is considered for what.
# Every number is a starting point, to be replaced by what your own campaigns have measured.
# Money is in the currency of your log.

[rules]
cooldown_days = 14        # nothing for so long after a delivered action, but service
contact_cap = 2           # at most so many delivered actions ...
contact_cap_days = 30     # ... within so many days, service not counted
message_first = true      # an incentive only after a contact without one has been delivered
message_first_days = 60
holdout_share = 0.10      # from these nothing is sent, so that effects can be measured
holdout_salt = "keepwell" # another salt draws other customers
exploration_rate = 0.05   # decisions taken at random among the candidates
exploration_days = 30

# contact_cost: of every contact; incentive_cost: of what the saved, and some stayers, take.
# saved: share of would-be leavers kept; redeemed: of stayers who take the incentive too;
# harm: of stayers whom the contact drives away. Each is a belief: its mean, and how many
# customers' outcomes it is worth (weight). An action without `saved` claims nothing. Where it is
# known to save another share, `saved_in.one_time.high = { ... }` says so for a case and band.
# Doing nothing is a proper answer, and the one where nothing else pays.
[actions.none]
channel = "none"
needs_consent = false
[actions.none.text]
en = "leave the customer alone"
ru = "не беспокоить клиента"

# Owed to whoever complains: nothing is weighed or withheld.
[actions.senior_call]
channel = "phone"
service = true
needs_consent = false
within_hours = 24
[actions.senior_call.text]
en = "a senior manager calls within 24 hours and has it fixed"
ru = "старший менеджер звонит в течение 24 часов и решает вопрос"

[actions.ticket_compensation]
channel = "support"
service = true
needs_consent = false
within_hours = 48
[actions.ticket_compensation.text]
en = "answer within 48 hours, with a compensation that fits the cause, else store credit"
ru = "ответить за 48 часов и компенсировать по причине жалобы, иначе баллами"

[actions.ticket_apology]
channel = "support"
service = true
needs_consent = false
within_hours = 72
[actions.ticket_apology.text]
en = "answer within 72 hours and apologise"
ru = "ответить за 72 часа и извиниться"

[actions.manager_call]
channel = "phone"
service = true
needs_consent = false
within_hours = 48
[actions.manager_call.text]
en = "a manager calls, apologises and asks what went wrong; no coupon"
ru = "руководитель звонит, извиняется и спрашивает, что пошло не так; без купона"

# 60 for the handling and 400 paid to everyone who complained.
[actions.compensation]
channel = "support"
contact_cost = 460.0
saved = { mean = 0.25, weight = 30.0 }
service = true
needs_consent = false
within_hours = 72
[actions.compensation.text]
en = "a compensation that fits the cause"
ru = "компенсация по причине жалобы"

[actions.apology_and_fix]
channel = "support"
service = true
needs_consent = false
within_hours = 72
[actions.apology_and_fix.text]
en = "apologise and fix it"
ru = "извиниться и исправить"

[actions.fix_free_returns]
channel = "support"
service = true
needs_consent = false
within_hours = 72
[actions.fix_free_returns.text]
en = "find out what was wrong with the delivery or goods, fix it, offer free returns"
ru = "выяснить, что было не так с доставкой или товаром, исправить, вернуть бесплатно"

[actions.apology]
channel = "support"
service = true
needs_consent = false
within_hours = 72
[actions.apology.text]
en = "apologise for the trouble"
ru = "извиниться за неудобства"

[actions.reorder_reminder]
channel = "message"
contact_cost = 1.5
saved = { mean = 0.03, weight = 50.0 }
harm = { mean = 0.003, weight = 1000.0 }
[actions.reorder_reminder.text]
en = "remind of the usual order, with picks"
ru = "напомнить о привычном заказе, с подборкой"

[actions.second_order_guide]
channel = "message"
contact_cost = 1.5
saved = { mean = 0.03, weight = 50.0 }
harm = { mean = 0.003, weight = 1000.0 }
[actions.second_order_guide.text]
en = "show how to get more out of the first purchase"
ru = "показать, как получить больше от первой покупки"

[actions.free_delivery]
channel = "message"
contact_cost = 1.5
incentive_cost = 150.0
saved = { mean = 0.06, weight = 50.0 }
redeemed = { mean = 0.5, weight = 20.0 }
harm = { mean = 0.003, weight = 1000.0 }
promotion = true
[actions.free_delivery.text]
en = "free delivery of the second order"
ru = "бесплатная доставка второго заказа"

[actions.exclusive_access]
channel = "message"
contact_cost = 1.5
saved = { mean = 0.03, weight = 50.0 }
harm = { mean = 0.003, weight = 1000.0 }
promotion = true
[actions.exclusive_access.text]
en = "early access to something new"
ru = "ранний доступ к новинкам"

[actions.points]
channel = "loyalty"
contact_cost = 1.5
incentive_cost = 150.0
saved = { mean = 0.06, weight = 50.0 }
redeemed = { mean = 0.5, weight = 20.0 }
harm = { mean = 0.003, weight = 1000.0 }
promotion = true
[actions.points.text]
en = "points for the next order instead of a lower price"
ru = "баллы за следующий заказ вместо снижения цены"

[actions.discount]
channel = "message"
contact_cost = 1.5
incentive_cost = 300.0
saved = { mean = 0.08, weight = 50.0 }
redeemed = { mean = 0.5, weight = 20.0 }
harm = { mean = 0.003, weight = 1000.0 }
promotion = true
[actions.discount.text]
en = "10% off the next order"
ru = "скидка 10% на следующий заказ"

[actions.agent_call]
channel = "phone"
contact_cost = 250.0
saved = { mean = 0.15, weight = 30.0 }
harm = { mean = 0.003, weight = 1000.0 }
within_hours = 48
[actions.agent_call.text]
en = "a personal call: listen, show the advantages, no opening discount"
ru = "личный звонок: выслушать, показать преимущества, не начинать со скидки"

[actions.bundles]
channel = "message"
contact_cost = 1.5
saved = { mean = 0.03, weight = 50.0 }
harm = { mean = 0.003, weight = 1000.0 }
promotion = true
[actions.bundles.text]
en = "bundles, and a gift from a cheque of the former size on"
ru = "наборы и подарок от чека прежнего размера"

[actions.delivery_threshold]
channel = "message"
contact_cost = 1.5
saved = { mean = 0.03, weight = 50.0 }
harm = { mean = 0.003, weight = 1000.0 }
promotion = true
[actions.delivery_threshold.text]
en = "free delivery from a cheque of the former size on"
ru = "бесплатная доставка от чека прежнего размера"

# Asks; it claims to save nobody.
[actions.one_question]
channel = "app"
within_hours = 72
[actions.one_question.text]
en = "ask one question: what has changed?"
ru = "задать один вопрос: что изменилось?"

[actions.survey]
channel = "message"
[actions.survey.text]
en = "ask how it was"
ru = "спросить о впечатлении"

[actions.other_channel]
channel = "message"
contact_cost = 1.5
saved = { mean = 0.03, weight = 50.0 }
harm = { mean = 0.003, weight = 1000.0 }
[actions.other_channel.text]
en = "write through another channel, and less often"
ru = "написать по другому каналу и реже"

# Who is considered for what: by situation, risk band and value segment (A the most valuable).
# Of the candidates the one of the greatest expected value is suggested, if that is above 0;
# service is owed. A low risk without a complaint gets nothing. The first situation that applies
# counts: open_complaint, repeated_complaint, quality, high_cheque_stopped, active_shift,
# periodic_switched, one_time, cheque_decline, engagement_drop, promotion_only, unknown.

[table.open_complaint.any]
A = ["senior_call"]
B = ["ticket_compensation"]
C = ["ticket_apology"]

[table.repeated_complaint.any]
A = ["manager_call"]
B = ["compensation"]
C = ["apology_and_fix"]

[table.quality.any]
A = ["fix_free_returns"]
B = ["fix_free_returns"]
C = ["apology"]

[table.high_cheque_stopped.medium]
A = ["exclusive_access"]
B = ["exclusive_access"]
C = ["reorder_reminder"]

[table.high_cheque_stopped.high]
A = ["agent_call"]
B = ["agent_call", "exclusive_access"]
C = ["reorder_reminder"]

[table.active_shift.any]
A = ["one_question", "agent_call"]
B = ["one_question"]
C = ["survey"]

[table.periodic_switched.medium]
A = ["reorder_reminder"]
B = ["reorder_reminder"]
C = ["reorder_reminder"]

[table.periodic_switched.high]
A = ["exclusive_access", "points", "agent_call"]
B = ["reorder_reminder", "points"]
C = ["reorder_reminder", "discount"]

[table.one_time.medium]
A = ["second_order_guide"]
B = ["second_order_guide"]
C = ["second_order_guide"]

[table.one_time.high]
A = ["second_order_guide", "free_delivery"]
B = ["second_order_guide", "free_delivery"]
C = ["second_order_guide"]

[table.cheque_decline.any]
A = ["bundles"]
B = ["delivery_threshold"]
C = ["none"]

[table.engagement_drop.any]
A = ["other_channel"]
B = ["other_channel"]
C = ["other_channel"]

[table.promotion_only.any]
A = ["points"]
B = ["points"]
C = ["none"]

[table.unknown.any]
A = ["agent_call", "survey"]
B = ["survey"]
C = ["none"]
"""


@lru_cache(maxsize=1)
def default_policy() -> Policy:
    """The same, ready to be used: what holds where no policy.toml is named."""
    return parse(DEFAULT, Path("policy.toml"))
