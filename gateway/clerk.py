"""The clerk: puts what is to be told into the outbox, within the ceilings, and what the hub has to say of itself with it.

Promises
- A step of an episode, its case number, the counts of the ceilings and its moment are stored together or not at all.
- What was dropped, folded or lost to a damaged disk is told once, by a moment whose storing is also the note that it was told.
- Nothing is stored that may not leave (`service/privacy.py`). Once consent is withdrawn, no case of that class begins to be told;
  of those that were told already only the end is, without a name. What waits is made as bare when it is sent.

Synchronous, in the thread of the store.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from drivers.contract import PrivacyClass
from gateway.clock import Clock
from gateway.config import model
from gateway.lifetime import Lifetime
from gateway.moments import Moment
from gateway.outbox import Outbox
from gateway.service import own_health
from gateway.service.ceilings import LAST, Ceilings
from gateway.service.consent import Consent, Left
from gateway.service.contract import Statement
from gateway.service.desk import Desk
from gateway.service.privacy import Privacy, strictest
from gateway.store import SET_ASIDE, Store


class Clerk:
    """The way from the desk to the outbox of one store."""

    def __init__(self, config: model.Config, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._lifetime = Lifetime(store, clock)
        self._ceilings = Ceilings(store, config.limits)
        self._config = config
        self._consent = Consent(store)
        self.privacy = Privacy(config, self._consent.withdrawn())
        self.outbox = Outbox(store, **_bounds(config.outbox), now=self._lifetime.now)

    def adopt(self, config: model.Config) -> None:
        """Go by another config from now on."""
        self._config = config
        self.privacy = Privacy(config, self.privacy.withdrawn)
        self._ceilings.limits = config.limits
        self.outbox.bound(**_bounds(config.outbox))

    def is_due(self) -> bool:
        """Whether something waits to be told though nothing has happened: what was folded in an hour that is over."""
        return self._lifetime.now() >= self._ceilings.due

    def file(self, desk: Desk, statements: Sequence[Statement], missed: int = 0) -> list[Moment]:
        """Store the moments about these, and return those that will be told. Raises StoreError; then nothing has changed.

        missed: statements that were lost before they got here, for want of a disk.
        """
        with self._store.transaction():
            now = self._lifetime.now()
            written = [self._written(desk, statement) for statement in statements]
            once = {moment.data.case for moment, statement in zip(written, statements, strict=True) if statement.once}
            made, withheld = self._that_may_leave(written, once)
            admitted = self._ceilings.admit(made, now, once)
            notices = [self._about_itself(notice, desk) for notice in admitted.notices]
            made = [*admitted.moments, *notices]
            self._consent.count(now, made, withheld)
            if made or missed:
                self.outbox.put(*made, missed=missed)
                self._lifetime.save()
        return made

    def account(self, desk: Desk) -> list[Moment]:
        """Store moments about what the hub could not keep or send and has not told yet; returns them."""
        with self._store.transaction():
            made = []
            why = self._store.recall(SET_ASIDE)
            if why and (moment := self._own(desk, own_health.begun_anew(why))):
                self._store.remember(SET_ASIDE, "")
                self.outbox.put(moment)
                made.append(moment)
            agreed = self._consent.untold()
            if agreed and (moment := self._own(desk, own_health.consent(agreed))):
                self._consent.told()
                self.outbox.put(moment)
                made.append(moment)
            untold = self.outbox.stats().untold
            if untold and (moment := self._own(desk, own_health.dropped(untold))):
                self.outbox.put(moment, tells=untold)
                made.append(moment)
        return made

    def consent(self, desk: Desk, withdrawn: Collection[PrivacyClass]) -> list[Moment]:
        """Consent is withdrawn from these classes from now on, and from no others; returns the moment that says so.

        Raises StoreError; then nothing has changed.
        """
        with self._store.transaction():
            self._consent.change(withdrawn)
            made = self.account(desk)
        self.privacy = Privacy(self._config, withdrawn)
        return made

    def leaving(self, wire: bytes) -> bytes:
        """What may leave, now, of a moment that has waited."""
        return self.privacy.leaving_wire(wire)

    def left(self) -> list[Left]:
        """How much has been told of what is private."""
        return self._consent.left(self._lifetime.now())

    def _written(self, desk: Desk, statement: Statement) -> Moment:
        """The moment that says it, as private as the most private of what its case has been about."""
        moment = desk.write(statement)
        others = [self.privacy.class_of(point, rule) for point, rule in statement.about]
        whose = strictest([moment.data.privacy, *others])
        return replace(moment, data=replace(moment.data, privacy=whose)) if whose != moment.data.privacy else moment

    def _that_may_leave(self, made: Sequence[Moment], once: Collection[str]) -> tuple[list[Moment], list[PrivacyClass]]:
        """What may leave of some moments, and the classes of those of which nothing may; `once`: see `Ceilings.admit`."""
        leaving: list[Moment] = []
        withheld: list[PrivacyClass] = []
        for moment in made:
            if self.privacy.is_withdrawn(moment) and (moment.data.phase not in LAST or moment.data.case in once):
                self._ceilings.leave_untold(moment, once)
                withheld.append(self.privacy.of(moment))
            else:
                leaving.append(self.privacy.leaving(moment))
        return leaving, withheld

    def _own(self, desk: Desk, notice: own_health.Notice) -> Moment | None:
        moment = self._about_itself(notice, desk)
        return moment if self._ceilings.admit_own(moment, self._lifetime.now()) else None

    def _about_itself(self, notice: own_health.Notice, desk: Desk) -> Moment:
        return self.privacy.leaving(own_health.told(notice, desk, self._clock.now()))


def _bounds(keys: model.Outbox) -> Mapping[str, Any]:
    """As `Outbox` takes them."""
    keep = {"critical": keys.keep.critical, "warning": keys.keep.warning, "info": keys.keep.info, "digest": keys.keep.digest}
    return {"max_bytes": int(keys.max_mib * 2**20), "max_rows": keys.max_moments, "keep": keep}
