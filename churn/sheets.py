"""Texts that a spreadsheet opens: none of them may be run as a formula.

References
----------
OWASP, "CSV Injection".
"""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'")


def harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula: one that looks like it begins with `'`.

    Examples
    --------
    >>> harmless("=1+1"), harmless("c-1042")
    ("'=1+1", 'c-1042')
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def harmless_sql(column: str) -> str:
    """The same of a column of texts, in DuckDB's SQL."""
    starts = "".join(f"\\x{{{ord(start):x}}}" for start in _FORMULA)
    return f"regexp_replace({column}, '^[{starts}]', '''\\0')"
