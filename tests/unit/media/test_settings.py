"""The media package's knobs: defaults that work, mistakes refused with the known values named."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from media.settings import CODECS, MediaSettings, PromptSettings, SpeechSettings


@pytest.mark.parametrize("model", [MediaSettings, PromptSettings, SpeechSettings])
def test_every_knob_has_a_default_and_a_sentence(model: type[BaseModel]) -> None:
    model()
    for name, field in model.model_fields.items():
        assert field.description and field.description.endswith("."), name


def test_codec_names_are_spelled_as_in_sdp_and_once() -> None:
    assert MediaSettings(codecs=("pcma", "PCMU", "PCMA")).codecs == ("PCMA", "PCMU")
    assert MediaSettings().codecs == CODECS


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"codecs": ["speex"]}, "unknown codec speex; known are PCMU"),
        ({"codecs": ["G729", "telephone-event", "CN"]}, "at least one voice codec"),
        ({"codecs": ["telephone-event"]}, "at least one voice codec"),
        ({"codecs": []}, "at least one voice codec"),
        ({"advertised_address": "media.example.com"}, "advertised_address\n.*no IPv4 address"),
        ({"advertised_address_v6": "192.0.2.1"}, "advertised_address_v6\n.*no IPv6 address"),
        ({"bind_address": "10.0.0.300"}, "bind_address\n.*no IPv4 address"),
        ({"bind_address_v6": "fe80::1%eth0"}, "bind_address_v6\n.*no IPv6 address"),
        ({"port_min": 5001, "port_max": 5002}, "an even port and the odd one"),
        ({"port_min": 6000, "port_max": 5000}, "an even port and the odd one"),
        ({"ptime_ms": 25}, "ptime_ms"),
        ({"bind_adress": "127.0.0.1"}, "bind_adress"),
    ],
)
def test_mistakes_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        MediaSettings.model_validate(values)
