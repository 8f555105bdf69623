"""What the package promises to its users: one list, every name there, nothing else by accident."""

import importlib
import pkgutil

import pytest

import rtspkit

MODULES = [
    name
    for _, name, is_package in pkgutil.iter_modules(rtspkit.__path__)
    if not name.startswith("_") and not is_package
]


def test_every_public_name_exists() -> None:
    assert len(set(rtspkit.__all__)) == len(rtspkit.__all__)
    for name in rtspkit.__all__:
        assert hasattr(rtspkit, name), name


@pytest.mark.parametrize("name", MODULES)
def test_modules_list_their_public_names(name: str) -> None:
    module = importlib.import_module(f"rtspkit.{name}")
    assert module.__doc__
    for public in module.__all__:
        assert hasattr(module, public), public


@pytest.mark.parametrize("name", rtspkit.__all__)
def test_public_names_are_documented(name: str) -> None:
    thing = getattr(rtspkit, name)
    if callable(thing) and thing.__module__.startswith("rtspkit"):
        assert thing.__doc__, name


def test_a_missing_extension_says_how_to_build(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "rtspkit._rtp", None)
    monkeypatch.delitem(sys.modules, "rtspkit.rtp", raising=False)
    saved = {
        name: sys.modules.pop(name) for name in list(sys.modules) if name == "rtspkit" or name.startswith("rtspkit.")
    }
    sys.modules["rtspkit._rtp"] = None  # type: ignore[assignment]
    try:
        with pytest.raises(ImportError, match="pip install"):
            importlib.import_module("rtspkit")
    finally:
        for name in [name for name in sys.modules if name == "rtspkit" or name.startswith("rtspkit.")]:
            del sys.modules[name]
        sys.modules.update(saved)
