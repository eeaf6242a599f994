"""The two faces of REST: Restcomm's, whose names this server took over, and Twilio's, for the clients that everybody has."""

from __future__ import annotations

import datetime
import email.utils
import enum

from rcml.parameters import API_VERSION

TWILIO_VERSION = "2010-04-01"


class Face(enum.Enum):
    """value: what stands before `/Accounts/...` in its URLs."""

    RESTCOMM = f"/restcomm/{API_VERSION}"
    TWILIO = f"/{TWILIO_VERSION}"

    @property
    def version(self) -> str:
        return API_VERSION if self is Face.RESTCOMM else TWILIO_VERSION

    def date(self, moment: datetime.datetime | None) -> str | None:
        """RFC 2822; Restcomm writes no leading zero of the day."""
        if moment is None:
            return None
        text = email.utils.format_datetime(moment.astimezone(datetime.UTC))
        return text.replace(", 0", ", ", 1) if self is Face.RESTCOMM else text

    def moment(self, moment: datetime.datetime | None) -> str | None:
        """Of start_time and end_time, which are ISO 8601 on Restcomm's face."""
        if moment is None or self is Face.TWILIO:
            return self.date(moment)
        return moment.astimezone(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
