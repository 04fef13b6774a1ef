"""Remedies: when the hub tries something itself, whether it helped, and what is done when it did not.

Promises
- A try is in the case, and so in what is stored, before its order leaves: `orders` are what may be carried out once everything that
  the service remembers is on the disk. Nothing is done twice for one try.
- One try at a time for each case, and for each device that it touches; within all limits (`allowance.py`).
- What has helped is told once, as a recovery. What has not makes the case more severe after the last try, and it says so.
- At the first sign of harm the hub stops, undoes what it can, and tries nothing more in this case.
- What the hub was in the middle of when it was killed is known as such, is told, and is not taken up again: what may have been left
  off is switched on first, it gets the time that its effect may take as if it had been done, and another try is another try, with
  all its conditions, once what is read since shows that it is needed.
- Where a config says `dry_run`, what would have been done is told (`rehearsals.py`), and nothing is done.
"""

from collections.abc import Generator, Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from drivers.contract import Outcome
from gateway.config.actions import RESTORED, Action, Cycle, intent
from gateway.config.model import Config
from gateway.config.remedies import Remedy
from gateway.diagnosis.contract import Phase
from gateway.diagnosis.episode import SEVERER
from gateway.diagnosis.words import duration
from gateway.service.allowance import Allowance, times
from gateway.service.attempt import Attempt, Order, is_there, known, reads, sentence, touches, written
from gateway.service.casebook import Case, Casebook
from gateway.service.casework import BY_ITSELF, ENDS
from gateway.service.contract import NEVER, Deed, Facts, Result, Statement, Try
from gateway.service.mending import Mending, Mendings
from gateway.service.rehearsals import Rehearsals
from gateway.service.remedy_words import RemedyWords

LOOK = 5.0  # s between two looks at conditions
HESITATES = 60.0  # s after which an order that could not be written down is not carried out any more
SETTLES = 60.0  # s at least that an effect has to show after a restart, which has to read everything anew first


