"""What a person at a terminal is shown of the running hub, as lines of text; see gateway/cli/status.py and history.py."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from gateway import moments
from gateway.clock import Clock
from gateway.config.model import Config
from gateway.control import View
from gateway.diagnosis.engine import Engine
from gateway.diagnosis.words import duration
from gateway.outbox import Outbox, Stats
from gateway.polling import Poller
from gateway.service.service import Service
from gateway.store import StoreError
from gateway.wear import Wear, Worn


class Hub(Protocol):
    """The hub that is shown. What a reload swaps is asked for each time."""

    @property
    def config(self) -> Config:
        """The config in force."""

    @property
    def engine(self) -> Engine:
        """The diagnosis."""

    @property
    def service(self) -> Service:
        """The service, with its cases, visits and remedies."""

    @property
    def pollers(self) -> Mapping[str, Poller]:
        """The buses, by name."""

    @property
    def outbox(self) -> Outbox:
        """What waits for the uplink."""

    @property
    def wear(self) -> Wear:
        """What the hub writes to its disk."""

    def facts(self) -> moments.Hub:
        """What every moment says of the hub."""

    def is_online(self) -> bool | None:
        """Whether the broker is reached; None where there is no uplink."""


class Views:
    """The views of one hub."""

    def __init__(self, hub: Hub, clock: Clock) -> None:
        self._hub = hub
        self._clock = clock

    def by_name(self) -> Mapping[str, View]:
        """For `Control`."""
        return {"history": self._history, "status": self._status}

    def _status(self, _question: Mapping[str, Any]) -> Iterator[str]:
        hub, now = self._hub, self._clock.now()
        known = {episode: case.acknowledged for case in hub.service.book for episode in case.episodes if case.acknowledged}
        yield from account(hub.config.hub.id, hub.engine, hub.pollers, hub.facts().clock, now, known)
        try:
            yield from figures(hub.is_online(), hub.outbox.stats(), hub.wear.day())
        except StoreError as error:
            yield f"the store cannot be read: {error}"
        yield from hub.service.visits.account(now)
        yield from hub.service.remedies.account(now)

    def _history(self, _question: Mapping[str, Any]) -> Iterator[str]:
        return history(self._hub.engine, self._clock)


def account(
    hub_id: str, engine: Engine, pollers: Mapping[str, Poller], clock_state: str, now: float, acknowledged: Mapping[str, str]
) -> Iterator[str]:
    """What the hub knows: how it gets on with its buses and devices, what is open, foreseen, learnt and muted.

    acknowledged: who knows of a case, by the names of its episodes.
    """
    yield f"{hub_id}: {engine.readings:,} readings, clock {clock_state}"
    for name, poller in pollers.items():
        late = f", half of all polls begin within {poller.lateness.quantile(0.5) * 1000:.1f} ms" if poller.bus.polled else ""
        yield f"bus {name}{late}"
        for device, state in poller.states().items():
            yield f"  {device}: {state or 'not heard yet'}"
    for episode in engine.open_episodes():
        held = f" (nothing known: {episode.held})" if episode.held else ""
        since = duration(now - episode.since)
        known = f"; known to {acknowledged[episode.episode]}" if episode.episode in acknowledged else ""
        yield f"open  {episode.severity:<8} {episode.rule_id} on {episode.point.label}, for {since}{held}{known}"
    for what, until in engine.muted():
        yield f"muted {what}, for {duration(until - now)} more"
    for standing in engine.forecasts(now):
        seen = f"crosses in about {duration(standing.forecast.in_s)}" if standing.forecast else "no crossing in sight"
        score = standing.score
        kept = f"{score.inside} of {score.came_true} forecasts held" if score.came_true else "no forecast has come due"
        yield f"trend {standing.rule_id} on {standing.point.label}: {seen}; {kept}, {score.unforeseen} unforeseen"
    for learning in engine.learning():
        yield f"learns {learning.rule_id} on {learning.point.label}: {learning.share:.0%}"


def figures(online: bool | None, stats: Stats, worn: Worn | None) -> Iterator[str]:
    """What waits for the uplink, what was dropped on the way, and what the hub writes to its disk."""
    link = "none" if online is None else "online" if online else "offline"
    yield f"uplink {link}, {stats.rows} moments wait ({stats.bytes / 1024:,.0f} KiB)"
    if stats.dropped:
        yield "dropped " + ", ".join(f"{count:,}: {reason}" for reason, count in stats.dropped.items())
    if worn:
        yield f"disk {worn.bytes_per_day / 1e6:.1f} MB and {worn.syncs_per_day:,} syncs a day, at the present pace"


def history(engine: Engine, clock: Clock) -> Iterator[str]:
    """The remembered past of every watched point, as a table that `canary replay` reads; see gateway/replay/history.py."""
    yield "timestamp,device,point,value"
    for batch in engine.past():
        stamp = clock.utc(batch.at).isoformat(timespec="milliseconds")
        for reading in batch:
            yield f"{stamp},{batch.device},{reading.point},{reading.value}"
