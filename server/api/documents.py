"""A resource as JSON, or as XML on Restcomm's face."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping

# Keys whose XML name is not their words in capitals one after the other.
_NAMES = {"InstanceId": "InstanceId", "ring_duration": "Ring_duration", "calls": "Calls"}
_PAGE = ("page", "num_pages", "page_size", "total", "start", "end", "uri", "first_page_uri", "previous_page_uri", "next_page_uri")
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_json(document: Mapping[str, object]) -> str:
    return json.dumps(document, ensure_ascii=False) + "\n"


def as_xml(name: str, document: Mapping[str, object]) -> str:
    """name: of the element, such as `Call`; a list (with its page) has the name of its rows and an `s`."""
    root = ElementTree.Element("RestcommResponse")
    rows = document.get(name.lower() + "s") if "page" in document else None
    if isinstance(rows, list):
        within = ElementTree.SubElement(root, name + "s")
        for key in (*_PAGE, "last_page_uri"):
            value = document.get(key)
            within.set(key.replace("_", ""), "" if value is None else str(value))
        for row in rows:
            _element(within, name, row)
    else:
        _element(root, name, document)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _element(parent: ElementTree.Element, name: str, value: object) -> None:
    element = ElementTree.SubElement(parent, name)
    match value:
        case Mapping():
            for key, inner in value.items():
                _element(element, _NAMES.get(key) or "".join(word[:1].upper() + word[1:] for word in key.split("_")), inner)
        case None:
            pass
        case bool():
            element.text = "true" if value else "false"
        case _:
            element.text = _FORBIDDEN.sub("\ufffd", str(value))
