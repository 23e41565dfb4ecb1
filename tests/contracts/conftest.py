from __future__ import annotations

import pytest

# Only then do the suites' assertions tell what they compared.
pytest.register_assert_rewrite("stem.testing.contracts")
