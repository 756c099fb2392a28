"""Checks of arguments, each given as `name=value` so that the error can say both."""

import math
import numbers


def check(holds, rule, **argument):
    """Raises a ValueError of `rule` and the argument unless it holds."""
    ((name, value),) = argument.items()
    if not holds:
        raise ValueError(f"{rule} Received: {name}={value!r}")


def check_count(least, **argument):
    """Demands an integer of `least` or more."""
    ((name, value),) = argument.items()
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    check(whole and value >= least, f"`{name}` must be an integer >= {least}.", **argument)


def check_choice(choices, **argument):
    """Demands one of `choices`."""
    ((name, value),) = argument.items()
    check(value in choices, f"`{name}` must be one of {choices}.", **argument)


def check_least(least, **argument):
    """Demands a finite number of `least` or more."""
    ((name, value),) = argument.items()
    holds = isinstance(value, numbers.Real) and least <= value < math.inf
    check(holds, f"`{name}` must be a number >= {least}.", **argument)


def check_share(**argument):
    """Demands a number in [0, 1]."""
    ((name, value),) = argument.items()
    share = isinstance(value, numbers.Real) and 0 <= value <= 1
    check(share, f"`{name}` must lie in [0, 1].", **argument)
