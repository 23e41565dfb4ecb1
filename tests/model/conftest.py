from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from model_databases import Databases

# Before anything imports it, or the model's assertions do not tell what they compared.
pytest.register_assert_rewrite("stem.testing.contracts")


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Databases:
    from model_databases import Databases

    return Databases(tmp_path_factory.mktemp("model"))
