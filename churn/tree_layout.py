"""Where things stand in the flat columns of `churn.tree_tables.Tables`.

Unsigned, as is everything that indexes in the loops: a signed index would be looked at for being
negative, which cost a third of the time.
"""

from churn.compiled import unsigned

U0, U1, U2, U3 = map(unsigned, range(4))

RUN_COLUMNS = unsigned(10)
KIND, ABOVE, SHARED, WIDTH, LANES, OWN, FIRST, LAST, CONDITION, SLOT = map(unsigned, range(10))

PART_COLUMNS = unsigned(4)
GROUP, SHIFT, TABLE, TOP = map(unsigned, range(4))

LONG_COLUMNS = unsigned(7)
LONG_GROUP, LONG_EDGE, LONG_END, LONG_SLOT, LONG_WIDTH, LONG_LANES, LONG_TABLE = map(
    unsigned, range(7)
)
