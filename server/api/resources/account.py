"""The one account of this server (rest.md: sub-accounts and keys are not in this release)."""

from __future__ import annotations

from server.api.rest import Answer, Asked


async def read(asked: Asked) -> Answer:
    """Without its token, which is shown nowhere but where it was made."""
    names = ("Calls", "Notifications", "Recordings")
    document: dict[str, object] = {
        "sid": asked.account_sid,
        "date_created": None,
        "date_updated": None,
        "auth_token": None,
        "friendly_name": "dialplane",
        "owner_account_sid": asked.account_sid,
        "status": "active",
        "type": "Full",
        "subresource_uris": {name.lower(): f"{asked.path}/{name}.json" for name in names},
        "uri": f"{asked.path}.json",
    }
    return Answer("Account", document)
