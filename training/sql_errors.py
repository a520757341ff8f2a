"""What DuckDB found wrong with the user's SQL, in one line that holds no customer's data."""

import re

_TRY = "use TRY_CAST or TRY_STRPTIME: rows that fail are then quarantined, not fatal"
_ADVICE = {
    "Conversion Error": _TRY,
    "Invalid Input Error": _TRY,
    "Out of Memory Error": "select fewer columns, or join less in the query",
}


def condense(error: Exception, lines_before: int = 0) -> str:
    r"""Return the gist of DuckDB's message, and the line of the query where it tells one.

    Parameters
    ----------
    error : Exception
        What DuckDB raised.
    lines_before : int
        Lines that stood before the user's query in what was run.

    Examples
    --------
    >>> condense(ValueError('Binder Error: no column "bad"\n\nLINE 2:  bad\n         ^^^'))
    'line 2: Binder Error: no column "bad"'
    """
    message = str(error)
    found = re.search(r"^LINE (\d+):", message, re.MULTILINE)
    line = int(found[1]) - lines_before if found else 0
    # The value that would not convert is a customer's: name where it is, not what it is.
    gist = re.sub(r"^Original Line:.*$", "", message, flags=re.MULTILINE)
    gist = re.split(r"\n\s*\n|^LINE \d+:", gist, maxsplit=1, flags=re.MULTILINE)[0]
    kind = gist.partition(":")[0]
    if kind in ("Conversion Error", "Invalid Input Error"):
        gist = re.sub(r"(string|field value|value) (\"[^\n]*?\"|'[^\n]*?')", r"a \1", gist)
        gist = re.split(r"\n[^\n]*\n\s*\^", gist, maxsplit=1)[0]
    # DuckDB lists every overload of a function; the arguments it was given say enough.
    gist = " ".join(gist.split("Candidate functions:")[0].split())
    advice = f"; {_ADVICE[kind]}" if kind in _ADVICE else ""
    return (f"line {line}: " if line > 0 else "") + gist.rstrip(".") + advice
