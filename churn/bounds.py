"""How large a number of a model may be: far beyond any real one, and no sum of them overflows.

Digests tell that a model is the published one, not that its numbers are those of a model. From
numbers within these bounds no row of finite numbers can get a probability that is none.
"""

import math

import numpy as np

from churn.compiled import Floats

MOST = 1e15
MOST_EXPONENT = 300.0
"""Of what is put into an exponential and multiplied by such numbers."""
MOST_DAYS = 36_500
MOST_BINS = 20
"""Of a column that drift is counted of, the missing aside."""
MOST_CUSTOMERS = 10**12


def are_sane(numbers: Floats) -> bool:
    """Whether each number of an array is one, and not absurd."""
    return bool((np.abs(numbers) <= MOST).all())


def is_sane(number: object) -> bool:
    """Whether this is a float, and not an absurd one.

    Examples
    --------
    >>> is_sane(0.5), is_sane(float("nan")), is_sane(1e300), is_sane("0.5")
    (True, False, False, False)
    """
    return isinstance(number, float) and math.isfinite(number) and abs(number) <= MOST
