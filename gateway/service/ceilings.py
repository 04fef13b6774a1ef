"""How much a hub tells, at most, when everything breaks at once: between the desk and the outbox.

Promises
- In a day no hub tells more moments, or more bytes, than `[limits]` allows, and in an hour no rule more than its share; what a
  restart does not begin anew. A day is 24 hours of the hub's own life (`lifetime.py`), so that no leap of a clock ends it.
- What is beyond is folded: not told one by one, but counted by rule. One moment says so when it begins, and one with the same case
  number says how many they were when the hour, or where nothing more may be told the day, has ended.
- Causes win over symptoms: what another episode explains, and what is merely good to know, may use up half of a ceiling, what is
  not critical three quarters.
- What has been told has an end: room for the last moment of each case that was told is kept free. A case of which nothing was told
  is closed to nobody; where it gets worse and there is room, it is told from there on.

All counts are in the store, in the transaction of the moments that they are about.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from gateway.config.model import Limits
from gateway.diagnosis.contract import Phase
from gateway.moments import Moment, to_wire, within
from gateway.service.own_health import Notice, folding, folding_ended
from gateway.store import Store

DAY, HOUR = 86400.0, 3600.0
NUMBERS = 96  # bytes by which a moment grows when the outbox numbers it
LAST_WORD = 2048  # bytes that are kept for the last moment of a case
OWN = 2  # moments that are kept for telling what was folded
SHARES = (1.0, 0.75, 0.5)  # of a ceiling, for causes that are critical, for what is not, and for symptoms
GOOD_TO_KNOW = {"milestone", "insight", "digest"}
BEGINS = {"problem", "prediction", "hub", "insight"}  # kinds whose opening begins a case, whose end needs room
LAST = {Phase.CLOSED, Phase.WITHDRAWN}
NAME = "ceilings"


class Admitted(NamedTuple):
    """What may be told, in the order in which it came, and what is to be told of the rest."""

    moments: list[Moment]
    notices: list[Notice]


class _Book(msgspec.Struct):
    """The counts of the present day and hour. `day` is when it began, `hour` the how-manieth hour it is."""

    day: float
    hour: int = 0
    told: int = 0
    bytes: int = 0
    open_cases: int = 0  # told and not yet closed: for each of them a moment is kept
    by_rule: dict[str, int] = {}  # told in this hour
    folded: dict[str, int] = {}
    folding_since: float | None = None
    because: str = ""  # the ceiling that was reached


class Ceilings:
    """Lets through what may be told. `due` is when it wants to be asked again at the latest, on the hub's lifetime."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self.limits = limits
        self.due = 0.0
        with store.transaction():
            store.execute("CREATE TABLE IF NOT EXISTS untold (case_number TEXT PRIMARY KEY) WITHOUT ROWID")

    def admit(self, moments: Sequence[Moment], now: float, once: Collection[str] = ()) -> Admitted:
        """Count the moments and say which may be told. Belongs in the transaction that puts them.

        once: numbers of the cases that are told once and done with, as `Statement.once`: no end of them will come.
        """
        with self._store.transaction():
            book = self._book(now)
            before = msgspec.json.encode(book)
            notices = self._turn_pages(book, now)
            passed = {}
            for place in _by_importance(moments):
                if told := self._pass(book, moments[place], once):
                    passed[place] = told
            if book.folded and book.folding_since is None:
                book.folding_since = now
                book.told, book.open_cases, book.bytes = book.told + 1, book.open_cases + 1, book.bytes + LAST_WORD
                notices.append(folding(book.because))
            self.due = self._end(book) if book.folding_since is not None else float("inf")
            if msgspec.json.encode(book) != before:
                self._keep(book)
        return Admitted([passed[place] for place in sorted(passed)], notices)

    def admit_own(self, moment: Moment, now: float) -> bool:
        """The same for a moment about the hub itself that is the only one of its case; False while there is no room today."""
        with self._store.transaction():
            book = self._book(now)
            if now - book.day < DAY and self._reached(book, moment, begins=False):
                return False
            _counted(book, moment)
            self._keep(book)
        return True

    def leave_untold(self, moment: Moment, once: Collection[str] = ()) -> None:
        """A moment is not told, for another reason. Where its case begins with it, the next one that may be told begins it."""
        if _begins(moment, once):
            with self._store.transaction():
                self._store.execute("INSERT OR IGNORE INTO untold VALUES (?)", (moment.data.case,))

    def _book(self, now: float) -> _Book:
        text = self._store.recall(NAME)
        return msgspec.json.decode(text, type=_Book) if text else _Book(now)

    def _keep(self, book: _Book) -> None:
        self._store.remember(NAME, msgspec.json.encode(book).decode())

    def _turn_pages(self, book: _Book, now: float) -> list[Notice]:
        """Begin another hour or day where it is time."""
        ended = book.folding_since is not None and now >= self._end(book)
        if now - book.day >= DAY:
            book.day, book.hour, book.told, book.bytes, book.by_rule = now, 0, 0, 0, {}
        elif int((now - book.day) // HOUR) != book.hour:
            book.hour, book.by_rule = int((now - book.day) // HOUR), {}
        if not ended:
            return []
        notice = folding_ended(book.folded, now - (book.folding_since or now))
        book.told, book.open_cases, book.bytes = book.told + 1, book.open_cases - 1, book.bytes + LAST_WORD
        book.folded, book.folding_since = {}, None
        return [notice]

    def _end(self, book: _Book) -> float:
        """When what is folded now will be told: at the end of the hour, where that leaves room to begin once more."""
        since = book.folding_since or book.day
        if book.told + book.open_cases + OWN > self.limits.moments_per_day:
            return book.day + DAY
        return book.day + ((since - book.day) // HOUR + 1) * HOUR

    def _pass(self, book: _Book, moment: Moment, once: Collection[str]) -> Moment | None:
        """The moment, counted, if it may be told; else None, and it is counted as folded."""
        data = moment.data
        is_untold = self._store.execute("SELECT 1 FROM untold WHERE case_number = ?", (data.case,)).fetchone() is not None
        if data.phase in LAST and data.case not in once and not is_untold and book.open_cases:
            book.open_cases -= 1
            if book.bytes + _size(moment) + (book.open_cases + OWN) * LAST_WORD > self.limits.kib_per_day * 1024:
                moment = within(moment, LAST_WORD - NUMBERS)
            return _counted(book, moment)
        if data.phase in LAST and is_untold:
            self._store.execute("DELETE FROM untold WHERE case_number = ?", (data.case,))
            return None  # it was counted when it began
        begins = is_untold or _begins(moment, once)
        if ceiling := self._reached(book, moment, begins):
            book.folded[data.rule.id] = book.folded.get(data.rule.id, 0) + 1
            book.because = ceiling
            if begins and not is_untold:
                self._store.execute("INSERT INTO untold VALUES (?)", (data.case,))
            return None
        book.open_cases += begins
        if is_untold:
            self._store.execute("DELETE FROM untold WHERE case_number = ?", (data.case,))
        return _counted(book, moment)

    def _reached(self, book: _Book, moment: Moment, begins: bool) -> str:
        """The ceiling that this moment would go through, in words; "" if none."""
        limits, rule = self.limits, moment.data.rule.id
        share = SHARES[_importance(moment)]
        kept = book.open_cases + begins + OWN
        if book.told + 1 + kept > share * limits.moments_per_day:
            return f"{limits.moments_per_day} moments a day"
        if book.bytes + _size(moment) + kept * LAST_WORD > share * limits.kib_per_day * 1024:
            return f"{limits.kib_per_day:g} KiB a day"
        if book.by_rule.get(rule, 0) + 1 > share * limits.moments_per_rule_and_hour:
            return f'{limits.moments_per_rule_and_hour} moments of the rule "{rule}" an hour'
        return ""


def _begins(moment: Moment, once: Collection[str]) -> bool:
    """Whether a case begins with it that will have an end."""
    return moment.data.phase is Phase.OPENED and moment.data.kind in BEGINS and moment.data.case not in once


def _counted(book: _Book, moment: Moment) -> Moment:
    rule = moment.data.rule.id
    book.told += 1
    book.bytes += _size(moment)
    book.by_rule[rule] = book.by_rule.get(rule, 0) + 1
    return moment


def _size(moment: Moment) -> int:
    return len(to_wire(moment)) + NUMBERS


def _importance(moment: Moment) -> int:
    """The place of its share in `SHARES`."""
    data = moment.data
    if data.caused_by or data.kind in GOOD_TO_KNOW:
        return 2
    return 0 if data.severity == "critical" or data.kind == "hub" else 1


def _by_importance(moments: Sequence[Moment]) -> list[int]:
    """Their places, what matters most first; those of one case stay in their order."""
    cases: dict[str, int] = {}
    for moment in moments:
        cases[moment.data.case] = min(cases.get(moment.data.case, 2), _importance(moment))
    return sorted(range(len(moments)), key=lambda place: cases[moments[place].data.case])
