"""The building blocks of the page: everything that becomes HTML passes through here."""

import base64
import html
import pathlib
import re
import shlex

from thyroid_keras.metrics import widest_interval

STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #5b6673; --paper: #fff;
  --card: #f4f6f8; --line: #d5dbe1; --accent: #0072b2; --warn: #fff3e0; --edge: #d55e00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaee; --soft: #a3afba;
  --paper: #14181d; --card: #1e242b; --line: #37414b; --accent: #56b4e9;
  --warn: #33240f; --edge: #e69f00; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1.2rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 1.2rem 0 .3rem; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.02rem; margin: 1.6rem 0 .4rem; }
a { color: var(--accent); }
p, li { max-width: 48rem; overflow-wrap: anywhere; }
.lead { font-size: 1.08rem; }
.soft, caption, figcaption { color: var(--soft); font-size: .9rem; font-weight: normal; }
.warn { background: var(--warn); border-left: 5px solid var(--edge); padding: .6rem 1rem;
  margin: .8rem 0; border-radius: 0 6px 6px 0; }
.warn p, .warn ul { margin: .2rem 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr));
  gap: .8rem; margin: 1.2rem 0; }
.tile { background: var(--card); border-radius: 8px; padding: .7rem 1rem; }
.tile b { display: block; font-size: 1.8rem; line-height: 1.2; color: var(--accent); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: .6rem 0; font-size: .94rem; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { text-align: left; padding: .36rem 1.1rem .36rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
tbody th { min-width: 9rem; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums;
  white-space: nowrap; overflow-wrap: normal; }
figure { margin: 1rem 0; break-inside: avoid; }
figure img { max-width: 100%; height: auto; background: #fff; border-radius: 6px; padding: 6px; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)); gap: 1rem; }
.pair figure { margin: 0; }
.pair figure.wide { grid-column: 1 / -1; }
pre { background: var(--card); padding: .8rem 1rem; border-radius: 6px; white-space: pre-wrap;
  overflow-wrap: anywhere; }
svg { display: block; }
@media print { @page { margin: 15mm; }
  body { font-size: 10pt; } main { max-width: none; padding: 0; }
  table { font-size: 8.5pt; } th, td { padding-right: .6rem; } .wide { overflow: visible; }
  svg { width: 6rem; } figure img { max-height: 22cm; } .pair { grid-template-columns: 1fr 1fr; }
  h2, h3, caption, thead { break-after: avoid; } tr { break-inside: avoid; } }
"""

# pictures wider than this do not share their row
WIDE_PX = 800

# a rooted path inside a text: what precedes the / must not be part of a word, link or path
ROOTED = re.compile(
    r"(?:file://+|(?<![A-Za-z])[A-Za-z]:[\\/]|~[\\/]|(?<![\w.:/<])/)(?=[^\s/])[^\s'\"<>|;,]*"
)


def document(title, body):
    """Returns a whole page, which needs nothing from anywhere else."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def without_folders(value):
    """Cuts every rooted path down to its last part: folders name people and machines.

    A text that begins as a path is one, blanks and all; inside a text a blank ends it.
    """
    value = str(value)
    if re.match(r"(/|~/|\\\\|file://|[A-Za-z]:[\\/])\S", value):
        return _last_part(value)
    return ROOTED.sub(lambda match: _last_part(match.group()), value)


def cleaned(value):
    """Returns a config without rooted paths in any of its texts."""
    if isinstance(value, dict):
        return {
            k: shell_command(v) if k == "command" and v else cleaned(v) for k, v in value.items()
        }
    if isinstance(value, list):
        return [cleaned(v) for v in value]
    return without_folders(value) if isinstance(value, str) else value


def _last_part(path):
    return pathlib.PureWindowsPath(path).name or pathlib.PurePosixPath(path).name or "…"


def shell_command(command):
    """Returns a command line whose rooted paths are cut down, word by word."""
    try:
        words = shlex.split(str(command))
    except ValueError:
        return without_folders(command)
    halves = [word.partition("=") for word in words]
    short = [without_folders(a) + equals + without_folders(b) for a, equals, b in halves]
    return shlex.join(short)


def text(value):
    """Escapes anything for HTML, without folders; lone surrogates become `?`."""
    value = without_folders(value).encode("utf-8", "replace").decode()
    return html.escape("".join(c if c.isprintable() or c == "\n" else " " for c in value))


def section(title, *parts):
    """Returns a headed section, or nothing where all its parts are empty."""
    inside = "\n".join(part for part in parts if part)
    return f"<section>\n<h2>{text(title)}</h2>\n{inside}\n</section>" if inside else ""


def paragraph(content, css=""):
    """Returns a paragraph of plain text, or nothing for nothing."""
    opening = f'<p class="{css}">' if css else "<p>"
    return f"{opening}{text(content)}</p>" if content else ""


def bullets(items):
    """Returns a list of plain texts, or nothing for none."""
    return "<ul>" + "".join(f"<li>{text(i)}</li>" for i in items) + "</ul>" if items else ""


def warning(*items):
    """Returns a box that cannot be overlooked, or nothing for nothing."""
    inside = paragraph(items[0]) if len(items) == 1 else bullets(items)
    return f'<div class="warn" role="note">{inside}</div>' if items else ""


class Markup(str):
    """HTML that is right as it stands."""


def table(header, rows, caption="", numbers=()):
    """Returns a table; cells are escaped unless they are `Markup`.

    Args:
        header: column names, or `None`: the first cell of each row is its heading.
        rows: sequences of cells.
        caption: str.
        numbers: indices of the columns set flush right.
    """
    if not rows:
        return ""

    def cell(tag, column, value, scope=""):
        css = ' class="number"' if column in numbers else ""
        content = value if isinstance(value, Markup) else text(value)
        return f"<{tag}{css}{scope}>{content}</{tag}>"

    lines = ['<div class="wide"><table>']
    if caption:
        lines.append(f"<caption>{text(caption)}</caption>")
    if header:
        heads = (cell("th", i, h, ' scope="col"') for i, h in enumerate(header))
        lines.append(f"<thead><tr>{''.join(heads)}</tr></thead>")
    lines.append("<tbody>")
    for first, *rest in rows:
        cells = [cell("th", 0, first, ' scope="row"')]
        cells += [cell("td", i, value) for i, value in enumerate(rest, 1)]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return "\n".join([*lines, "</tbody></table></div>"])


def picture(path, alt, caption):
    """Returns a PNG inside the page, or nothing where the file is none."""
    content = path.read_bytes() if path.is_file() else b""
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        return ""
    data = base64.b64encode(content).decode("ascii")
    wide = int.from_bytes(content[16:20]) > WIDE_PX
    opening = '<figure class="wide">' if wide else "<figure>"
    return (
        f'{opening}<img src="data:image/png;base64,{data}" alt="{text(alt)}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def interval_bar(figure, mark=None):
    """Returns a small drawing of a share and its interval on a line from 0 to 1.

    Args:
        figure: with `"value"` in [0, 1].
        mark: where a reference lies, in [0, 1]; drawn as a tick.
    """
    value = figure.get("value")
    if value is None or not 0 <= value <= 1:
        return Markup("")
    low, high = widest_interval(figure) or (value, value)
    tick = "" if mark is None else f'<path d="M{5 + 150 * mark:.1f} 2v14" stroke="var(--edge)"/>'
    return Markup(
        '<svg width="160" height="18" viewBox="0 0 160 18" aria-hidden="true">'
        f'<path d="M5 9h150" stroke="var(--line)" stroke-width="2"/>{tick}'
        f'<path d="M{5 + 150 * low:.1f} 9H{5 + 150 * high:.1f}" stroke="var(--accent)" '
        'stroke-width="4"/>'
        f'<circle cx="{5 + 150 * value:.1f}" cy="9" r="5" fill="var(--accent)"/></svg>'
    )
