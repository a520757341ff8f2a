"""What a feature is: its name, unit, family, feed, and the words that explain it."""

from dataclasses import dataclass
from enum import StrEnum

from churn.events import Feed


class Family(StrEnum):
    """Reason family: the features that tell one cause, treated as one player in explanations."""

    SILENCE = "silence"
    FREQUENCY = "frequency"
    CHEQUE = "cheque"
    COMPLAINTS = "complaints"
    RETURNS = "returns"
    ENGAGEMENT = "engagement"
    SATISFACTION = "satisfaction"
    DISCOUNT = "discount"
    ASSORTMENT = "assortment"
    TENURE = "tenure"


FAMILIES: tuple[Family, ...] = tuple(Family)


@dataclass(frozen=True, slots=True)
class Feature:
    """One number per customer and `as_of`.

    Attributes
    ----------
    name : str
        Stable identifier, used in requests and bundles.
    unit : str
        ``days``, ``orders``, ``money``, ``ratio``, ``share``, ``events``, ``rating`` or ``code``.
    family : Family
        Which cause it tells of.
    feed : Feed
        The feed without which it is missing.
    direction : int
        +1 if a rise usually raises the risk, -1 if a fall does, 0 if neither is usual.
    en, ru : str
        Its words.
    controllable : bool
        Whether the business can change it by acting.
    """

    name: str
    unit: str
    family: Family
    feed: Feed
    direction: int
    en: str
    ru: str
    controllable: bool = True
