"""Chance that is the same on every replica, after every restart, whatever the model or policy.

A customer's draw is a hash of the id and a salt, so a holdout is sticky without being stored, and
it depends on nothing about the customer that a policy looks at.
"""

import hashlib

_BITS = 53


def draw(*parts: str) -> float:
    """A number in [0, 1) that these parts, and nothing else, decide.

    Examples
    --------
    >>> draw("c-1042", "keepwell") == draw("c-1042", "keepwell")
    True
    """
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return (int.from_bytes(digest.digest(), "big") >> (64 - _BITS)) / (1 << _BITS)
