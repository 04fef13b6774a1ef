"""From readings to episodes. Pure: readings, deadlines and `now` go in, changes come out; no I/O, no clock, no asyncio.

    engine = Engine(rules, points, to_unit, now)        gateway/diagnosis/engine.py
    for change in engine.feed(batch): ...               whenever a device was read
    for change in engine.tick(now): ...                 at engine.next_due

A rule kind is one file in `kinds/`: its theory, its `Keys`, its `fits` and its `watches`. Nothing lists them.
"""

import pkgutil
from functools import cache
from importlib import import_module
from types import ModuleType

from gateway.diagnosis import kinds as _kinds


@cache
def kinds() -> tuple[str, ...]:
    """The names of all rule kinds."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(_kinds.__path__)))


def load_kind(name: str) -> ModuleType:
    """The module of a rule kind.

    It has
    - `Keys`: what a technician may write, a subclass of `RuleKeys`;
    - `fits(point) -> str | None`: why the kind can do nothing with a point, None where it can;
    - `watches(rule, points, to_unit) -> Iterator[Watch]`: its watches, of all the points there are;
    - perhaps `GLOBS`: the keys beside `on` that name points, which must be there;
    - perhaps `unfit(keys, points) -> str | None`: why a rule can do nothing with the points that it is written for together;
    - perhaps `mistakes(written, points, to_unit) -> Iterator[Mistake]`: all that is wrong with what is `written` in a rule, key by
      key, about any of the points there are. Then `on` and all that it says of points is the kind's own business.

    Raises LookupError when there is no such kind.
    """
    if name not in kinds():
        raise LookupError(f"no rule kind {name!r}; there are {', '.join(kinds())}")
    return import_module(f"{_kinds.__name__}.{name}")
