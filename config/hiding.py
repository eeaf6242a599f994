"""What of the settings is not shown: passwords and whatever else opens a door, wherever an operator may have written it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

HIDDEN = "***"
# Names of headers, options and parameters whose value proves who someone is.
_SECRET = re.compile(
    r"(?i)passw|pwd|secret|token|key|auth|cookie|credential|signature|session|bearer|(?:^|[-_.])(?:sig|code|pin|sas)(?:$|[-_.])"
)
_OPTION = re.compile(r"(-{1,2}[\w-]+)=(.*)", re.DOTALL)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^\s\"'<>]+")


def is_secret_name(name: str) -> bool:
    return _SECRET.search(name) is not None


def hide_url(url: str) -> str:
    """A URL without its password, and without the values of its query: what applications put there are their own tokens as often as not."""
    try:
        parts = urlsplit(url)
        place = parts.netloc
        if parts.password is not None:
            place = f"{parts.username}:{HIDDEN}@{parts.netloc.rpartition('@')[2]}"
        if place == parts.netloc and not parts.query and not parts.fragment:
            return url
    except ValueError:
        return re.sub(r"://[^/@]*@", f"://{HIDDEN}@", url.partition("?")[0])
    pairs = [pair.partition("=") for pair in parts.query.split("&")]
    query = "&".join(f"{name}={HIDDEN}" if value else f"{name}{given}" for name, given, value in pairs)
    return urlunsplit(parts._replace(netloc=place, query=query, fragment=HIDDEN if parts.fragment else ""))


def hide_urls(text: str) -> str:
    """A text with every URL in it hidden."""
    return _URL.sub(lambda found: hide_url(found[0]), text)


def hide_headers(headers: dict[str, str]) -> dict[str, str]:
    return {name: HIDDEN if is_secret_name(name) else hide_urls(value) for name, value in headers.items()}


def hide_arguments(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """A command line: values of options that are named like a secret, `--key=X` and `--key X`, and URLs."""
    shown: list[str] = []
    secret_follows = False
    for argument in arguments:
        option = _OPTION.fullmatch(argument)
        if secret_follows and not argument.startswith("-"):
            shown.append(HIDDEN)
        elif option is not None and is_secret_name(option[1]):
            shown.append(f"{option[1]}={HIDDEN}")
        else:
            shown.append(hide_urls(argument))
        secret_follows = option is None and argument.startswith("-") and is_secret_name(argument)
    return tuple(shown)
