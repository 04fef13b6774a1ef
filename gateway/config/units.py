"""Numbers with their units, as people write them: "-15 °C", "2 °C/min", "3.5 kW", and times such as "5 s" or "1h30m".

Two units fit each other when they measure the same thing. A unit that is not in the table is allowed and fits only itself, so
that a device may count in loaves. A unit "per time" needs no entry: "m³/h" is a volume per time, "°C/min" a temperature per time.
"""

import math
import re
from functools import lru_cache
from typing import NamedTuple

from gateway.config.problems import Unfit, nearest, quoted
from gateway.diagnosis.contract import Quantity

_TIME = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}

MEASURES: dict[str, dict[str, float]] = {  # what is measured -> unit -> how much of the first unit it is
    "temperature": {"K": 1.0, "°C": 1.0, "°F": 5 / 9},
    "power": {"W": 1.0, "mW": 1e-3, "kW": 1e3, "MW": 1e6, "hp": 745.699872},
    "apparent power": {"VA": 1.0, "kVA": 1e3, "MVA": 1e6},
    "reactive power": {"var": 1.0, "kvar": 1e3, "Mvar": 1e6},
    "energy": {"J": 1.0, "kJ": 1e3, "MJ": 1e6, "GJ": 1e9, "Wh": 3600.0, "kWh": 3.6e6, "MWh": 3.6e9, "GWh": 3.6e12, "kcal": 4186.8},
    "apparent energy": {"VAh": 1.0, "kVAh": 1e3, "MVAh": 1e6},
    "reactive energy": {"varh": 1.0, "kvarh": 1e3, "Mvarh": 1e6},
    "pressure": {
        "Pa": 1.0, "hPa": 100.0, "kPa": 1e3, "MPa": 1e6, "mbar": 100.0, "bar": 1e5, "psi": 6894.757293168,
        "atm": 101325.0, "mmHg": 133.322387415, "inHg": 3386.389, "mH2O": 9806.65,
    },
    "voltage": {"V": 1.0, "µV": 1e-6, "mV": 1e-3, "kV": 1e3},
    "current": {"A": 1.0, "µA": 1e-6, "mA": 1e-3, "kA": 1e3},
    "charge": {"Ah": 1.0, "mAh": 1e-3},
    "resistance": {"Ω": 1.0, "mΩ": 1e-3, "kΩ": 1e3, "MΩ": 1e6},
    "volume": {"m³": 1.0, "l": 1e-3, "ml": 1e-6, "hl": 0.1, "ft³": 0.028316846592, "gal": 0.003785411784},  # gal: of the US
    "mass": {"kg": 1.0, "mg": 1e-6, "g": 1e-3, "t": 1e3, "oz": 0.028349523125, "lb": 0.45359237},
    "length": {"m": 1.0, "µm": 1e-6, "mm": 1e-3, "cm": 0.01, "km": 1e3, "in": 0.0254, "ft": 0.3048, "mi": 1609.344},
    "area": {"m²": 1.0, "cm²": 1e-4, "ft²": 0.09290304},
    "ratio": {"%": 1.0, "‰": 0.1},
    "share": {"ppm": 1.0, "ppb": 1e-3},
    "concentration": {"g/m³": 1.0, "mg/m³": 1e-3, "µg/m³": 1e-6, "mg/l": 1.0, "µg/l": 1e-3, "g/l": 1e3},
    "time": _TIME,
    "number per time": {"Hz": 1.0, "mHz": 1e-3, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9, "rpm": 1 / 60},
    "angle": {"°": 1.0, "rad": 180 / math.pi},
    "acceleration": {"m/s²": 1.0, "mm/s²": 1e-3},
    "force": {"N": 1.0, "kN": 1e3},
    "torque": {"Nm": 1.0, "kNm": 1e3},
    "illuminance": {"lx": 1.0, "klx": 1e3},
    "irradiance": {"W/m²": 1.0, "kW/m²": 1e3},
    "conductivity": {"µS/cm": 1.0, "mS/cm": 1e3, "S/m": 1e4},
    "signal strength": {"dBm": 1.0},
    "loudness": {"dB": 1.0},
}  # fmt: skip

_ZERO = {"°C": 273.15, "°F": 459.67 * 5 / 9}  # where the zero of the scale lies, in K

