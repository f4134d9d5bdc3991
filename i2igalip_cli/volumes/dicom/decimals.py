"""Numbers as decimal strings (DS): at most 16 characters (PS3.5 6.2)."""

from collections.abc import Iterable

from pydicom.valuerep import format_number_as_ds

DS_LENGTH = 16
_PLACES = 10  # below, a coordinate in mm or a direction cosine is noise of its computation


def decimal_string(number: float) -> str:
    """The decimal string nearest to a number, exact for whole numbers."""
    if number == int(number) and abs(number) < 10**15:
        return str(int(number))
    return format_number_as_ds(number)


def coordinates(numbers: Iterable[float]) -> list[str]:
    """Decimal strings of coordinates or direction cosines: no exponent, no -0."""
    return [_fixed(float(number)) for number in numbers]


def _fixed(number: float) -> str:
    for places in range(_PLACES, 0, -1):
        string = f"{number:.{places}f}"
        if len(string) <= DS_LENGTH:
            short = string.rstrip("0").rstrip(".")
            return "0" if short == "-0" else short
    return decimal_string(number)
