"""Meters and counters: they only rise, until their digits run out or somebody puts in another."""

from itertools import product

MODULI = sorted(base * 10.0**places for base, places in product((65536.0, 4294967296.0, 1.0), range(-6, 13)))
"""Where counters begin anew: registers of 16 and of 32 bits in steps of 10^-n, and so many decimal digits."""


def modulus(before: float, after: float, near: float) -> float | None:
    """At what number a counter began anew, that read `before` and now reads less; None where it looks put back instead.

    near: how close to the end it must have been, and to the start it must be, as a share of the whole.
    """
    for end in MODULI:
        if before < end:
            return end if before >= (1.0 - near) * end and 0.0 <= after <= near * end else None
    return None
