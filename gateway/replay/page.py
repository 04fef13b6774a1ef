"""One self-contained page about a rerun: every point that has episodes, with the episodes on its course, and the moments in words.

Plain HTML and SVG: no script, no font, nothing from elsewhere, so it can be mailed to a customer and still opens in ten years.
"""

from collections.abc import Iterator
from datetime import datetime, tzinfo
from html import escape
from typing import NamedTuple

from gateway.config.model import Config
from gateway.diagnosis.contract import Phase, PointInfo
from gateway.replay.rerun import Account, Course, Told

WIDTH, HEIGHT, LEFT = 1000, 140, 60  # of a plot, in pixels; the scale is to the left
ENDS = {Phase.CLOSED, Phase.WITHDRAWN}

STYLE = """
:root { color-scheme: light dark; --ink: #1d2733; --quiet: #667; --line: #2d6cdf;
  --info: #3a9d5d; --warning: #e0992e; --critical: #d1403f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e8ee; --quiet: #9aa5b1; --line: #7aa8f5; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 1080px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .3rem; }
.facts { display: flex; flex-wrap: wrap; gap: 2rem; margin: 1rem 0; } .facts b { display: block; font-size: 1.5rem; }
.quiet, td.quiet { color: var(--quiet); } svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: var(--quiet); }
.course { fill: none; stroke: var(--line); stroke-width: 1.2; } .band { fill: var(--line); opacity: .35; }
.episode { opacity: .25; } .info { fill: var(--info); } .warning { fill: var(--warning); } .critical { fill: var(--critical); }
table { border-collapse: collapse; width: 100%; }
td { padding: .3rem .6rem .3rem 0; vertical-align: top; border-top: 1px solid #8884; }
.mark { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .4em; }
.mark.info { background: var(--info); } .mark.warning { background: var(--warning); }
.mark.critical { background: var(--critical); }
"""


class Span(NamedTuple):
    """An episode as it lies on a point's course; `end` is None while it is open."""

    start: float
    end: float | None
    severity: str
    says: str


def page(config: Config, account: Account, zone: tzinfo) -> str:
    """The page as text."""
    site = escape(config.hub.site or config.hub.id)
    parts = [
        "<!doctype html>",
        f'<html lang="en"><meta charset="utf-8"><title>{site}: what the hub would have told</title><style>{STYLE}</style>',
        f"<h1>{site}: what the hub would have told</h1>",
        f'<p class="quiet">{_day(account.first, zone)} to {_day(account.last, zone)}, {account.devices} devices</p>',
        _facts(account),
        *_plots(config, account, zone),
        "<h2>All moments</h2>",
        _moments(account, zone),
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def _facts(account: Account) -> str:
    told = len(account.told)
    figures = [
        (f"{account.readings:,}", "readings"),
        (f"{told:,}", "moments"),
        (f"{account.readings // told:,}" if told else "-", "readings for each moment"),
        (f"{told / account.device_months:.2f}", "moments for each device and month"),
    ]
    return '<div class="facts">' + "".join(f"<div><b>{number}</b>{name}</div>" for number, name in figures) + "</div>"


def spans(account: Account) -> dict[str, list[Span]]:
    """The episodes by the point that they are about."""
    found: dict[str, list[Span]] = {}
    open_ones: dict[str, tuple[str, int]] = {}
    for change, _ in account.told:
        on_point = found.setdefault(change.point.id, [])
        if change.phase is Phase.OPENED:
            open_ones[change.episode] = change.point.id, len(on_point)
            on_point.append(Span(change.since, None, change.severity, change.says))
        elif change.episode in open_ones and change.phase in ENDS:
            point, place = open_ones.pop(change.episode)
            found[point][place] = found[point][place]._replace(end=change.at)
    return found


def _plots(config: Config, account: Account, zone: tzinfo) -> Iterator[str]:
    found = spans(account)
    infos = {point.id: point for point in config.points()}
    for point_id, on_point in sorted(found.items(), key=lambda pair: min(span.start for span in pair[1]) if pair[1] else 0.0):
        course = account.courses.get(point_id)
        if course and on_point:
            yield f"<h2>{escape(infos[point_id].label)}</h2>"
            yield _plot(infos[point_id], course, on_point, account, zone)


def _plot(point: PointInfo, course: Course, on_point: list[Span], account: Account, zone: tzinfo) -> str:
    drawn = list(course.spans())
    low, high = min(span[1] for span in drawn), max(span[2] for span in drawn)
    rise = (high - low) or 1.0
    wide = (account.last - account.first) or 1.0

    def x(at: float) -> float:
        return LEFT + (WIDTH - LEFT) * (min(max(at, account.first), account.last) - account.first) / wide

    def y(value: float) -> float:
        return 8 + (HEIGHT - 28) * (high - value) / rise

    top = " ".join(f"{x(at):.1f},{y(most):.1f}" for at, _, most in drawn)
    bottom = " ".join(f"{x(at):.1f},{y(least):.1f}" for at, least, _ in reversed(drawn))
    middle = " ".join(f"{x(at):.1f},{y((least + most) / 2):.1f}" for at, least, most in drawn)
    shades = "".join(
        f'<rect class="episode {span.severity}" x="{x(span.start):.1f}" y="0" '
        f'width="{max(2.0, x(account.last if span.end is None else span.end) - x(span.start)):.1f}" height="{HEIGHT - 18}">'
        f"<title>{escape(span.says)}</title></rect>"
        for span in on_point
    )
    unit = escape(f" {point.unit}" if point.unit else "")
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{shades}<polygon class="band" points="{top} {bottom}"/>'
        f'<polyline class="course" points="{middle}"/>'
        f'<text x="0" y="14">{high:.4g}{unit}</text><text x="0" y="{HEIGHT - 22}">{low:.4g}{unit}</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 4}">{_day(account.first, zone)}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT - 4}" text-anchor="end">{_day(account.last, zone)}</text></svg>'
    )


def _moments(account: Account, zone: tzinfo) -> str:
    return "<table>" + "".join(_row(told, zone) for told in account.told) + "</table>"


def _row(told: Told, zone: tzinfo) -> str:
    data = told.moment.data
    owner = escape(f"{data.owner.name or data.owner.id}: {data.owner.because}")
    return (
        f'<tr><td class="quiet">{_day(told.change.at, zone)}</td>'
        f'<td><span class="mark {data.severity}"></span>{data.phase.value}</td>'
        f'<td>{escape(data.says)}<div class="quiet">{escape(data.because)}</div></td>'
        f'<td class="quiet">{escape(data.case)}<div>{owner}</div></td></tr>'
    )


def _day(at: float, zone: tzinfo) -> str:
    return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M")
