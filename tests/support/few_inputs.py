"""Let tests of properties make up fewer inputs, where each costs many times more: ``--hypothesis-profile=few``.

Load it with ``-p few_inputs``: a profile has to be there before the first ``conftest.py`` is.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("few", deadline=None, derandomize=True, max_examples=30)
