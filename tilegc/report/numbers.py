"""Numbers formatted for the reader: as many digits as the error justifies, powers of ten written out."""

from __future__ import annotations

import math
import re
from typing import Final

from markupsafe import Markup, escape

__all__ = [
    "DASH",
    "error_text",
    "missing",
    "plain",
    "power",
    "share",
    "text",
    "typeset",
    "with_error",
    "with_power",
]

DASH = "–"
"""Shown for values that could not be measured."""

SYMBOLS: Final = (
    (r"(?<=\d)e([+-]?\d+)\b", lambda found: f"&nbsp;×&nbsp;10<sup>{_minus(str(int(found[1])))}</sup>"),
    (r"\^\((.+?)\)(?!\))", lambda found: f"<sup>{_minus(found[1])}</sup>"),
    (r"\^(-?[\d.]+)", lambda found: f"<sup>{_minus(found[1])}</sup>"),
    (r"\b([A-Za-z]+)_([A-Za-z]+)\b", lambda found: f"{found[1]}<sub>{found[2]}</sub>"),
    (r"(?<=[\w)>]) x (?=[\w(&<])", lambda _: " × "),
    (r"\+-", lambda _: "±"),
    (r"\bkappa\b", lambda _: "κ"),
    (r"\bSigma\b", lambda _: "Σ"),
    (r"\bmu\b", lambda _: "μ"),
    (r"\bpi\b", lambda _: "π"),
    (r"\bMsun\b", lambda _: "M<sub>☉</sub>"),
)
"""What plain text of tables means, in order, and how it is set."""


def plain(value: float, digits: int = 3) -> str:
    """Return a number with `digits` significant digits, without an exponent, with a true minus sign.

    >>> plain(1234.5678), plain(0.0123456), plain(-2)
    ('1,235', '0.0123', '−2.00')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return _minus(f"{value:,.{places}f}")


def text(value: float, digits: int = 3) -> str:
    """Return a number as `plain` does, or as 1.2e+09 if it is very large or small."""
    if value == 0 or not math.isfinite(value) or 1e-4 <= abs(value) < 1e7:
        return plain(value, digits)
    return _minus(f"{value:.{digits - 1}e}")


def power(value: float, digits: int = 3) -> Markup:
    """Return a number as 1.23 × 10⁹ in HTML, or as `plain` does if it is of ordinary size."""
    if value == 0 or not math.isfinite(value) or 1e-3 <= abs(value) < 1e5:
        return Markup(plain(value, digits))
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return Markup(f"{_minus(mantissa)}&nbsp;×&nbsp;10<sup>{_minus(str(int(exponent)))}</sup>")


def error_text(value: float, error: float | None) -> str:
    """Return value ± error, with two digits of the error and the value to the same decimal place.

    >>> error_text(0.69312, 0.0214)
    '0.693 ± 0.021'
    """
    if error is None or not math.isfinite(error) or error <= 0:
        return text(value)
    # With two digits, 0.0996 is 0.10, not 0.100: count the digits after rounding.
    places = max(0, 1 - math.floor(math.log10(float(f"{error:.1e}"))))
    return _minus(f"{value:,.{places}f} ± {error:,.{places}f}")


def with_error(value: float | None, error: float | None, reason: str = "") -> Markup:
    """Return value ± error in HTML, or a dash and the reason."""
    if value is None:
        return missing(reason)
    return Markup("{}").format(error_text(value, error).replace(" ", "\N{NO-BREAK SPACE}"))


def with_power(value: float | None, reason: str = "", digits: int = 3) -> Markup:
    """Return a number with its power of ten in HTML, or a dash and the reason."""
    return missing(reason) if value is None else power(value, digits)


def share(value: float | None, reason: str = "") -> Markup:
    """Return a fraction in per cent, or a dash and the reason."""
    if value is None:
        return missing(reason)
    if value == 0:
        return Markup("0&nbsp;%")
    percent = 100 * value
    digits = 1 if percent >= 1 else 2
    # Add digits until a fraction below one is not rounded to 100 %.
    while value < 1 and digits < 6 and float(f"{percent:.{digits}f}") == 100:
        digits += 1
    return Markup("{}&nbsp;%").format("< 0.01" if 0 < percent < 0.005 else f"{percent:.{digits}f}")


def missing(reason: str = "") -> Markup:
    """Return the dash, followed by the reason why there is no value."""
    why = Markup(' <span class="why">{}</span>').format(reason) if reason else ""
    return Markup(f"{DASH}") + why


def typeset(words: str) -> Markup:
    """Return the arithmetic of a table, written in plain text, with superscripts, Greek letters and signs.

    >>> typeset("1.638e+09 Msun kpc^-2 x pi, kappa < 2 +- 1")
    Markup('1.638&nbsp;×&nbsp;10<sup>9</sup> M<sub>☉</sub> kpc<sup>−2</sup> × π, κ &lt; 2 ± 1')
    """
    html = str(escape(words))
    for pattern, put in SYMBOLS:
        html = re.sub(pattern, put, html)
    return Markup(html)  # escaped above


def _minus(number: str) -> str:
    return number.replace("-", "−")