_ALIASES = {
    "C": "°C", "degC": "°C", "F": "°F", "degF": "°F", "°K": "K", "L": "l", "mL": "ml", "hL": "hl", "ohm": "Ω", "Ohm": "Ω",
    "kOhm": "kΩ", "MOhm": "MΩ", "lux": "lx", "VAr": "var", "kVAr": "kvar", "VArh": "varh", "kVArh": "kvarh", "KW": "kW",
    "Kwh": "kWh", "KWh": "kWh", "mg/L": "mg/l", "µg/L": "µg/l", "g/L": "g/l", "pct": "%", "percent": "%", "sec": "s", "hr": "h",
    "day": "d", "1": "",
}  # fmt: skip

_LOOKALIKES = str.maketrans(
    {
        "\N{GREEK SMALL LETTER MU}": "\N{MICRO SIGN}",
        "\N{OHM SIGN}": "\N{GREEK CAPITAL LETTER OMEGA}",
        "\N{MASCULINE ORDINAL INDICATOR}": "°",
        "\N{RING ABOVE}": "°",
        "\N{DEGREE CELSIUS}": "°C",
        "\N{DEGREE FAHRENHEIT}": "°F",
        "\N{MINUS SIGN}": "-",
        "\N{EN DASH}": "-",
        "\N{NO-BREAK SPACE}": " ",
    }
)
"""Signs that phones and word processors put for the ones meant."""

_POWER = re.compile(r"(?<=[a-z])\^?([23])$", re.ASCII)  # m3, m^3, ft2
_MICRO = re.compile(r"^u(?=[AVSgm])")  # uA, um, uS


class UnitMismatchError(ValueError):
    """Two units do not measure the same thing."""

    def __init__(self, quantity: Quantity, unit: str) -> None:
        super().__init__(f'"{written(quantity)}" cannot be turned into {unit or "a number without unit"}')
        self.quantity, self.unit = quantity, unit


class Measure(NamedTuple):
    """What a unit measures, how much of it one is, and where its zero lies."""

    of: str
    factor: float
    zero: float


_UNITS = {unit: Measure(of, factor, _ZERO.get(unit, 0.0)) for of, units in MEASURES.items() for unit, factor in units.items()}


def canonical(unit: str) -> str:
    """One spelling for each unit: "m3" is "m³", "L" is "l", "uA" is "µA"."""
    unit = unit.translate(_LOOKALIKES).strip()
    unit = _MICRO.sub("µ", _POWER.sub(lambda power: "²³"[power[1] == "3"], unit)) if unit.isascii() else unit
    return _ALIASES.get(unit, unit)


@lru_cache(maxsize=256)
def measure(unit: str) -> Measure:
    """What a unit measures. A unit outside of the table measures itself."""
    unit = canonical(unit)
    if unit in _UNITS:
        return _UNITS[unit]
    head, slash, per = unit.rpartition("/")
    if slash and canonical(per) in _TIME:
        top = measure(head)
        return Measure(f"{top.of} per time", top.factor / _TIME[canonical(per)], 0.0)
    return Measure(quoted(unit) if unit else "number", 1.0, 0.0)


def convert(quantity: Quantity, unit: str, *, difference: bool = False) -> float:
    """The number that `quantity` is in `unit`, to 12 significant digits.

    A quantity without a unit is already in `unit`. With `difference` it is a distance between two values, so that "1 °C" is
    1.8 °F and not 33.8. Raises UnitMismatchError when the two do not measure the same thing.
    """
    if not quantity.unit or canonical(quantity.unit) == canonical(unit):
        return quantity.value
    have, want = measure(quantity.unit), measure(unit)
    if have.of != want.of:
        raise UnitMismatchError(quantity, unit)
    zero = 0.0 if difference else have.zero - want.zero
    return float(f"{(quantity.value * have.factor + zero) / want.factor:.12g}")


def is_known(unit: str) -> bool:
    """Whether a unit measures something by itself, or such a thing per time."""
    return '"' not in measure(unit).of


def written(quantity: Quantity) -> str:
    """A quantity as people write it."""
    return f"{quantity.value:.12g} {quantity.unit}".strip()


