"""What there is to tell of an episode at one of its steps, before anybody decides whether it is told."""

from drivers.contract import Outcome
from gateway.diagnosis.contract import Change, Phase
from gateway.diagnosis.episode import Episode
from gateway.diagnosis.table import Table
from gateway.diagnosis.watch import Watch
from gateway.diagnosis.words import duration, fill


def compose(watch: Watch, episode: Episode, phase: Phase, at: float, value: Outcome | None, table: Table) -> Change:
    """A step of an episode, in the words of its rule and of whoever wrote it; `value` is the one at hand."""
    at = max(at, episode.told_at)  # a batch may be a little older than the deadline that came before it
    episode.told_at = at
    keys, point = watch.rule.keys, watch.about
    lasting = at - episode.since
    shown = watch.value(value)
    words = {
        "device": point.device_label,
        "point": point.label,
        "value": watch.written(shown),
        "limit": watch.limit(),
        "lasting": duration(lasting),
        **watch.words(at),
    }
    is_last = phase in (Phase.CLOSED, Phase.WITHDRAWN)
    says = keys.says if keys.says and not is_last else watch.says(phase, lasting)
    because = watch.because(phase, shown, lasting)
    if episode.gap:
        because += f"; nothing was known for {duration(episode.gap)} of that"
    return Change(
        episode=watch.episode_id(),
        rule_id=watch.rule.id,
        rule=keys,
        point=point,
        kind=watch.kind,
        phase=phase,
        severity="info" if watch.kind == "milestone" else episode.severity(keys.severity),
        at=at,
        since=episode.since,
        value=shown,
        says=fill(says, words),
        because=because,
        evidence=watch.evidence() or table.evidence(point, episode.since, at),
        forecast=None if is_last else watch.forecast(at),
        confidence=None if is_last else watch.confidence(),
        how=watch.how() if phase is Phase.CLOSED else "",
    )
