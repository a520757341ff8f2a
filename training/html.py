"""The pieces of a self-contained HTML page: style, tables of text, figures.

Every text is escaped here, so that nothing a log or a setting holds can become markup.
"""

from collections.abc import Iterable, Sequence
from html import escape

from training.intervals import Interval
from training.svg import Figure

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#1c2530;--soft:#55606c;--line:#d9dfe6;
--tint:#f3f6f9;--accent:#0072B2;--warn:#fff4d6}
@media (prefers-color-scheme:dark){:root{--paper:#14181d;--ink:#e4e8ec;--soft:#9aa5b1;
--line:#333c46;--tint:#1c2229;--accent:#56B4E9;--warn:#3a3114}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1120px;margin:0 auto;padding:24px 20px 64px}
h1{font-size:1.7rem;line-height:1.25;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:1.35rem;margin:52px 0 8px;padding-top:14px;border-top:1px solid var(--line)}
h3{font-size:1.02rem;line-height:1.35;margin:0 0 3px}
p{margin:6px 0;max-width:80ch}.soft,figcaption p,caption{color:var(--soft);font-size:.9rem}
.lead{font-size:1.15rem;margin:14px 0 18px;padding-left:14px;border-left:4px solid var(--accent)}
.grade{display:flex;gap:18px;align-items:center;margin:18px 0;padding:14px 18px;
background:var(--tint);border-radius:8px}
.grade strong{font-size:3rem;line-height:1;min-width:1.1em;text-align:center}
.grade p{font-size:1.1rem;margin:0}
.key{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,230px),1fr));gap:16px;
margin:18px 0}.key div{background:var(--tint);border-radius:8px;padding:12px 16px}
.key dt{font-size:2rem;font-weight:650;line-height:1.2}.key dd{margin:0}dl{margin:0}
.scroll{overflow-x:auto;margin:14px 0}
table{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums}
caption{text-align:left;padding-bottom:4px}
caption span{display:block;max-width:min(96ch,calc(100vw - 26px))}
th,td{padding:6px 10px;text-align:right;vertical-align:top;border-bottom:1px solid var(--line)}
td{white-space:nowrap}th{font-weight:500}tbody th,td.words{text-align:left;white-space:normal}
tbody th{min-width:9em}thead th{color:var(--soft);vertical-align:bottom}
thead th:first-child,thead th.words{text-align:left}
td.words{min-width:14em;overflow-wrap:anywhere}
tr.own{background:var(--tint)}tr.own th,tr.own td{font-weight:650}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));
gap:34px 40px;margin-top:22px}
figure{margin:0;min-width:0;max-width:560px}
figure svg{display:block;width:100%;height:auto;margin-top:8px;overflow:visible}
nav ol{columns:2;margin:6px 0;padding-left:22px}nav a{color:var(--accent)}
.warn{background:var(--warn);padding:10px 14px;border-radius:6px;margin:14px 0}
ul{margin:6px 0;padding-left:20px}summary{cursor:pointer;margin-top:14px}
code{overflow-wrap:anywhere}
@media (max-width:600px){main{padding:16px 12px 48px}h1{font-size:1.35rem}nav ol{columns:1}
th,td{padding:5px 6px}td.words{min-width:11em}tbody th{min-width:7em}.lead{font-size:1.05rem}}
@media print{:root{--paper:#fff;--ink:#000;--soft:#333;--line:#bbb;--tint:#f3f6f9;--warn:#fff4d6}
html{font-size:11px}body{font-size:1rem}main{max-width:none;padding:0}figure,tr,.grade,.key,.warn{break-inside:avoid}
h2,h3,caption{break-after:avoid}.grid{grid-template-columns:1fr 1fr;gap:18px}
details::details-content{content-visibility:visible;height:auto}.scroll{overflow:visible}
th,td{padding:3px 5px}h2{margin-top:28px}}
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
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    caption: str,
    *,
    own: bool = False,
    words: Sequence[int] = (),
) -> str:
    """Table of plain text, a header to each row and column.

    `own` marks the first row, which is Keepwell's; `words` are the columns of sentences.
    """

    def kind(column: int) -> str:
        return " class=words" if column in words else ""

    titles = "".join(
        f'<th scope="col"{kind(at)}>{escape(cell)}</th>' for at, cell in enumerate(head)
    )
    body = "".join(
        f"<tr{' class=own' if own and not i else ''}>"
        + "".join(
            f"<td{kind(at)}>{escape(cell)}</td>" if at else f'<th scope="row">{escape(cell)}</th>'
            for at, cell in enumerate(row)
        )
        + "</tr>"
        for i, row in enumerate(rows)
    )
    return (
        f'<div class="scroll" tabindex="0"><table><caption><span>{escape(caption)}</span></caption>'
        f"<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def folded(summary: str, inside: str, *, shown: bool = False) -> str:
    """Return what only some will want to read, folded unless `shown`; `inside` is HTML."""
    return f"<details{' open' * shown}><summary>{escape(summary)}</summary>{inside}</details>"


def grid(figures: Iterable[Figure | None]) -> str:
    """Return figures side by side where the window is wide enough."""
    shown = "".join(_figure(figure) for figure in figures if figure is not None)
    return f'<div class="grid">{shown}</div>' if shown else ""


def _figure(figure: Figure) -> str:
    return (
        f"<figure><figcaption><h3>{escape(figure.title)}</h3><p>{escape(figure.note)}</p>"
        f"</figcaption>{figure.svg}</figure>"
    )


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text."""
    return f"<p{f' class={kind}' if kind else ''}>{escape(text)}</p>"


def key_figures(figures: Iterable[tuple[str, str]]) -> str:
    """Return a few large figures with what they say."""
    cells = "".join(
        f"<div><dt>{escape(value)}</dt><dd>{escape(words)}</dd></div>" for value, words in figures
    )
    return f'<dl class="key">{cells}</dl>'


def grade_box(letter: str, sentence: str) -> str:
    """Return the grade, large, with the sentence that explains it."""
    return (
        f'<div class="grade"><strong aria-label="Grade {escape(letter)}">{escape(letter)}</strong>'
        f"<p>{escape(sentence)}</p></div>"
    )


def warning_box(lines: Sequence[str], title: str = "Before you trust it") -> str:
    """Return what must be read first, or nothing."""
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<div class="warn" role="note"><strong>{escape(title)}</strong><ul>{items}</ul></div>'
