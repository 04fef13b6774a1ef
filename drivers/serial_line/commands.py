r"""What is sent to a device to set a point: from a value to the bytes of a command, and whether what is read back agrees.

Pure. A point is written by its `command`, in which "{value}" stands for the value: "R1={value}\r", or "SP={value:05.1f}\r" where a
device insists on digits. True and false are written as `on` and `off`; a value that has a name as the raw text of that name
(`values`); a number as it is before `scale` and `offset`.
"""

import re
from collections.abc import Callable, Mapping

from drivers import inverse
from drivers.contract import KeyMistake, Misfit, NoValue, Outcome, Value
from drivers.layout import compile_value
from drivers.serial_line.parsing import SaidKeys

_VALUE = re.compile(r"\{value(?::(0?[0-9]{0,2}(?:\.[0-9]{1,2}f|[dfxX])))?\}")
_LONGEST_TEXT = 80  # characters that a value may have
_SWITCH = {True: "1", False: "0"}


def check_command(key: str, command: str) -> str:
    """The command without its value. Raises KeyMistake where its braces hold anything but what is known."""
    rest = _VALUE.sub("", command)
    if re.search(r"[{}]", rest.replace("{address}", "").replace("{checksum}", "")):
        raise KeyMistake(key, f'"{command}"', 'braces as in "{value}", "{value:05.1f}", "{value:02X}", "{address}", "{checksum}"')
    return rest


class Command:
    """How one point is set.

    words: how true and false are written, where it is a switch. said: whether it can be read, so that it is known what it holds.
    decimal: what parts units from tenths. frame: makes bytes of the text of a command.
    """

    def __init__(
        self,
        point: SaidKeys,
        command: str,
        frame: Callable[[str], bytes],
        *,
        words: Mapping[bool, str],
        said: bool,
        decimal: str,
    ) -> None:
        self._point = point
        self._command = command
        self._frame = frame
        self._said = said
        self._decimal = decimal
        self._words = words or (_SWITCH if point.type in ("bool", "bit") else {})
        match = _VALUE.search(command)
        self._format = (match[1] or "") if match else ""
        self._means = compile_value(point, numeric=False)

    def plan(self, value: Value) -> bytes | Misfit:
        """The bytes that set this value, or why there are none."""
        text = self._text(value)
        return text if isinstance(text, Misfit) else self._frame(_VALUE.sub(lambda _: text, self._command))

    def agrees(self, found: Outcome, value: Value) -> bool:
        """Whether a reading is what was written; a relay that reads 1 is on."""
        if isinstance(found, NoValue | str) or isinstance(value, str):
            return found == value
        decimals = self._point.decimals
        return inverse.same(float(found), float(value) if decimals is None else round(float(value), decimals))

    def _text(self, value: Value) -> str | Misfit:
        if self._words:
            return self._words[value] if isinstance(value, bool) else Misfit(inverse.show(value), "true or false")
        if self._point.values:
            return inverse.word(value, self._point.values)
        if isinstance(value, bool) and not self._said:
            return _SWITCH[value]
        if isinstance(value, str):
            fits = value.isascii() and value.isprintable() and len(value) <= _LONGEST_TEXT
            return value if fits and (self._point.text or not self._said) else Misfit(inverse.show(value), "a number")
        return Misfit(inverse.show(value), "a text") if self._point.text else self._number(value)

    def _number(self, value: Value) -> str | Misfit:
        raw = inverse.real(value, self._point.scale, self._point.offset)
        if isinstance(raw, Misfit):
            return raw
        kind = self._format[-1:]
        text = format(raw if kind == "f" else round(raw), self._format) if kind else f"{raw:.12g}"
        sent = self._means(int(text, 16) if kind in ("x", "X") else float(text))
        if not inverse.same(sent, value):
            return Misfit(f"{inverse.show(value)}, which would be sent as {text}", inverse.show(sent))
        return text.replace(".", self._decimal)
