"""What a model reads and how it explains: its input columns, the trees' columns, its families.

Most models read the loop's features first and then columns of the user's own; a model of a ready
table reads the user's own only. A bundle holds its schema, and everything that scores asks that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from churn.columns import Column
from churn.compiled import Floats
from churn.events import Feed
from churn.features import FAMILIES, FEATURE_NAMES, FEATURES, mask_absent_feeds
from churn.population import MODEL_COLUMNS, MODEL_FAMILIES

_N_LOOP = len(FEATURES)


@dataclass(frozen=True, slots=True)
class Schema:
    """The columns of a model.

    Attributes
    ----------
    extras : tuple of Column
        The user's own columns.
    loop : bool
        Whether the loop's features come before them.
    names : tuple of str
        Of the input columns, in order.
    position : dict of str to int
        Of each input column.
    ranked, coded : tuple of int
        Positions of the user's own columns that are ranked among the population, and of those that
        are categorical.
    families : tuple of str
        The players of the explanations: the built-in families of the loop, then the user's own.
    own_columns : dict of str to tuple of Column
        The user's own columns by the family that they speak for.
    feeds : tuple of Feed or None
        The feed without which a family says nothing; None where there is no such feed, as for a
        family that a column of the user's own speaks for.
    model_columns : tuple of str
        Of the trees.
    model_families : tuple of int
        Position in `families` of each of these.

    Raises
    ------
    ValueError
        Two columns of one name, or none at all.
    """

    extras: tuple[Column, ...] = ()
    loop: bool = True
    names: tuple[str, ...] = field(init=False, repr=False, compare=False)
    position: dict[str, int] = field(init=False, repr=False, compare=False)
    ranked: tuple[int, ...] = field(init=False, repr=False, compare=False)
    coded: tuple[int, ...] = field(init=False, repr=False, compare=False)
    families: tuple[str, ...] = field(init=False, repr=False, compare=False)
    own_columns: dict[str, tuple[Column, ...]] = field(init=False, repr=False, compare=False)
    feeds: tuple[Feed | None, ...] = field(init=False, repr=False, compare=False)
    model_columns: tuple[str, ...] = field(init=False, repr=False, compare=False)
    model_families: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        own = tuple(column.name for column in self.extras)
        first = _N_LOOP if self.loop else 0
        names = (*(FEATURE_NAMES if self.loop else ()), *own)
        ranked = [
            at for at, column in enumerate(self.extras) if column.kind == "numeric" and self.loop
        ]
        spoken_for = [column.family for column in self.extras]
        families = tuple(dict.fromkeys([*(FAMILIES if self.loop else ()), *spoken_for]))
        by_feed: dict[str, Feed] = {f.family: f.feed for f in FEATURES} if self.loop else {}
        for family in spoken_for:
            by_feed.pop(family, None)
        columns = (
            *(MODEL_COLUMNS if self.loop else ()),
            *own,
            *(f"{own[at]}_rank" for at in ranked),
        )
        families_of = [
            *(MODEL_FAMILIES if self.loop else ()),
            *spoken_for,
            *(spoken_for[at] for at in ranked),
        ]
        if len(set(columns)) != len(columns) or not columns:
            raise ValueError("two columns have the same name, or there is none")
        settled = {
            "names": names,
            "position": {name: at for at, name in enumerate(names)},
            "ranked": tuple(first + at for at in ranked),
            "coded": tuple(
                first + at for at, column in enumerate(self.extras) if column.kind == "categorical"
            ),
            "families": families,
            "own_columns": {
                family: tuple(column for column in self.extras if column.family == family)
                for family in spoken_for
            },
            "feeds": tuple(by_feed.get(family) for family in families),
            "model_columns": columns,
            "model_families": tuple(families.index(family) for family in families_of),
        }
        for name, what in settled.items():
            object.__setattr__(self, name, what)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def first_extra(self) -> int:
        """Position of the first column of the user's own."""
        return len(self.names) - len(self.extras)

    def extra(self, name: str) -> Column | None:
        """The column of the user's own of this name, if it is one."""
        at = self.position[name] - self.first_extra
        return self.extras[at] if at >= 0 else None

    def mask_absent(self, X: Floats, feeds: frozenset[Feed] | None) -> None:
        """Set, in place, to missing what was computed from feeds that are not told of.

        Parameters
        ----------
        X : ndarray of float64, shape (n, n_inputs)
            Input columns.
        feeds : frozenset of Feed or None
            Those there are; None where nobody said. The user's own columns are of none.
        """
        if feeds is not None and self.loop:
            mask_absent_feeds(X, feeds)

    def settled(self, X: Floats) -> Floats:
        """Input columns in which every category that the model does not know is unseen."""
        if not self.coded:
            return X
        out = np.array(X)
        for at in self.coded:
            out[:, at] = self.extras[at - self.first_extra].settled(out[:, at])
        return out

    def learnt(self, X: Floats) -> "Schema":
        """The schema that these rows teach: categories too rare in them are not told apart."""
        numbers = X[:, self.first_extra :]
        learnt = [column.learnt(numbers[:, at]) for at, column in enumerate(self.extras)]
        return Schema(tuple(learnt), self.loop)

    def with_norms(self, X: Floats) -> "Schema":
        """The schema that knows what is usual among these customers."""
        numbers = X[:, self.first_extra :]
        normed = [column.with_norm(numbers[:, at]) for at, column in enumerate(self.extras)]
        return Schema(tuple(normed), self.loop)

    def to_dict(self) -> dict[str, Any]:
        """Built-ins for a bundle; `Schema.from_dict` restores them."""
        return {"loop": self.loop, "extras": [column.to_dict() for column in self.extras]}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Schema":
        """What `to_dict` gave."""
        extras = tuple(Column.from_dict(column) for column in content["extras"])
        return cls(extras, bool(content["loop"]))


LOOP = Schema()
"""The schema of a model without columns of the user's own."""
