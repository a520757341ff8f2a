"""A column of the user's own: what it is called, what family it speaks for, how it is coded.

The loop's features are declared in `churn.features`; these come from the user's query, so what
they are travels in the bundle. A category is a number to the trees: its code, or `UNSEEN` for one
that training met too rarely, or never. The rare ones of training are unseen too, so the trees have
learnt what that means; nothing known (NaN) is something else again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from string import Formatter
from typing import Any, Literal, get_args

import numpy as np

from churn.compiled import Floats
from churn.words import FORMATS, Language

UNSEEN = 0.0
UNSEEN_NAME = "unseen"
RARE_ROWS = 20
"""A category of fewer training rows teaches nothing of its own."""
MOST_CATEGORIES = 1000

Kind = Literal["numeric", "categorical"]
Raw = float | str | None

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_LANGUAGES: tuple[Language, ...] = get_args(Language)


@dataclass(frozen=True, slots=True)
class Column:
    """One column per customer and `as_of` that the loop does not compute.

    Attributes
    ----------
    name : str
        Stable identifier, used in requests and bundles.
    kind : {"numeric", "categorical"}
        Whether its values are numbers or names.
    family : str
        The reason family it speaks for: a built-in one, or one of its own.
    unit : str
        As in `churn.features.Feature`, or the user's own word.
    label : dict
        Its words per language.
    text : dict or None
        The sentence of a reason per language, with ``{value}`` and ``{norm}``.
    direction : int
        +1 if a rise usually raises the risk, -1 if a fall does, 0 if neither is usual.
    controllable : bool
        Whether the business can change it by acting.
    categories, codes : tuple of str, tuple of int
        The categories that are told apart and the code of each, from 1, ascending.
    norm : float, str or None
        What is usual among customers: the median, or the most common category.

    Raises
    ------
    ValueError
        It contradicts itself.
    TypeError
        An attribute is not of its type.
    """

    name: str
    kind: Kind
    family: str
    unit: str
    label: dict[Language, str]
    text: dict[Language, str] | None = None
    direction: int = 0
    controllable: bool = True
    categories: tuple[str, ...] = ()
    codes: tuple[int, ...] = ()
    norm: float | str | None = None
    _code_of: dict[str, float] = field(init=False, repr=False, compare=False)
    _is_code: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self._check_types()
        if not _NAME.fullmatch(self.name) or not _NAME.fullmatch(self.family):
            raise ValueError(f"{self.name!r} or its family is no name")
        if self.kind not in get_args(Kind) or self.direction not in (-1, 0, 1):
            raise ValueError(f"{self.name}: unknown kind or direction")
        for words in (self.label, *([self.text] if self.text is not None else [])):
            if set(words) != set(_LANGUAGES):
                raise ValueError(f"{self.name}: words must be given in {' and '.join(_LANGUAGES)}")
        for template in (self.text or {}).values():
            check_text(template, self.kind)
        codes = list(self.codes)
        if codes != sorted(set(codes)) or any(not 0 < code <= MOST_CATEGORIES for code in codes):
            raise ValueError(f"{self.name}: the codes of its categories are not ascending")
        if len(set(self.categories)) != len(codes) or (self.kind == "numeric" and codes):
            raise ValueError(f"{self.name}: its categories do not match their codes")
        named = zip(self.categories, self.codes, strict=True)
        object.__setattr__(self, "_code_of", {name: float(code) for name, code in named})
        object.__setattr__(self, "_is_code", np.array(codes, dtype=np.float64))

    def _check_types(self) -> None:
        # A bundle's bytes may be anybody's: nothing is compared, hashed or shown before this.
        words = [self.label] if self.text is None else [self.label, self.text]
        texts = (self.name, self.kind, self.family, self.unit, *self.categories)
        if not (
            all(isinstance(text, str) for text in texts)
            and all(isinstance(of, dict) for of in words)
            and all(isinstance(word, str) for of in words for word in of.values())
            and all(isinstance(number, int) for number in (self.direction, *self.codes))
            and isinstance(self.controllable, bool)
            and (self.norm is None or isinstance(self.norm, float | str))
        ):
            raise TypeError("a column's attributes are not of their types")

    def encode(self, raw: Raw) -> float:
        """The number that the trees see: NaN where nothing is known, `UNSEEN` for a new category.

        Examples
        --------
        >>> plan = Column("plan", "categorical", "plan", "category", {"en": "plan", "ru": "тариф"},
        ...               categories=("basic", "gold"), codes=(1, 2))
        >>> plan.encode("gold"), plan.encode("platinum"), plan.encode(None)
        (2.0, 0.0, nan)
        """
        if raw is None:
            return float("nan")
        if isinstance(raw, str) is not (self.kind == "categorical"):
            raise TypeError(f"{self.name} is {self.kind}")
        return self._code_of.get(raw, UNSEEN) if isinstance(raw, str) else float(raw)

    def decode(self, number: float) -> Raw:
        """What `encode` was given, as far as it is told apart."""
        if number != number:
            return None
        if self.kind == "numeric":
            return number
        at = int(np.searchsorted(self._is_code, number))
        known = at < len(self.codes) and self.codes[at] == number
        return self.categories[at] if known else UNSEEN_NAME

    def settled(self, numbers: Floats) -> Floats:
        """The same column with every code that is not told apart made `UNSEEN`, shape (n,)."""
        if self.kind == "numeric":
            return numbers
        return np.where(np.isnan(numbers) | np.isin(numbers, self._is_code), numbers, UNSEEN)

    def learnt(self, numbers: Floats) -> "Column":
        """The same column, telling apart only categories of at least `RARE_ROWS` of these rows."""
        if self.kind == "numeric":
            return self
        n = np.bincount(numbers[~np.isnan(numbers)].astype(np.int64), minlength=MOST_CATEGORIES + 1)
        kept = [at for at, code in enumerate(self.codes) if n[code] >= RARE_ROWS]
        return self.replaced(
            categories=tuple(self.categories[at] for at in kept),
            codes=tuple(self.codes[at] for at in kept),
        )

    def with_norm(self, numbers: Floats) -> "Column":
        """The same column, knowing what is usual among these customers, shape (n,)."""
        known = self.settled(numbers[~np.isnan(numbers)])
        if len(known) == 0:
            return self.replaced(norm=None)
        if self.kind == "numeric":
            return self.replaced(norm=float(np.median(known)))
        return self.replaced(norm=self.decode(float(np.bincount(known.astype(np.int64)).argmax())))

    def replaced(self, **changes: Any) -> "Column":
        """The same column with these attributes changed."""
        return Column(**{**self._given(), **changes})

    def to_dict(self) -> dict[str, Any]:
        """Built-ins for a bundle; `Column.from_dict` restores them."""
        given = self._given()
        return {**given, "categories": list(self.categories), "codes": list(self.codes)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Column":
        """What `to_dict` gave."""
        lists = {name: tuple(content[name]) for name in ("categories", "codes")}
        return cls(**{**content, **lists})

    def _given(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}


def check_text(template: str, kind: Kind) -> None:
    """Refuse the sentence of a reason that could not be filled in.

    Raises
    ------
    ValueError
        It names another field than ``{value}`` and ``{norm}``, or an unknown format.
    """
    known = FORMATS if kind == "numeric" else ()
    for _, name, spec, conversion in Formatter().parse(template):
        if name is None:
            continue
        if name not in ("value", "norm"):
            raise ValueError(f"{{{name}}} is not known; a text may hold {{value}} and {{norm}}")
        if conversion or (spec and spec not in known):
            formats = ", ".join(f"{{{name}:{one}}}" for one in known)
            raise ValueError(f"{{{name}}} may have these formats only: {formats or 'none'}")
