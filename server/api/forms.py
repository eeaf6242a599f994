"""The parameters of orders, as REST's clients send them: form fields, lists as repeated keys. Validated by pydantic."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from multidict import MultiMapping
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from server.api.problems import BAD_PARAMETER, BAD_TO, BAD_URL, RestProblem

LONGEST_DOCUMENT = 65536


def _url(value: object) -> object:
    text = str(value).strip()
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or re.search(r"[\x00-\x20\x7f]", text):
        raise ValueError("must be a URL that begins with http:// or https://")
    return text


def _method(value: object) -> object:
    return str(value).strip().upper()


def _events(value: object) -> object:
    """Repeated keys, or one value with commas or blanks."""
    values = value if isinstance(value, list) else [value]
    return [word.lower() for text in values for word in re.split(r"[,\s]+", str(text)) if word]


Url = Annotated[str, BeforeValidator(_url)]
Method = Annotated[Literal["GET", "POST"], BeforeValidator(_method)]
Event = Literal["initiated", "ringing", "answered", "completed"]
Events = Annotated[list[Event], BeforeValidator(_events)]
Text = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True, str_strip_whitespace=True)


class _Document(Form):
    """What runs on a call: a URL, or the document itself."""

    url: Url | None = Field(default=None, alias="Url")
    document: str | None = Field(default=None, alias="Twiml", max_length=LONGEST_DOCUMENT)
    method: Method = Field(default="POST", alias="Method")
    fallback_url: Url | None = Field(default=None, alias="FallbackUrl")
    fallback_method: Method = Field(default="POST", alias="FallbackMethod")
    status_callback: Url | None = Field(default=None, alias="StatusCallback")
    status_callback_method: Method = Field(default="POST", alias="StatusCallbackMethod")

    @model_validator(mode="before")
    @classmethod
    def _rcml(cls, data: Any) -> Any:
        """`Rcml` is Restcomm's word for `Twiml`."""
        if isinstance(data, Mapping) and "Rcml" in data:
            data = dict(data)
            text = data.pop("Rcml")
            if data.setdefault("Twiml", text) != text:
                raise ValueError("Rcml and Twiml are the same thing: send one of them")
        return data

    @model_validator(mode="after")
    def _one(self) -> _Document:
        if self.url is not None and self.document is not None:
            raise ValueError("Url and Twiml exclude each other: send one of them")
        return self


class CallForm(_Document):
    """A call that is to be made (behaviour.md 5.3)."""

    to: Text = Field(alias="To")
    caller: Text = Field(alias="From")
    timeout_s: int = Field(default=60, alias="Timeout", ge=1, le=600)
    limit_s: int = Field(default=14400, alias="TimeLimit", ge=1, le=86400)
    status_callback_events: Events = Field(default=["completed"], alias="StatusCallbackEvent")
    username: str | None = Field(default=None, alias="SipAuthUsername", max_length=256)
    password: str | None = Field(default=None, alias="SipAuthPassword", max_length=256, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _names(cls, data: Any) -> Any:
        """Restcomm's names of the credentials."""
        if isinstance(data, Mapping):
            data = dict(data)
            for name, other in (("Username", "SipAuthUsername"), ("Password", "SipAuthPassword")):
                if name in data:
                    data.setdefault(other, data.pop(name))
        return data

    @model_validator(mode="after")
    def _something_runs(self) -> CallForm:
        if self.url is None and self.document is None:
            raise ValueError("Url can not be null: say what runs when the call is answered, by Url or Twiml")
        return self


class ChangeForm(_Document):
    """What is to become of a live call (behaviour.md 5.4)."""

    status: Literal["canceled", "completed"] | None = Field(default=None, alias="Status")

    @model_validator(mode="after")
    def _one_change(self) -> ChangeForm:
        runs = self.url is not None or self.document is not None
        if runs and self.status is not None:
            raise ValueError("Status and Url exclude each other: send one of them")
        if not runs and self.status is None:
            raise ValueError("Nothing is to be changed: send Status, Url or Twiml")
        return self


F = TypeVar("F", bound=Form)
# By the names of the parameters; anything else is BAD_PARAMETER.
_CODES = {"To": BAD_TO, "Url": BAD_URL, "FallbackUrl": BAD_URL, "StatusCallback": BAD_URL}


def read_form(kind: type[F], fields: MultiMapping[Any]) -> F:
    """Raises RestProblem for the first thing that is wrong, with the parameter's name."""
    data: dict[str, object] = {}
    for name in fields:
        values = fields.getall(name)
        if any(not isinstance(value, str) for value in values):
            raise RestProblem(400, BAD_PARAMETER, f"{name} must be text and no file")
        data[name] = values[0] if len(values) == 1 else list(values)
    data = {name: value for name, value in data.items() if value != ""}
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise _problem(error) from None


def _problem(error: ValidationError) -> RestProblem:
    first = error.errors(include_url=False, include_context=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return RestProblem(400, _CODES.get(name, BAD_PARAMETER), f"{name} can not be null")
    if first["type"] == "extra_forbidden":
        return RestProblem(400, BAD_PARAMETER, f"{name} is not carried out by this server: leave it out")
    return RestProblem(400, _CODES.get(name, BAD_PARAMETER), f"{name}: {message}" if name else message)
