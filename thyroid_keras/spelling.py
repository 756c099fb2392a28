"""What a misspelt name was meant to be."""

import difflib


def suggestion(name, names):
    """Returns ` Did you mean …?` with the closest of `names`, or nothing where none is close."""
    plain = str(name).lower().replace("-", "_")
    close = difflib.get_close_matches(plain, names, n=1)
    return f" Did you mean {close[0]}?" if close else ""
