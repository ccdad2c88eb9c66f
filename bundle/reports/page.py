# SPDX-License-Identifier: Apache-2.0
"""A page of text, tables and pictures as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..files import written_beside

_STYLE = """
:root { --ink: #1c2733; --faint: #5d6b7a; --line: #d9dfe5; --shade: #f5f7f9; --accent: #1f5f99; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; color: var(--ink);
       max-width: 1120px; margin: 0 auto; padding: 28px 24px 60px; }
h1 { font-size: 25px; margin: 0 0 6px; } h2 { font-size: 19px; margin: 38px 0 8px; padding-top: 12px;
     border-top: 1px solid var(--line); }
p { margin: 8px 0; max-width: 92ch; } .faint { color: var(--faint); font-size: 13px; }
nav { margin: 14px 0; font-size: 14px; } nav a { color: var(--accent); text-decoration: none; margin-right: 16px; }
.note { background: #fff4d6; border-left: 5px solid #d99a00; padding: 9px 14px; margin: 12px 0; font-weight: 600; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 10px 0; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th { text-align: left; background: var(--shade); border-bottom: 2px solid var(--line); vertical-align: bottom; }
th, td { padding: 5px 10px; } td { border-bottom: 1px solid var(--line); white-space: nowrap; vertical-align: top; }
td:first-child { font-weight: 600; } small { color: var(--faint); font-size: 12px; }
caption { caption-side: top; text-align: left; color: var(--faint); font-size: 13px; padding-bottom: 4px; }
figure { margin: 12px 0; } img { max-width: 100%; height: auto; border: 1px solid var(--line); border-radius: 4px; }
figcaption { color: var(--faint); font-size: 13px; max-width: 92ch; }
pre { background: var(--shade); border: 1px solid var(--line); padding: 10px 12px; overflow-x: auto; font-size: 12.5px;
      white-space: pre-wrap; overflow-wrap: anywhere; }
details { margin: 10px 0; } summary { cursor: pointer; color: var(--accent); }
@media print { nav, details { display: none; } h2 { break-after: avoid; } figure { break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Picture:
    """A PNG on the page, with its caption."""

    png: bytes
    caption: str = ""


@dataclass
class Section:
    """A part of the page: heading, text, tables (the first row is the head), pictures, commands.

    Args:
        heading: of the part.
        text: paragraphs.
        tables: what stands above each, and its rows.
        pictures: in their order.
        commands: shown as they are typed; more than ten are folded away.
    """

    heading: str
    text: list[str] = field(default_factory=list)
    tables: list[tuple[str, Sequence[Sequence[str]]]] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.text or self.tables or self.pictures or self.commands)


def write_page(path: Path, title: str, notes: Sequence[str], lead: str, sections: Sequence[Section]) -> None:
    """Writes the page; pictures are in it, nothing is loaded from elsewhere.

    Args:
        path: where to.
        title: of the page.
        notes: what must be read first, set off.
        lead: a paragraph under the title.
        sections: the rest; empty ones are left out.
    """
    shown = [section for section in sections if not section.empty]
    links = "".join(f'<a href="#s{i}">{_text(section.heading)}</a>' for i, section in enumerate(shown))
    body = [f"<h1>{_text(title)}</h1>"]
    body += [f'<div class="note">{_text(note)}</div>' for note in notes]
    body += [f"<p>{_text(lead)}</p>", f"<nav>{links}</nav>"]
    for i, section in enumerate(shown):
        body.append(f'<h2 id="s{i}">{_text(section.heading)}</h2>')
        body += [f"<p>{_text(paragraph)}</p>" for paragraph in section.text]
        body += [_table(caption, rows) for caption, rows in section.tables]
        body += [_picture(picture, section.heading) for picture in section.pictures]
        body += _commands(section.commands)
    page = (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{_text(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>\n<body>\n'
        + "\n".join(body)
        + "\n</body></html>\n"
    )
    with written_beside(path) as beside:
        beside.write_text(page, encoding="utf-8")


def _text(words: str) -> str:
    return html.escape(words)


def _table(caption: str, rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{_text(cell)}</th>" for cell in rows[0])
    body = "\n".join("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:])
    return (
        f'<div class="wide"><table><caption>{_text(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _cell(words: str) -> str:
    """A figure's interval stands below it."""
    figure, space, interval = words.partition(" (")
    if space and figure.lstrip("+-")[:1].isdigit():
        return f"{_text(figure)}<br><small>({_text(interval)}</small>"
    return _text(words)


def _picture(picture: Picture, heading: str) -> str:
    data = base64.b64encode(picture.png).decode("ascii")
    image = f'<img alt="{_text(picture.caption or heading)}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{_text(picture.caption)}</figcaption></figure>"


def _commands(commands: Sequence[str]) -> list[str]:
    if not commands:
        return []
    block = "<pre>" + _text("\n".join(commands)) + "</pre>"
    few = len(commands) <= 10
    return [block if few else f"<details><summary>{len(commands)} commands</summary>{block}</details>"]
