"""Bar charts as SVG, written by hand: a report needs nothing installed to be drawn, and its charts can be compared as text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import msgspec

from benchmarks.results import Figure

WIDTH = 760
LABELS = 190
VALUES = 110
BAR = 18
GAP = 6
BETWEEN = 22
TOP = 46
OURS, THEIRS = "#2e7d4f", "#8a94a6"
FONT = "font-family='system-ui, sans-serif'"


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    label: str
    figure: Figure
    ours: bool


class Group(msgspec.Struct, frozen=True, kw_only=True):
    title: str
    bars: tuple[Bar, ...]


def chart(title: str, unit: str, groups: Sequence[Group]) -> str:
    """Horizontal bars, grouped; the line through a bar's end is the range over rounds. All groups share one scale, from zero."""
    groups = [group for group in groups if group.bars]
    longest = max((max(bar.figure.most, bar.figure.value) for group in groups for bar in group.bars), default=0.0) or 1.0
    scale = (WIDTH - LABELS - VALUES) / longest
    parts, y = [], TOP
    for group in groups:
        parts.append(f"<text x='12' y='{y + 12}' {FONT} font-size='13' font-weight='600' fill='#1f2937'>{escape(group.title)}</text>")
        y += 20
        for bar in group.bars:
            parts += _bar(bar, y, scale)
            y += BAR + GAP
        y += BETWEEN - GAP
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {y}' width='{WIDTH}' height='{y}' role='img'>\n"
        f"<title>{escape(title)}</title>\n<rect width='{WIDTH}' height='{y}' fill='#ffffff'/>\n"
        f"<text x='12' y='26' {FONT} font-size='16' font-weight='700' fill='#111827'>{escape(title)}</text>\n"
        f"<text x='{WIDTH - 12}' y='26' {FONT} font-size='12' text-anchor='end' fill='#6b7280'>{escape(unit)}; less is better</text>\n"
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def _bar(bar: Bar, y: int, scale: float) -> list[str]:
    figure, middle = bar.figure, y + BAR / 2
    length = max(0.0, figure.value) * scale
    low, high = LABELS + max(0.0, figure.least) * scale, LABELS + max(0.0, figure.most) * scale
    text = f"{FONT} font-size='12' dominant-baseline='central'"
    return [
        f"<text x='{LABELS - 8}' y='{middle}' {text} text-anchor='end' fill='#374151'>{escape(bar.label)}</text>",
        f"<rect x='{LABELS}' y='{y}' width='{length:.1f}' height='{BAR}' rx='2' fill='{OURS if bar.ours else THEIRS}'/>",
        f"<line x1='{low:.1f}' x2='{high:.1f}' y1='{middle}' y2='{middle}' stroke='#111827' stroke-width='1.5' stroke-opacity='0.6'/>",
        f"<text x='{max(LABELS + length, high) + 8:.1f}' y='{middle}' {text} fill='#111827'>{number(figure.value)}</text>",
    ]


def number(value: float) -> str:
    """Three significant digits, no exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
