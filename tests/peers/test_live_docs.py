"""docs/live.md shows every key of a settings file with its default, and the settings file has every key that it shows."""

from __future__ import annotations

import re
import tomllib

import msgspec
import pytest
from conftest import ROOT

from ipsecscope.peers.settings_file import Section, SettingsFile

TEXT = (ROOT / "docs" / "live.md").read_text()


def shown() -> dict[str, object]:
    (block,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    return tomllib.loads(block)


def keys(section: Section) -> set[str]:
    found = set()
    for name in section.__struct_fields__:
        value = getattr(section, name)
        found |= {f"{name}.{key}" for key in keys(value)} if isinstance(value, Section) else {name}
    return found


def test_page_shows_every_key_of_a_settings_file_and_no_other() -> None:
    values = shown()
    found = {name for name, value in values.items() if not isinstance(value, dict)}
    found |= {f"{name}.{key}" for name, value in values.items() if isinstance(value, dict) for key in value}
    elsewhere = {key for key in keys(SettingsFile()) if key.endswith(("_file", "_env"))}
    assert found == keys(SettingsFile()) - elsewhere
    assert all(f"`{key}`" in TEXT or key.rpartition(".")[2] in TEXT for key in elsewhere)


@pytest.mark.parametrize("name", ["ike", "child", "patience", "limits"])
def test_page_has_the_defaults(name: str) -> None:
    default = getattr(SettingsFile(), name)
    told = msgspec.convert(shown()[name], type(default))
    for key in default.__struct_fields__:
        if key not in {"proposals", "esp"}:  # examples; the defaults follow from the version
            assert getattr(told, key) == getattr(default, key), key
