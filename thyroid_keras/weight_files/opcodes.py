"""An interpreter of pickle's opcodes that runs nothing of what it reads.

Python's own unpickler imports and calls whatever a file names. This one builds plain
containers and calls the functions that it is given, under the names that it is given.
"""

import dataclasses
import pickletools

LITERALS = {
    "BINFLOAT", "BININT", "BININT1", "BININT2", "BINSTRING", "BINUNICODE", "LONG1",
    "SHORT_BINSTRING", "SHORT_BINUNICODE",
}  # fmt: skip
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
CONTAINERS = {"EMPTY_DICT": dict, "EMPTY_LIST": list}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class Refused(Exception):
    """The pickle asks for something that it is not given."""


@dataclasses.dataclass(frozen=True)
class Global:
    """A name that a pickle mentions; nothing is imported for it."""

    name: str


def interpret(stream, *, calls, names, refer):
    """Builds what the next pickle of a stream describes.

    Args:
        stream: binary file, read up to the end of the pickle.
        calls: dict from dotted name to the function that stands in for it.
        names: further dotted names that may occur, as values.
        refer: function of a reference to something outside the pickle.

    Returns:
        dicts, lists, tuples, strings, numbers, `Global`s and what `calls` and `refer`
        return.

    Raises:
        Refused: if the pickle asks for any other name or for an operation that data
            does not need.
        ValueError: or another of Python's errors, if the pickle is damaged.
    """
    stack, marks, memo = [], [], {}

    def since_mark():
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    for opcode, value, _ in pickletools.genops(stream):
        match opcode.name:
            case name if name in LITERALS:
                stack.append(value)
            case name if name in CONSTANTS:
                stack.append(CONSTANTS[name])
            case name if name in CONTAINERS:
                stack.append(CONTAINERS[name]())
            case name if name in TUPLES:
                stack[-TUPLES[name] :] = [tuple(stack[-TUPLES[name] :])]
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case "MARK":
                marks.append(len(stack))
            case "BINPUT" | "LONG_BINPUT":
                memo[value] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[value])
            case "APPEND":
                item = stack.pop()
                stack[-1].append(item)
            case "APPENDS":
                items = since_mark()
                stack[-1].extend(items)
            case "SETITEM":
                items = stack[-2:]
                del stack[-2:]
                fill(stack[-1], items)
            case "SETITEMS":
                items = since_mark()
                fill(stack[-1], items)
            case "GLOBAL":
                stack.append(_allowed(value.replace(" ", "."), calls, names))
            case "STACK_GLOBAL":
                stack[-2:] = [_allowed(".".join(stack[-2:]), calls, names)]
            case "REDUCE":
                arguments = stack.pop()
                stack[-1] = calls[stack[-1].name](*arguments)
            case "BUILD":  # the versions of the layers, beside the tensors
                stack.pop()
            case "BINPERSID":
                stack[-1] = refer(stack[-1])
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case name:
                raise Refused(f"the pickle operation {name}")
    raise ValueError("it ends too early")


def fill(dictionary, items):
    """Adds keys and values, which follow each other in `items`, to a dict.

    Raises:
        ValueError: if a key is no name or number: nested tuples can take for ever to hash.
    """
    keys = items[::2]
    if not all(isinstance(key, (str, int)) for key in keys):
        raise ValueError("a key that is no name")
    dictionary.update(zip(keys, items[1::2], strict=True))


def _allowed(name, calls, names):
    if name not in calls and name not in names:
        raise Refused(name)
    return Global(name)