class Remedies:
    """The part that tries remedies."""

    def __init__(self, config: Config, facts: Facts, book: Casebook) -> None:
        self.next_due = NEVER
        self.allowance = Allowance(config, facts)
        self._facts = facts
        self._book = book
        self._remedies = config.remedies
        self._words = RemedyWords(config.remedies, facts)
        self._on_bus = {name: [spec.name for spec in bus.spec.devices] for name, bus in config.buses.items()}
        self._attempts: dict[str, Attempt] = {}  # by the key of their case
        self._mendings = Mendings()
        self._rehearsals = Rehearsals(book)
        self._count = 0  # orders so far
        self._handed_out: set[int] = set()
        self.deeds: list[Deed] = []  # what was done, for the diagnosis to know of

    # ------------------------------------------------------------ orders: what is to be done in the world

    def orders(self, now: float) -> list[Order]:
        """What is to be done, once all that the service remembers at this moment is stored."""
        begun = [Order(one.number, one.action) for one in self._attempts.values() if one.stage == "ordered"]
        return [order for order in (*self._mendings.orders(now), *begun) if order.number not in self._handed_out]

    def hand_out(self, order: Order) -> bool:
        """It is carried out now; false where it is out of date."""
        attempt = self._of(order.number)
        case = self._book.get(attempt.case) if attempt else None
        at_work = attempt and touches(attempt.action, attempt.device, self._on_bus) & self._book.at_work
        stands = self._mendings.get(order.number) or (case and case.stage == "open" and not case.visit and not at_work)
        if not stands or order.number in self._handed_out:
            return False
        self._handed_out.add(order.number)
        return True

    def _of(self, number: int) -> Attempt | None:
        """The attempt with this order."""
        return next((one for one in self._attempts.values() if one.number == number), None)

    def stopped(self) -> set[int]:
        """Orders that are to be broken off, if they are still being carried out."""
        return {one.number for one in self._attempts.values() if one.stage == "stopped"}

    def done(self, number: int, now: float, *, done: bool, says: str, before: Outcome | None = None) -> Iterator[Statement]:
        """An order was carried out, or could not be: what came of it, in words, and what the point that it wrote to read before."""
        self._handed_out.discard(number)
        self.next_due = now
        if mending := self._mendings.get(number):
            yield from self._mended(mending, now, done=done, says=says)
        elif attempt := self._of(number):
            attempt.was = attempt.was if known(before) is None else known(before)
            remedy, case = self._remedies.get(attempt.remedy), self._book.get(attempt.case)
            is_off = not done and isinstance(attempt.action, Cycle)  # what could not be reset has no device that waits for it
            if attempt.stage == "stopped" or remedy is None or case is None:
                self._leave(attempt, now, undo=attempt.stage == "stopped", restore=is_off)
            elif done:
                attempt.stage, attempt.until = "watched", now + remedy.within
                self.deeds.append(Deed("remedy", attempt.device, now))
                self._note(attempt, "begun", says)
                attempt.did = sentence(says)
                if not remedy.proof:  # then it is credited with whatever is over in that time
                    case.credit = attempt.credit
            else:
                self._note(attempt, "impossible", says)
                self._leave(attempt, now, restore=is_off)
                yield from self._in_vain(attempt, remedy, case, now)

    def broken_off(self, number: int, now: float) -> Iterator[Statement]:
        """An order was broken off in the middle; what it had switched off has been switched on, as far as that was possible."""
        self._handed_out.discard(number)
        self.next_due = now
        attempt = self._of(number)
        if attempt and attempt.stage == "stopped":
            self._leave(attempt, now, undo=True, restore=True)
        elif attempt:
            yield from self._interrupted(attempt, now)

    # ------------------------------------------------------------ what happens

    def take(self, statement: Statement) -> Iterator[Statement]:
        """See `Part.take`."""
        change = statement.change
        if self._remedies:
            self.next_due = min(self.next_due, change.at)
        attempt = self._attempts.get(change.episode)
        if attempt is None:
            yield statement
        elif change.phase in ENDS:
            yield from self._closed(attempt, statement)
        else:
            yield statement
            case = self._book.get(change.episode)
            if case and attempt.is_harmed_by(change, case.openings):
                yield from self._harmed(attempt, case, change.at, f"it got worse: {change.because}")

    def _closed(self, attempt: Attempt, last: Statement) -> Iterator[Statement]:
        """The case is closed: that, or what else is to prove it, may hold at this very moment."""
        remedy, how = self._remedies.get(attempt.remedy), last.change.how
        if attempt.stage in ("watched", "doubted"):
            del self._attempts[attempt.case]
        is_over = how == attempt.credit or (how == BY_ITSELF and bool(remedy and remedy.proof))
        if remedy and is_over and attempt.stage == "watched" and self._is_proven(remedy, attempt.device, is_over=is_over):
            tried = tuple(replace(one, result="worked") if attempt.is_in(one) else one for one in last.tried)
            says, adds = self._words.well(attempt), {"comparisons": (self._words.comparison(attempt),)}
            news = replace(last.change, kind="recovery", phase=Phase.OPENED, severity="info", says=says, how="")
            yield Statement(change=news, owner=last.owner, tried=tried, adds=adds)
            last = replace(last, tried=tried, change=replace(last.change, how=attempt.credit))
        yield last

    def _is_proven(self, remedy: Remedy, device: str, *, is_over: bool) -> bool:
        return self._facts.holds(remedy.proof, device) is True if remedy.proof else is_over

    def tick(self, now: float) -> Iterator[Statement]:
        """See `Part.tick`."""
        for attempt in list(self._attempts.values()):
            yield from self._watch(attempt, now)
        waits = False
        for case in list(self._book):
            if case.key not in self._attempts:
                waits |= yield from self._plan(case, now)
        self.allowance.keep(self._book.cases)
        self._rehearsals.keep(self._book.cases)
        self.next_due = now + LOOK if waits or self._attempts or self._mendings else NEVER

    # ------------------------------------------------------------ beginning

    def _plan(self, case: Case, now: float) -> Generator[Statement, None, bool]:
        """Begin what may be tried; returns whether anything ever may."""
        waits = False
        for name, remedy in self._remedies.items():
            if not remedy.is_for(case.rule_id, case.point.partition("/")[0]) or self._is_over(name, remedy, case):
                continue
            waits = True
            if next(self.obstacles(name, case, now), None) is not None:
                continue
            if remedy.dry_run:
                yield self._rehearsals.tell(name, remedy, self._words.title(name), case, now)
                continue
            self.begin(name, case, now)
            break
        return waits

    def _is_over(self, name: str, remedy: Remedy, case: Case) -> bool:
        return self.allowance.is_over(name, remedy, case) or self._rehearsals.has(name, case)

    def obstacles(self, name: str, case: Case, now: float, *, asked: bool = False) -> Iterator[str]:
        """Why a remedy may not be tried in a case now; nothing where it may. See `Allowance.obstacles`."""
        remedy = self._remedies[name]
        if attempt := self._attempts.get(case.key):
            yield f"{attempt.going_on} in this case"
        yield from self.allowance.obstacles(name, remedy, case, now, asked=asked)
        mine = touches(remedy.action, case.point.partition("/")[0], self._on_bus)
        if both := mine & self._book.at_work:
            yield f"somebody is at work on {min(both)}"
        for other in self._attempts.values():
            if other.case != case.key and (both := mine & touches(other.action, other.device, self._on_bus)):
                yield f"{other.going_on} on {min(both)}"
        for mending in self._mendings:
            if both := mine & touches(mending.action, mending.device, self._on_bus):
                yield f"what the remedy {mending.remedy} did to {min(both)} has to be put right first"

    def begin(self, name: str, case: Case, now: float) -> None:
        """A try begins: it is in the case, and its order waits until that is stored."""
        remedy = self._remedies[name]
        attempt = Attempt(
            number=self._next(),
            remedy=name,
            case=case.key,
            point=case.point,
            action=remedy.action,
            at=now,
            openings=case.openings,
            before=reads(self._facts.last(case.point)),
            was=reads(self._facts.last(written(remedy.action))),
        )
        self._attempts[case.key] = attempt
        self.allowance.begin(name, case, now)
        case.tried.append(Try(what=attempt.what, at=now, result="begun", says=f"The hub {intent(remedy.action)}."))
        self.next_due = now

    def withdraw(self, case: Case, now: float) -> None:
        """A try that has begun is not made: it could not be stored."""
        attempt = self._attempts.get(case.key)
        if attempt and attempt.number not in self._handed_out:
            self._note(attempt, "impossible", "it was not tried: it could not be stored, or was not needed any more")
            self._leave(attempt, now)

    def _next(self) -> int:
        self._count += 1
        return self._count

    # ------------------------------------------------------------ what comes of it

    def _watch(self, attempt: Attempt, now: float) -> Iterator[Statement]:
        remedy, case = self._remedies.get(attempt.remedy), self._book.get(attempt.case)
        if remedy is None or case is None:  # taken out of the config, or closed
            if attempt.number not in self._handed_out:
                self._give_up(attempt, now, "nobody waited for its effect, because the remedy was taken out of the config")
        elif attempt.stage == "ordered" and attempt.number not in self._handed_out and now - attempt.at > HESITATES:
            self.withdraw(case, now)
            yield from self._in_vain(attempt, remedy, case, now)
        elif attempt.until is not None and self._is_somebody_there(attempt, case):
            self._give_up(attempt, now, "somebody came to work on it before its effect had shown")
        elif attempt.stage != "stopped" and remedy.harm and self._facts.holds(remedy.harm, attempt.device):
            yield from self._harmed(attempt, case, now, f"it holds that {remedy.harm}")
        elif attempt.stage == "watched":
            yield from self._judge(attempt, remedy, case, now)
        elif attempt.until is not None and now >= attempt.until and not self._mendings.of(attempt):
            self._give_up(attempt, now)

    def _is_somebody_there(self, attempt: Attempt, case: Case) -> bool:
        return bool(case.visit) or attempt.device in self._book.at_work

    def _give_up(self, attempt: Attempt, now: float, why: str = "") -> None:
        """Its effect is waited for no longer."""
        case = self._book.get(attempt.case)
        if attempt.stage != "doubted":
            self._note(attempt, "failed", why)
        elif case:
            self.allowance.doubt(attempt.remedy, case, now)
        self._leave(attempt, now)

    def _judge(self, attempt: Attempt, remedy: Remedy, case: Case, now: float) -> Iterator[Statement]:
        """It was done: whether it has helped."""
        assert attempt.until is not None
        if self._is_proven(remedy, attempt.device, is_over=case.stage == "proving"):
            yield self._worked(attempt, remedy, case, now)
        elif now >= attempt.until:
            missed = f"it did not come to hold that {remedy.proof}" if remedy.proof else "the case was not over"
            self._note(attempt, "failed", f"{missed} within {duration(remedy.within)}")
            self._leave(attempt, now)
            yield from self._in_vain(attempt, remedy, case, now)

    def _worked(self, attempt: Attempt, remedy: Remedy, case: Case, now: float) -> Statement:
        del self._attempts[case.key]
        shown_by = f"it holds that {remedy.proof}" if remedy.proof else "what was wrong is over"
        took = duration(now - attempt.at)
        self._note(attempt, "worked", f"{shown_by}, {took} after it began")
        case.credit, case.told_well = attempt.credit, True
        because = f"{shown_by}, {took} after the hub began the remedy {attempt.remedy}"
        adds = {"kind": "recovery", "severity": "info", "comparisons": (self._words.comparison(attempt),)}
        return self._book.statement(case, Phase.OPENED, now, says=self._words.well(attempt), because=because, **adds)

    def _in_vain(self, attempt: Attempt, remedy: Remedy, case: Case, now: float) -> Iterator[Statement]:
        """A try has come to nothing: after the last one the case is more severe, unless something else can be tried at once."""
        if case.stage != "open" or not self.allowance.is_over(attempt.remedy, remedy, case) or self._can_go_on(case, now):
            return
        tried, title = times(self.allowance.tries(attempt.remedy, case)), self._words.title(attempt.remedy)
        says = f"{self._words.here(case.point)} the hub has tried to put it right {tried} ({title}), in vain."
        last = next((one.says for one in reversed(case.tried) if attempt.is_in(one)), "")
        yield self._worse(case, now, says, f"the remedy {attempt.remedy} was tried {tried}: {last}")

    def _can_go_on(self, case: Case, now: float) -> bool:
        able = (name for name, remedy in self._remedies.items() if not remedy.dry_run)
        return any(next(self.obstacles(name, case, now), None) is None for name in able)

    def _worse(self, case: Case, now: float, says: str, because: str) -> Statement:
        """One severity up."""
        case.severity = case.least = SEVERER[case.severity]
        return self._book.statement(case, Phase.WORSENED, now, says=says, because=because)

    def _harmed(self, attempt: Attempt, case: Case, now: float, why: str) -> Iterator[Statement]:
        """Stop, undo, and say so."""
        if attempt.stage == "ordered" and attempt.number not in self._handed_out:  # nothing has been done
            self._note(attempt, "impossible", f"it was not tried any more: {why}")
            self._leave(attempt, now)
            return
        self.allowance.bar(case)
        self._note(attempt, "harmed", why)
        if attempt.stage == "ordered":
            attempt.stage, undone = "stopped", "It is being broken off."  # and is put away once it has come to its end
        else:
            undoing = self._leave(attempt, now, undo=True)
            undone = f"It is being undone: the hub {intent(undoing)}." if undoing else "There is nothing that the hub could undo."
        here, title = self._words.here(case.point), self._words.title(attempt.remedy)
        says = f"{here} what the hub tried ({title}) has made it worse. {undone} It tries nothing more."
        yield self._worse(case, now, says, why)

    def _leave(self, attempt: Attempt, now: float, *, undo: bool = False, restore: bool = False) -> Action | None:
        """An attempt is over, and was of no use. undo: what it wrote is put back. restore: what it may have left off is put on."""
        del self._attempts[attempt.case]
        case = self._book.get(attempt.case)
        if case and case.credit == attempt.credit:
            case.credit = ""
        undoing = attempt.undoing() if undo else None
        if restore:
            self._switch_on(attempt, now)
        if undoing:
            self._mend(attempt, undoing, now)
        return undoing

    # ------------------------------------------------------------ putting things right

    def _mend(self, attempt: Attempt, action: Action, now: float, *, restores: bool = False) -> None:
        self._mendings.add(self._next(), attempt, action, now, restores=restores)
        self.next_due = now

    def _switch_on(self, attempt: Attempt, now: float) -> None:
        """Let what an attempt may have left off be switched on."""
        if isinstance(attempt.action, RESTORED):
            self._mend(attempt, attempt.action, now, restores=True)

    def _mended(self, mending: Mending, now: float, *, done: bool, says: str) -> Iterator[Statement]:
        """Something was put right, or could not be; which is told the first time."""
        self._mendings.tried(mending, now, done=done)
        case, attempt = self._book.get(mending.case), self._attempts.get(mending.case)
        if done and attempt and attempt.stage == "doubted" and (remedy := self._remedies.get(attempt.remedy)):
            attempt.until = now + remedy.within  # what was off has only begun to work again
        if done or mending.tried == 1:
            self._add(mending, says)
        if case and not done and mending.tried == 1:
            here = self._words.here(case.point)
            yield self._worse(
                case, now, f"{here} what the hub has tried could not be put right afterwards, and it goes on trying.", says
            )

    # ------------------------------------------------------------ in words

    def _add(self, mending: Mending, says: str) -> None:
        """How it goes on with what is put right, in its case."""
        if case := self._book.get(mending.case):
            case.tried = [replace(one, says=f"{one.says} {sentence(says)}") if mending.is_of(one) else one for one in case.tried]

    def _note(self, attempt: Attempt, result: Result, says: str) -> None:
        """What has become of a try, in its case: what was done, and what came of it."""
        if case := self._book.get(attempt.case):
            done = f"{attempt.did} {sentence(says)}" if attempt.did else sentence(says)
            told = Try(what=attempt.what, at=attempt.at, result=result, says=done)
            case.tried = [told if attempt.is_in(one) else one for one in case.tried]

    def account(self, now: float) -> Iterator[str]:
        """What is under way, for a person at a terminal."""
        return self._words.account(self._attempts.values(), self._mendings, now)

    # ------------------------------------------------------------ across a restart

    def memory(self) -> Any:
        """See `Part.memory`."""
        return {
            "attempts": msgspec.to_builtins(list(self._attempts.values())),
            "mendings": self._mendings.memory(),
            "rehearsed": self._rehearsals.memory(),
            "count": self._count,
            "spent": self.allowance.memory(),
        }

    def recall(self, memory: Any, shift: float, now: float) -> Iterator[Statement]:
        """See `Part.recall`. What was being carried out was interrupted."""
        self._count = memory["count"]
        self._rehearsals.recall(memory["rehearsed"])
        self.allowance.recall(memory["spent"], shift)
        attempts = [one.moved_by(shift) for one in msgspec.convert(memory["attempts"], list[Attempt])]
        self._attempts = {one.case: one for one in attempts}
        self._mendings.recall(memory["mendings"], shift)
        self.next_due = now
        for attempt in list(self._attempts.values()):
            if attempt.until is not None:
                attempt.until = max(attempt.until, now + SETTLES)
            elif attempt.stage == "stopped":
                self._leave(attempt, now, undo=True, restore=True)
            else:
                yield from self._interrupted(attempt, now)
        for mending in [one for one in self._mendings if not is_there(one.action, self._on_bus)]:
            self._add(mending, "it cannot be put right any more, because it was taken out of the config")
            self._mendings.drop(mending)

    def _interrupted(self, attempt: Attempt, now: float) -> Iterator[Statement]:
        """The hub was stopped in the middle of it. It may have been done: its effect is waited for, and none of it is its merit."""
        cut = "the hub was stopped in the middle of it; nobody knows how far it came"
        self._note(attempt, "interrupted", cut)
        attempt.did = sentence(cut)
        case, remedy = self._book.get(attempt.case), self._remedies.get(attempt.remedy)
        attempt.stage, attempt.until = "doubted", now + (remedy.within if remedy else 0.0)
        self._switch_on(attempt, now)
        if remedy is None or case is None or case.stage != "open" or self._is_somebody_there(attempt, case):
            self._give_up(attempt, now)
        if case and case.stage == "open":
            says = self._words.cut_short(attempt)
            if remedy is None or self.allowance.is_over(attempt.remedy, remedy, case):
                yield self._worse(case, now, says, "nobody knows how far it came, and it is not tried again")
            else:
                again = f"it is tried again only if it still shows after {duration(remedy.within)} that it is needed"
                yield self._book.statement(case, Phase.WORSENED, now, says=says, because=f"nobody knows how far it came; {again}")
