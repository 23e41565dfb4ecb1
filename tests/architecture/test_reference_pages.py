from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def rendered_pages() -> dict[Path, str]:
    spec = importlib.util.spec_from_file_location("render", DOCS / ".site" / "render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pages: dict[Path, str] = module.pages()
    return pages


@pytest.mark.parametrize(
    ("path", "text"), rendered_pages().items(), ids=lambda each: getattr(each, "stem", "")
)
def test_a_page_that_is_made_from_code_is_current(path: Path, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text, "run `python docs/.site/render.py`"
