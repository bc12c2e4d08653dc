"""What the tables of settings are made of: their base, and the types of several of them."""

from typing import Annotated

import msgspec
from msgspec import Meta

from recsys.checked import check_fields
from recsys.errors import ConfigError

MOST_SLOTS = 100  # in one list of a page
# Bounds beyond which no number makes sense: far from where sums of doubles overflow.
SMALL, LARGE = 1e-6, 1e6
LEAST_HOURS = 0.001  # 3.6 seconds
MOST_DAYS = 36_500  # a hundred years
MOST_HOURS = 24 * MOST_DAYS

Names = tuple[str, ...]
Slots = Annotated[int, Meta(ge=1, le=MOST_SLOTS)]
Positive = Annotated[float, Meta(ge=SMALL, le=LARGE)]
NotNegative = Annotated[float, Meta(ge=0, le=LARGE)]
Hours = Annotated[float, Meta(ge=LEAST_HOURS, le=MOST_HOURS, extra={"unit": "hours"})]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the tables of settings: checks each value against its annotation.

    Raises
    ------
    ConfigError
        If a value is of the wrong type, outside its range, NaN or infinite.
    """

    def __post_init__(self) -> None:
        """Check every value; whole numbers become floats where the setting is one."""
        try:
            check_fields(self)
        except ValueError as error:
            raise ConfigError(str(error)) from error
