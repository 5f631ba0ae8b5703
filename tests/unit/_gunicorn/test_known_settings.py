"""Names that are no settings of the gunicorn that runs."""

from __future__ import annotations

import pytest
from gunicorn import __version__
from gunicorn.config import KNOWN_SETTINGS

from nodecluster_compat._gunicorn.known_settings import check_settings
from nodecluster_compat.errors import SettingsError


def test_every_setting_of_gunicorns_is_known() -> None:
    check_settings(setting.name for setting in KNOWN_SETTINGS)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("timout", f"gunicorn {__version__} has no setting 'timout' (did you mean 'timeout'?)"),
        ("max_request", f"gunicorn {__version__} has no setting 'max_request' (did you mean 'max_requests'"),
        ("max_surges", f"gunicorn {__version__} has no setting 'max_surges' (did you mean 'max_surge'?)"),
        ("colour", f"gunicorn {__version__} has no setting 'colour', nor one like it"),
    ],
)
def test_a_slip_is_told_with_what_is_near(name: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_settings(["timeout", name])
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    "name", ["boot_timeout", "max_surge", "status_file", "restart_delay", "max_worker_age", "silent"]
)
def test_a_setting_of_the_primary_has_a_place_of_its_own(name: str) -> None:
    with pytest.raises(SettingsError, match=rf"cluster\.setup_primary\({name}=…\)"):
        check_settings([name])


def test_all_slips_are_in_one_sentence() -> None:
    with pytest.raises(SettingsError, match=r"'timout' .*; gunicorn .* 'colour', nor one like it"):
        check_settings(["timout", "workers", "colour"])
