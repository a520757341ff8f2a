"""Make and list the keys that callers of the service show."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson
from cli.output import print_json, say

if TYPE_CHECKING:
    from service.access.keys import Key, KeyScope

app = typer.Typer(no_args_is_help=False)

_DAYS = re.compile(r"([1-9][0-9]{0,4})d")
_SOON = timedelta(days=14)

KeysFile = Annotated[
    Path | None,
    typer.Option("--file", envvar="KEEPWELL_KEYS_FILE", help="The service's file of keys."),
]


@app.command()
def new(
    scopes: Annotated[
        str, typer.Option(help="What it may do: score, batch, events, metrics, admin; commas.")
    ],
    expires: Annotated[
        str, typer.Option(metavar="90d|DATE", help="For how long, or until when (UTC).")
    ] = "90d",
    client: Annotated[
        str | None,
        typer.Option(help="Whose it is; keys of one client share its jobs. Default: its own."),
    ] = None,
    file: KeysFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. It is shown once; the file has its hash, which a running service takes up."""
    from service import instants
    from service.access import keeping, keys

    now = instants.now()
    shown, key = keys.new(client, _scopes(scopes), _expiry(expires, now))
    if re.search(keys.CLIENT_PATTERN, key.client) is None:
        raise typer.BadParameter(
            "--client must be 1 to 64 letters, digits, dots, hyphens and underscores"
        )
    if file is not None:
        keeping.add(file, key, now)
    if as_json:
        print_json(
            {
                "key": shown,
                **_told(key),
                "file": file,
                "entry": None if file else key.entry(),
            }
        )
        return
    say([shown])
    typer.echo(
        f"The key is shown this once. Its entry is in {file}."
        if file
        else f"The key is shown this once. Add to the file that KEEPWELL_KEYS_FILE names:\n\n"
        f"{key.entry()}",
        err=True,
    )


@app.command("list")
def list_keys(file: KeysFile = None, as_json: AsJson = False) -> None:
    """List the keys of a file: whose they are, what they may do, until when."""
    from service import instants
    from service.access.keys import read

    if file is None:
        raise typer.BadParameter("name the file with --file, or in KEEPWELL_KEYS_FILE")
    now = instants.now()
    found = sorted(read(file).all, key=lambda key: (key.client, key.expires_at))
    if as_json:
        print_json([{**_told(key), "in_force": key.expires_at > now} for key in found])
        return
    say([f"no keys in {file}; `keepwell keys new` makes one"] if not found else _lines(found, now))


def _lines(found: "list[Key]", now: int) -> list[str]:
    width = max(len(key.client) for key in found)
    return [
        f"{key.key_id:<12}  {key.client:<{width}}  {_until(key, now):<22}  "
        f"{','.join(sorted(key.scopes))}"
        for key in found
    ]


def _until(key: "Key", now: int) -> str:
    from service import instants

    day = instants.date_text(key.expires_at)
    if key.expires_at <= now:
        return f"expired {day}"
    left = timedelta(microseconds=key.expires_at - now)
    return f"until {day}" + (f", {left.days} days" if left <= _SOON else "")


def _told(key: "Key") -> dict[str, object]:
    from service import instants

    return {
        "id": key.key_id,
        "client": key.client,
        "scopes": sorted(key.scopes),
        "expires": instants.text(key.expires_at),
    }


def _scopes(text: str) -> "list[KeyScope]":
    from service.access.keys import KeyScope

    try:
        return [KeyScope(name.strip()) for name in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"--scopes must be one or more of {', '.join(KeyScope)}, with commas between"
        ) from None


def _expiry(text: str, now: int) -> int:
    days = _DAYS.fullmatch(text)
    if days is not None:
        at = now + int(days[1]) * 86_400_000_000
    else:
        try:
            told = datetime.fromisoformat(text)
        except ValueError:
            raise typer.BadParameter(
                f"--expires must be days such as 90d or a date such as 2027-02-20, not {text!r}"
            ) from None
        at = round((told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp() * 1e6)
    if at <= now:
        raise typer.BadParameter("--expires lies in the past")
    return at // 1_000_000 * 1_000_000
