"""SQL texts by name. A file holds `-- name: something` before each statement; the comment under it says why."""

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType
from typing import Final

_NAME: Final = re.compile(r"^--\s*name:\s*(\S+)\s*$", re.MULTILINE)
_IDENTIFIER: Final = re.compile(r"[a-z][a-z0-9_]*")


def load_queries(package: str, *names: str) -> Mapping[str, str]:
    """Read the statements of files in `package`, by name.

    Raises ValueError for a file that is not of this form, and for a name that stands in two of them.
    """
    queries: dict[str, str] = {}
    for file in names:
        found = parse_queries(files(package).joinpath(file).read_text(encoding="utf-8"), file)
        if twice := sorted(queries.keys() & found.keys()):
            raise ValueError(f"{file}: {twice[0]} stands in another file of {package} too")
        queries |= found
    return MappingProxyType(queries)


def parse_queries(text: str, origin: str) -> Mapping[str, str]:
    """Split a text into named statements, each without its closing semicolon."""
    before, *rest = _NAME.split(text)
    if _statement(before):
        raise ValueError(f"{origin}: a statement stands before the first `-- name:`")
    queries: dict[str, str] = {}
    for name, body in zip(rest[::2], rest[1::2], strict=True):
        if _IDENTIFIER.fullmatch(name) is None:
            raise ValueError(f"{origin}: {name} is not a name of lower-case letters, digits and underscores")
        if name in queries:
            raise ValueError(f"{origin}: {name} stands twice")
        if not _statement(body):
            raise ValueError(f"{origin}: {name} has no statement")
        queries[name] = body.strip().removesuffix(";").rstrip()
    return MappingProxyType(queries)


def _statement(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--")).strip()
