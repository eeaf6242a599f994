"""Voices and languages of a `<Say>` by the names that everybody uses, mapped to those that there are here."""

from __future__ import annotations

MAN, WOMAN = "man", "woman"
VOICES = (MAN, WOMAN)
LANGUAGES = (
    "en", "en-gb", "bf", "bp", "ca", "cf", "cs", "dan", "de", "el", "es", "fi", "fr", "it", "nl", "no", "pl", "pt", "ru", "ar", "sv", "tr",
)  # fmt: skip
# What everybody else calls them
_ALIASES = {"da": "dan", "nb": "no", "nn": "no", "pt-br": "bp", "fr-ca": "cf", "fr-be": "bf"}
# Others that the built-in engine speaks, under their tags (media.prompts.speech has the same list).
_MORE = frozenset((
    "bg", "en-us", "es-mx", "es-us", "et", "fa", "fr-ch", "ga", "he", "hi", "hr", "hu", "id", "is", "ko", "lt", "lv", "ro", "sk", "sl",
    "sr", "uk", "vi", "zh",
))  # fmt: skip

# The better known voices of other platforms, by their last name: `Polly.Joanna-Neural` is Joanna.
_WOMEN = frozenset((
    "alice", "female", "joanna", "salli", "kimberly", "kendra", "ivy", "amy", "emma", "nicole", "olivia", "raveena", "aditi", "ruth",
    "danielle", "niamh", "aria", "ayanda", "celine", "lea", "isabelle", "chantal", "gabrielle", "marlene", "vicki", "hannah", "carla",
    "bianca", "conchita", "lucia", "mia", "penelope", "lupe", "ines", "camila", "vitoria", "lotte", "laura", "liv", "ida", "ewa", "maja",
    "ola", "carmen", "astrid", "elin", "tatyana", "filiz", "burcu", "gwyneth", "naja", "sofie", "mizuki", "seoyeon", "zhiyu", "zeina",
    "hala", "suvi", "arlet", "dora", "lisa",
))  # fmt: skip
_MEN = frozenset((
    "male", "matthew", "joey", "justin", "kevin", "brian", "arthur", "russell", "geraint", "gregory", "stephen", "mathieu", "remi",
    "liam", "hans", "daniel", "giorgio", "adriano", "enrique", "sergio", "miguel", "pedro", "andres", "cristiano", "ricardo", "thiago",
    "ruben", "jacek", "jan", "maxim", "mads", "takumi", "karl",
))  # fmt: skip


def find_voice(name: str) -> str | None:
    """man or woman; None for a name that nobody knows."""
    plain = name.lower()
    if plain in VOICES:
        return plain
    last = plain.rpartition(".")[2].partition("-")[0]
    return WOMAN if last in _WOMEN else MAN if last in _MEN else None


def find_language(name: str) -> str | None:
    """One of the documented codes, or a tag that is spoken here: `da`, `pt-BR`, `de_AT` and `hu-HU` are clear. None: it is not known."""
    asked = name.lower().replace("_", "-")
    for code in (asked, asked.partition("-")[0]):
        if code in LANGUAGES or code in _ALIASES:
            return _ALIASES.get(code, code)
        if code in _MORE:
            return "en" if code == "en-us" else code
    return None
