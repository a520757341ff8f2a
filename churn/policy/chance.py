"""Chance that is the same on every replica, after every restart, whatever the model or policy.

A customer's draw is a hash of the id and a salt, so a holdout is sticky without being stored, and
it depends on nothing about the customer that a policy looks at.
"""

from hashlib import blake2b

_BITS = 53
_SHIFT, _RANGE = 64 - _BITS, 1 << _BITS


def draw(*parts: str) -> float:
    """A number in [0, 1) that these parts, and nothing else, decide.

    Examples
    --------
    >>> draw("c-1042", "keepwell") == draw("c-1042", "keepwell")
    True
    """
    # Each behind its length, so that no two lists of parts give the same text.
    framed = "".join([f"{len(part)}:{part}" for part in parts])
    digest = blake2b(framed.encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> _SHIFT) / _RANGE
