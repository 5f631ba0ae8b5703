"""What the tests on real servers share."""

from __future__ import annotations

import shutil

import pytest
from raw_http import Certificate, make_certificate


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("the certificate is made by openssl, which is not installed")
    return make_certificate(tmp_path_factory.mktemp("tls"))
