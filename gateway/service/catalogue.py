"""What the service says to a customer, in the customer's language: one file a language, in `texts/`.

Promises
- All languages say the same: the same keys, with the same words to be filled in.
- Numbers, dates and plurals are as the language has them. English and Dutch have two forms, one for 1 and another for all other
  numbers (Unicode CLDR, plural rules for cardinals); a language with more forms needs a rule here.

A catalogue is read when it is needed, and not kept: a digest is made once a week.
"""

import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

TEXTS = Path(__file__).parent / "texts"
PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Catalogue:
    """The texts of one language. A text is named by its table and key: "digest.quiet"."""

    def __init__(self, language: str) -> None:
        import tomllib  # once a week is no reason to keep it in memory from the start

        self._texts: dict[str, Any] = tomllib.loads((TEXTS / f"{language}.toml").read_text("utf-8"))

    def say(self, name: str, /, **words: str) -> str:
        """A text with its words filled in; what a word itself holds in braces stays as it is."""
        return _filled(self._text(name), words)

    def count(self, name: str, number: int, /, **words: str) -> str:
        """A text that says how many, in the form that the number wants."""
        return _filled(self._text(name)["one" if number == 1 else "other"], {"n": self.number(number), **words})

    def has(self, name: str) -> bool:
        """Whether there is such a text."""
        table, _, key = name.partition(".")
        return key in self._texts[table]

    def keys(self, table: str) -> Sequence[str]:
        """The keys of one table, in their order."""
        return list(self._texts[table])

    def number(self, number: int) -> str:
        """A whole number with its thousands set apart: 1,204,331."""
        return f"{number:,}".replace(",", self._text("numbers.thousands"))

    def date(self, day: date, seen_from: date) -> str:
        """A day as one says it; with its year, where that is another one."""
        form = "dates.this_year" if day.year == seen_from.year else "dates.another_year"
        return self.say(form, day=str(day.day), month=self._text("dates.months")[day.month - 1], year=str(day.year))

    def listed(self, items: Sequence[str], apart: str = ", ") -> str:
        """Some things in one sentence: "a, b and c"."""
        if len(items) < 2:
            return "".join(items)
        return self.say("lists.and", first=apart.join(items[:-1]), last=items[-1])

    def _text(self, name: str) -> Any:
        table, _, key = name.partition(".")
        return self._texts[table][key]


def _filled(text: str, words: dict[str, str]) -> str:
    return PLACEHOLDER.sub(lambda match: words[match[1]], text)