# ---------------------------------------------------------------- from text

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_QUANTITY = re.compile(rf"({_NUMBER})\s*((?:1/|[^\s\d.,+-]).*)?", re.ASCII | re.DOTALL)
_DECIMAL_COMMA = re.compile(r"([+-]?\d+),(\d+)(.*)", re.ASCII | re.DOTALL)


def quantity(text: str, example: str = "-15 °C") -> Quantity:
    """Read "-15 °C". Raises Unfit."""
    expected = f'a number with its unit such as "{example}"'
    plain = text.translate(_LOOKALIKES).strip()
    if match := _QUANTITY.fullmatch(plain):
        value = float(match[1])
        if not math.isfinite(value):
            raise Unfit(f"{quoted(text)} is too large", expected)
        return Quantity(value, canonical(match[2] or ""))
    if match := _DECIMAL_COMMA.fullmatch(plain):
        raise Unfit(f"{quoted(text)} has a decimal comma", suggestion=quoted(f"{match[1]}.{match[2]}{match[3]}"))
    raise Unfit(f"found text {quoted(text)}", expected)


_SPAN = {"ms": 0.001, "s": 1, "min": 60, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([^\W\d_]+\.?)", re.ASCII)
_SPAN_SLIPS = {
    "sec": "s", "secs": "s", "second": "s", "seconds": "s", "sek": "s", "sekunden": "s", "msec": "ms", "millis": "ms",
    "mins": "min", "minute": "min", "minutes": "min", "minuten": "min", "hr": "h", "hrs": "h", "hour": "h", "hours": "h",
    "std": "h", "stunde": "h", "stunden": "h", "day": "d", "days": "d", "tag": "d", "tage": "d",
}  # fmt: skip
DURATION_PATTERN = r"^(\s*\d+(\.\d+)?\s*(ms|s|min|m|h|d))+\s*$"
EXPECTED_DURATION = 'a time such as "5 s" or "10 min"'


def duration(text: str) -> float:
    """Seconds of "500 ms", "5 s", "10 min", "2 h", "7 d" or "1h30m". Raises Unfit."""
    total, end, plain, slip = 0.0, 0, text.translate(_LOOKALIKES).strip(), ""
    while match := _PART.match(plain, end):
        end = match.end()
        unit = match[2]
        if unit not in _SPAN:
            slip = slip or unit
            low = unit.casefold().rstrip(".")
            unit = low if low in _SPAN else _SPAN_SLIPS.get(low) or nearest(low, _SPAN)
        total += float(match[1]) * _SPAN.get(unit, math.nan)
    if slip:
        meant = "" if math.isnan(total) else quoted(span(total))
        raise Unfit(f'"{slip}" in {quoted(text)} is not a unit of time', "" if meant else EXPECTED_DURATION, meant)
    if end and end == len(plain) and math.isfinite(total):
        return round(total, 9)
    raise _not_a_duration(text, plain)


def _not_a_duration(text: str, plain: str) -> Unfit:
    if re.fullmatch(_NUMBER, plain):
        if plain.startswith("-"):
            return Unfit(f"{quoted(text)} is negative", EXPECTED_DURATION)
        return Unfit(f"{quoted(text)} has no unit", suggestion=quoted(f"{plain} s"))
    if match := _DECIMAL_COMMA.fullmatch(plain):
        return Unfit(f"{quoted(text)} has a decimal comma", suggestion=quoted(f"{match[1]}.{match[2]}{match[3]}"))
    if plain.startswith("-"):
        return Unfit(f"{quoted(text)} is negative", EXPECTED_DURATION)
    return Unfit(f"found text {quoted(text)}", EXPECTED_DURATION)


def span(seconds: float) -> str:
    """A time in the largest unit that leaves it a whole number: 90 is "90 s", 600 is "10 min", 0.25 is "250 ms"."""
    if 0 < seconds < 1:
        return f"{_decimal(seconds * 1000)} ms"
    unit = next((unit for unit in ("d", "h", "min") if seconds and seconds % _SPAN[unit] == 0), "s")
    return f"{_decimal(seconds / _SPAN[unit])} {unit}"


def _decimal(number: float) -> str:
    """A number without an exponent, to 9 places."""
    return f"{number:.9f}".rstrip("0").rstrip(".")
