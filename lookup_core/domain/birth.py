"""Dates of birth. Refuses days that do not exist, lie ahead, or are further back than any life.

Being of age is not judged here: a minor may be excluded, and the age check is an answer of its own.
"""

import re
from datetime import date
from typing import Final

from lookup_core.domain.errors import SENT, InvalidIdentity

OLDEST_YEARS: Final = 120
_ISO_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def parse_date_of_birth(text: str, today: date, field: str = "date_of_birth") -> date:
    """Read YYYY-MM-DD; `today` is the day in Kenya. Raises InvalidIdentity."""
    if _ISO_DAY.fullmatch(text) is None:
        raise _refused(field, text, "is not a date. Write it as year, month and day, like 1990-12-31")
    try:
        born = date.fromisoformat(text)
    except ValueError:
        raise _refused(field, text, "is a day that does not exist") from None
    if born > today:
        raise _refused(field, text, "lies in the future")
    if age_on(today, born) > OLDEST_YEARS:
        raise _refused(field, text, f"is more than {OLDEST_YEARS} years ago")
    return born


def age_on(day: date, born: date) -> int:
    """Give the age in completed years; someone born on 29 February turns on 1 March of a common year."""
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


def _refused(field: str, sent: str, why: str) -> InvalidIdentity:
    return InvalidIdentity(field, f"The date of birth {SENT} {why}. Nothing was saved.", sent=sent)
