"""The pieces of a self-contained HTML page: style, tables of text, figures.

Every text is escaped here, so that nothing a log or a setting holds can become markup.
"""

from collections.abc import Iterable, Sequence
from html import escape

from training.intervals import Interval

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1c2530;--soft:#5b6673;--line:#d9dfe6;
--tint:#f3f6f9;--accent:#0072B2;--warn:#fff4d6}
@media (prefers-color-scheme:dark){:root{--paper:#14181d;--ink:#e4e8ec;--soft:#9aa5b1;
--line:#333c46;--tint:#1c2229;--accent:#56B4E9;--warn:#3a3114}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1120px;margin:0 auto;padding:24px 20px 64px}
h1{font-size:1.7rem;margin:0 0 4px}h2{font-size:1.25rem;margin:44px 0 8px;padding-top:12px;
border-top:1px solid var(--line)}h3{font-size:1rem;margin:0 0 2px}
p{margin:6px 0;max-width:78ch}.soft,figcaption p{color:var(--soft);font-size:.9rem}
.lead{font-size:1.15rem;margin:14px 0 18px;padding-left:14px;border-left:4px solid var(--accent)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.92rem;
font-variant-numeric:tabular-nums}th,td{padding:6px 10px;text-align:right;white-space:nowrap;
border-bottom:1px solid var(--line)}th:first-child,td:first-child{text-align:left}
thead th{color:var(--soft);font-weight:500}tr.own td{background:var(--tint);font-weight:600}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,460px),1fr));gap:28px}
figure{margin:12px 0 0;min-width:0}figure svg{display:block;max-width:100%;height:auto;
margin-top:8px;overflow:visible}
nav{margin-top:14px}nav a{margin-right:16px;color:var(--accent)}
.warn{background:var(--warn);padding:10px 14px;border-radius:6px;margin:12px 0}
ul{margin:6px 0;padding-left:20px}
@media print{body{font-size:12px}figure,tr{break-inside:avoid}}
"""


def page(title: str, body: str) -> str:
    """Return a whole page; its content security policy forbids scripts and every request."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def number(value: float | None, interval: Interval | None = None) -> str:
    """Return a figure to three decimals with its interval, or a dash where there is none."""
    if value is None:
        return "-"
    spread = "" if interval is None else f" [{interval.low:.3f}, {interval.high:.3f}]"
    return f"{value:.3f}{spread}"


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], caption: str, *, own: bool = False
) -> str:
    """Table of plain text; `own` marks the first row, which is Keepwell's."""
    titles = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f"<tr{' class=own' if own and not i else ''}>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for i, row in enumerate(rows)
    )
    return (
        f'<p class="soft">{escape(caption)}</p><div class="scroll"><table>'
        f"<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def figure(title: str, note: str, svg: str) -> str:
    """Plot with its title and note; the same words are what a screen reader hears."""
    return (
        f"<figure><figcaption><h3>{escape(title)}</h3><p>{escape(note)}</p></figcaption>"
        f'<div role="img" aria-label="{escape(f"{title}. {note}")}">{svg}</div></figure>'
    )


def grid(figures: Iterable[str]) -> str:
    """Return figures side by side where the window is wide enough."""
    return f'<div class="grid">{"".join(figures)}</div>'


def warning_box(lines: Sequence[str]) -> str:
    """Return what must be read first, or nothing."""
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return (
        f'<div class="warn" role="note"><strong>Before you trust it</strong><ul>{items}</ul></div>'
    )
