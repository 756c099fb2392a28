"""How names and numbers are spelt."""

import difflib


def suggestion(name, names):
    """Returns ` Did you mean …?` with the closest of `names`, or nothing where none is close."""
    plain = str(name).lower().replace("-", "_")
    close = difflib.get_close_matches(plain, names, n=1)
    return f" Did you mean {close[0]}?" if close else ""


def counted(number, unit):
    """Returns e.g. `1 patient`, `41 patients`, `5 blocks of ten cases`."""
    head, of, rest = unit.partition(" of ")
    return f"{number} {head}{'' if number == 1 else 's'}{of}{rest}"
