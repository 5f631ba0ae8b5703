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


def test_server_replaces_and_deletes_what_a_test_has_set() -> None:
    cookies = Cookies()
    cookies["sid"] = "forged"
    cookies.set("sid", "elsewhere", path="/admin")
    answer(cookies, "sid=real; Path=/")
    assert cookies.header(f"{URL}/admin") == "sid=elsewhere; sid=real"

    cookies["sid"] = "forged again"
    assert cookies.header(f"{URL}/") == "sid=forged again"
    answer(cookies, "sid=; Path=/; Max-Age=0")
    assert cookies.header(f"{URL}/") == ""
    answer(cookies, "sid=; Path=/admin; Max-Age=0", "sid=never; Path=/; Max-Age=0")
    assert not cookies


def test_cookie_of_another_domain_stays() -> None:
    cookies = Cookies()
    cookies.set("sid", "one", domain="one.test")
    cookies.set("sid", "two", domain="two.test")
    answer(cookies, "sid=; Path=/; Max-Age=0", url="http://two.test/")

    assert cookies.header("http://one.test/") == "sid=one"
    assert cookies.header("http://two.test/") == ""
