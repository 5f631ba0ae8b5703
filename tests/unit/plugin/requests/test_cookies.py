"""Which cookies go with a request: those whose path it has, the nearest first."""

from __future__ import annotations

from http.client import HTTPMessage

from pytest_cluster.requests.cookies import Cookies

URL = "http://127.0.0.1:8000"


def answer(cookies: Cookies, *lines: str, url: str = f"{URL}/") -> None:
    headers = HTTPMessage()
    for line in lines:
        headers["Set-Cookie"] = line
    cookies.taken(url, headers)


def test_cookies_of_one_name_are_all_sent_the_nearest_first() -> None:
    cookies = Cookies()
    answer(cookies, "sid=root; Path=/", "sid=nearer; Path=/shop", "sid=another; Path=/blog")

    assert cookies.header(f"{URL}/shop/cart") == "sid=nearer; sid=root"
    assert cookies.header(f"{URL}/shopping") == "sid=root"
    assert cookies.header(f"{URL}/shop", {"sid": "own", "a": "b"}) == "sid=own; a=b"


def test_cookie_of_a_test_goes_where_its_path_says() -> None:
    cookies = Cookies()
    cookies.set("role", "admin", path="/admin")
    cookies["theme"] = "dark"

    assert cookies.header(f"{URL}/") == "theme=dark"
    assert cookies.header("http://shop.test/admin/users") == "role=admin; theme=dark"
