"""What the hub tells of itself: moments of the kind `hub`, about what it could not tell, could not keep or had to begin anew."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from gateway.diagnosis.contract import Change, Phase, PointInfo, RuleKeys
from gateway.moments import Moment
from gateway.service.desk import Desk

HUB = "hub"  # as a device
MOST_NAMED = 10  # rules that are named in one moment

WHY_DROPPED = {
    "full": "there was no room for them",
    "expired": "they had waited too long",
    "refused": "the broker will not take them",
    "damaged": "they had changed on the disk",
    "disk full": "the disk was full",
}
CHECK_DISK = "Look at the card or disk of this hub: it may be failing."
REMEDIES = {
    "full": "Find out why the hub was offline for so long, or raise `max_mib` in [outbox].",
    "expired": "Find out why the hub was offline for so long, or raise the times in [outbox.keep].",
    "refused": "Look at the broker's log; the hub keeps the last of them in the table `refused` of its store.",
    "damaged": CHECK_DISK,
    "disk full": "Make space on the hub's disk.",
}


class Notice(NamedTuple):
    """Something that the hub has to say of itself. `counts` are moments that were not told, by rule or by reason.

    about: "outbox", "store", "limits" or "consent". lasted: for how many seconds it has been so.
    """

    about: str
    phase: Phase
    says: str
    because: str
    advice: tuple[str, ...] = ()
    lasted: float = 0.0
    how: str = ""
    counts: Mapping[str, int] = {}


def told(notice: Notice, desk: Desk, at: float) -> Moment:
    """The moment about a notice; `at` is on the hub's timeline. Belongs in the transaction that puts it, as `Desk.moment` does."""
    change = Change(
        episode=f"{HUB}/{notice.about}",
        rule_id=notice.about,
        rule=RuleKeys(kind="hub", on=(f"{HUB}/{notice.about}",), advice=notice.advice),
        point=PointInfo(f"{HUB}/{notice.about}", HUB, notice.about, "", f"hub {notice.about}", "the hub"),
        kind="hub",
        phase=notice.phase,
        severity="warning",
        at=at,
        since=at - notice.lasted,
        value=sum(notice.counts.values()) if notice.counts else None,
        says=notice.says,
        because=notice.because,
        how=notice.how,
    )
    moment = desk.moment(change)
    return replace(moment, data=replace(moment.data, counts=dict(notice.counts)))


def dropped(untold: Mapping[str, int]) -> Notice:
    """Moments that never left, by reason: what `Outbox.stats` has as untold."""
    total = sum(untold.values())
    reasons = ", ".join(f"{count} because {WHY_DROPPED[reason]}" for reason, count in untold.items())
    return Notice(
        about="outbox",
        phase=Phase.CLOSED,
        says=f"{_moments(total)} never left this hub.",
        because=reasons,
        advice=tuple(dict.fromkeys(REMEDIES[reason] for reason in untold)),
        how="counted",
        counts=untold,
    )


def begun_anew(why: str) -> Notice:
    """The store was damaged; `why` says how, where the old file is and what could be saved."""
    return Notice(
        about="store",
        phase=Phase.CLOSED,
        says="The hub's store was damaged and begun anew; numbers begin again.",
        because=why,
        advice=(CHECK_DISK,),
        how="begun anew",
    )


def consent(changes: Sequence[tuple[str, str]]) -> Notice:
    """Consent to tell of a class of points was withdrawn or granted, in this order; who did so is nobody's business."""
    steps = [f"{changed} for what is {one}" for changed, one in changes]
    return Notice(
        about="consent",
        phase=Phase.CLOSED,
        says=f"Consent was {' and '.join(steps)}.",
        because="somebody said so on the hub itself",
        how=changes[-1][0],
    )


def folding(ceiling: str) -> Notice:
    """More happens than may be told."""
    return Notice(
        about="limits",
        phase=Phase.OPENED,
        says="More happens on this hub than it may tell one by one; the rest is counted.",
        because=f"the ceiling of {ceiling} is reached",
        advice=("Look at what was told before this: the cause is likely there.",),
    )


def folding_ended(folded: Mapping[str, int], lasted: float) -> Notice:
    """How much of it was not told, by rule."""
    ranked = sorted(folded.items(), key=lambda item: -item[1])
    named, others = dict(ranked[:MOST_NAMED]), ranked[MOST_NAMED:]
    if others:
        named[f"{len(others)} other rules"] = sum(count for _, count in others)
    return Notice(
        about="limits",
        phase=Phase.CLOSED,
        says=f"{_moments(sum(folded.values()))} were counted instead of told.",
        because=", ".join(f"{rule}: {count}" for rule, count in named.items()),
        lasted=lasted,
        how="counted",
        counts=named,
    )


def _moments(number: int) -> str:
    return f"{number} moment{'' if number == 1 else 's'}"
