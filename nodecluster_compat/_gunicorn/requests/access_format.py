"""Compile the format of the access log once, to what it needs of a request.  Pure but for the pid.

Theory of operation
-------------------
gunicorn makes all atoms for each line, escapes them, and puts those that the format names into it.  Here a format
becomes a list of pieces: its own words at even places, the atoms that it names between them.  A line is a copy of the
list with the places filled in, joined.

A line is the same as gunicorn's to the character, or there is none and gunicorn has to be asked:

* ``compile_format`` returns ``None`` for anything but ``%%`` and ``%(name)s``: flags, widths, positions, a format that
  raises.
* ``compose`` raises where gunicorn would put something else than text into the line (a missing variable, a number that
  the application has put into ``environ``), or would raise itself.

Values are escaped as gunicorn and :mod:`~nodecluster_compat._gunicorn.log_lines` do, in that order.  A line that needs
no escaping is recognised as a whole: it is printable, and has as many quotation marks as the format.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from ...base.one_line import one_line

__all__ = ["Facts", "LineFormat", "compile_format"]

_TOKEN: Final = re.compile(r"%%|%\(([^()]*)\)([sd])")
_FIELD: Final = re.compile(r"\{(.*)\}([ioe])", re.DOTALL)
_REQUEST_LINE: Final = ("REQUEST_METHOD", "RAW_URI", "SERVER_PROTOCOL")
_SECOND: Final = 1_000_000


class Facts(NamedTuple):
    """The facts about one request and its answer.

    Attributes:
        environ: the application's.
        code: the first word of the status.
        headers: of the answer, by name, as gunicorn's response has them.
        fields: of the request, by name, as gunicorn's request has them.
        sent: bytes of the body.
        micros: microseconds from the request to the end of its answer.
        moment: when that was, as ``%(t)s`` has it.
        user: of ``Authorization: Basic``.
    """

    environ: dict[str, Any]
    code: str
    headers: Iterable[tuple[str, str]]
    fields: Iterable[tuple[str, str]]
    sent: int
    micros: int
    moment: str
    user: str


_Atom: TypeAlias = Callable[[Facts], Any]

# Of what gunicorn reads from environ.  Without a default it says "None" where the variable is missing.
_VARIABLES: Final[dict[str, tuple[str, str | None]]] = {
    "h": ("REMOTE_ADDR", "-"),
    "m": ("REQUEST_METHOD", None),
    "U": ("PATH_INFO", None),
    "q": ("QUERY_STRING", None),
    "H": ("SERVER_PROTOCOL", None),
    "f": ("HTTP_REFERER", "-"),
    "a": ("HTTP_USER_AGENT", "-"),
}
_ATOMS: Final[dict[str, _Atom]] = {
    "u": lambda facts: facts.user,
    "t": lambda facts: facts.moment,
    "s": lambda facts: facts.code,
    "b": lambda facts: str(facts.sent),
    "B": lambda facts: str(facts.sent),
    "T": lambda facts: str(facts.micros // _SECOND),
    "D": lambda facts: str(facts.micros),
    "M": lambda facts: str(facts.micros // 1000),
    "L": lambda facts: f"{facts.micros // _SECOND}.{facts.micros % _SECOND:06}",
    "p": lambda _: f"<{os.getpid()}>",
}
_TIMED: Final = frozenset("TDML")
_NUMBERS: Final = frozenset("BTDM")  # take %d as well
_NOTHING: Final = "-"
_OURS: Final = "nodecluster."  # variables that are written in small letters by whoever writes them


class LineFormat:
    """One format.

    Attributes:
        is_timed: whether it asks how long a request took.
        has_fields: whether it asks for fields of the request by their names.
    """

    def __init__(self, tokens: Sequence[tuple[str, str | None]]) -> None:
        self._pieces: list[str] = []
        self._variables: list[tuple[int, str, str | None]] = []
        self._atoms: list[tuple[int, _Atom]] = []
        self.is_timed = self.has_fields = False
        for text, name in tokens:
            if name is None:
                self._pieces.append(text)
            else:
                self._add(name)
        places = {place for place, _, _ in self._variables} | {place for place, _ in self._atoms}
        words = "".join(piece for place, piece in enumerate(self._pieces) if place not in places)
        self._places = sorted(places)
        self._quotes = words.count('"')
        self._unnamed = [key for key in _REQUEST_LINE if key not in [name for _, name, _ in self._variables]]

    def _add(self, name: str) -> None:
        field = _FIELD.fullmatch(name.lower()) if name.startswith("{") else None
        self.is_timed = self.is_timed or name in _TIMED
        if name == "r":
            for key, text in zip(_REQUEST_LINE, (" ", " ", ""), strict=True):
                self._add_variable(key, None)
                self._pieces.append(text)
        elif name in _VARIABLES:
            self._add_variable(*_VARIABLES[name])
        elif name in _ATOMS:
            self._add_atom(_ATOMS[name])
        elif field is not None:
            self.has_fields = self.has_fields or field[2] == "i"
            self._add_atom(_field(field[1], field[2]))
        else:
            self._pieces.append(_NOTHING)

    def _add_variable(self, key: str, default: str | None) -> None:
        self._variables.append((len(self._pieces), key, default))
        self._pieces.append("")

    def _add_atom(self, atom: _Atom) -> None:
        self._atoms.append((len(self._pieces), atom))
        self._pieces.append("")

    def compose(self, facts: Facts) -> str:
        """Return the line, without its end.

        Raises:
            Exception: gunicorn would say, or raise, something else; of whatever kind.
        """
        environ = facts.environ
        for key in self._unnamed:
            environ[key]
        pieces: list[Any] = self._pieces.copy()
        for place, key, default in self._variables:
            pieces[place] = environ.get(key, default)
        for place, atom in self._atoms:
            pieces[place] = atom(facts)
        line = "".join(pieces)
        if line.isprintable() and line.count('"') == self._quotes:
            return line
        return self._escaped(pieces)

    def _escaped(self, pieces: list[str]) -> str:
        for place in self._places:
            pieces[place] = one_line(pieces[place].replace('"', '\\"'))
        return "".join(pieces)


def compile_format(text: str) -> LineFormat | None:
    """Compile gunicorn's ``access_log_format``; ``None``: gunicorn has to write these lines."""
    if "%" in _TOKEN.sub("", text):
        return None
    tokens: list[tuple[str, str | None]] = []
    end = 0
    for found in _TOKEN.finditer(text):
        name, conversion = found.groups()
        if conversion == "d" and name not in _NUMBERS:
            return None
        tokens += [(text[end : found.start()], None), ("%", None) if name is None else ("", name)]
        end = found.end()
    return LineFormat([*tokens, (text[end:], None)])


def _field(name: str, kind: str) -> _Atom:
    """The value of the last field, or variable, of this name; gunicorn compares names in small letters."""
    if kind == "e" and name.startswith(_OURS):
        return lambda facts: facts.environ.get(name, _NOTHING)

    def atom(facts: Facts) -> Any:  # noqa: ANN401 - an environ holds anything
        value: Any = _NOTHING
        for key, one in _fields_of(facts, kind):
            if key.lower() == name:
                value = one
        return value

    return atom


def _fields_of(facts: Facts, kind: str) -> Iterable[tuple[str, Any]]:
    if kind == "i":
        return facts.fields
    return facts.headers if kind == "o" else facts.environ.items()
