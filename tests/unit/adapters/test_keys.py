"""Keys of libraries in the store: of any length, and no cache's among another's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodecluster_compat.adapters.keys import fitting, prefix_of
from nodecluster_compat.sharing.entries import MOST_KEY_BYTES

NAMES = st.text(alphabet=st.sampled_from("a:%3A#é"), max_size=12)


def test_prefix_is_readable() -> None:
    assert prefix_of("django", "") == "django::"
    assert prefix_of("cachelib", "session") == "cachelib:session:"
    assert prefix_of("cachelib", "a:b") == "cachelib:a%3Ab:"


@given(NAMES, NAMES)
def test_no_cache_clears_another(one: str, other: str) -> None:
    assert one == other or not prefix_of("x", one).startswith(prefix_of("x", other))


ANY = st.characters(categories=None)  # halves of surrogates among them


@given(st.text(max_size=300), st.text(ANY, max_size=1000))
def test_key_of_any_length_fits(name: str, key: str) -> None:
    """Long names and long keys become digests."""
    assert len(fitting(prefix_of("cachelib", name), key).encode("utf-8", "surrogatepass")) <= MOST_KEY_BYTES


def test_long_names_stay_apart() -> None:
    assert prefix_of("x", "a" * 100) != prefix_of("x", "a" * 101)
