"""What a user does in each real application: log in, upload, read a stream; named as its file in tests/real/apps."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

__all__ = ["IN_MEMORY", "JOURNEYS", "Visit"]

PNG: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFklEQVR4nGP8z8DAwMDAxMDAwMDAAAANHQEDasKb6QAAAABJRU5ErkJggg=="
)
DATA: Final = b"0123456789abcdef" * 8192

Visit = Callable[..., Any]
"""Makes a request, as ``requests.Session.request`` does: a method and a path, then its arguments."""

Journey = Callable[[Visit, int], None]

IN_MEMORY: Final = frozenset({"kinto", "moto"})
"""What keeps its data in its process: one worker serves it."""


def _token(answer: Any, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]*value="([^"]+)"', answer.text)
    assert found, f"no {name} in {answer.url}: {answer.status_code}"
    return found[1]


def bepasty(visit: Visit, turn: int) -> None:
    visit("POST", "/+login", data={"token": "secret"})
    uploaded = visit(
        "POST",
        "/apis/rest/items",
        data=base64.b64encode(DATA),
        headers={
            "Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}",
            "Content-Type": "text/plain",
            "Content-Filename": f"{turn}.txt",
            "Content-Length": str(len(base64.b64encode(DATA))),
        },
        auth=("x", "secret"),
    )
    item = uploaded.headers.get("Content-Location", "")
    visit("GET", f"{item}/download", auth=("x", "secret"))
    visit("GET", "/+list")


def dash(visit: Visit, turn: int) -> None:
    visit("GET", "/")
    visit("GET", "/_dash-layout")
    visit("GET", "/_dash-dependencies")
    contents = "data:text/plain;base64," + base64.b64encode(DATA).decode()
    visit(
        "POST",
        "/_dash-update-component",
        json={
            "output": "seen.children",
            "outputs": {"id": "seen", "property": "children"},
            "inputs": [{"id": "upload", "property": "contents", "value": contents}],
            "changedPropIds": ["upload.contents"],
        },
    )
    visit("GET", "/stream", stream=True)


def django(visit: Visit, turn: int) -> None:
    visit("GET", "/admin/")
    form = visit("GET", "/admin/login/?next=/admin/")
    token = _token(form, "csrfmiddlewaretoken")
    visit(
        "POST",
        "/admin/login/?next=/admin/",
        data={"username": "admin", "password": "wrong", "csrfmiddlewaretoken": token},
    )
    visit(
        "POST",
        "/admin/login/?next=/admin/",
        data={"username": "admin", "password": "secret", "csrfmiddlewaretoken": token},
    )
    form = visit("GET", "/admin/auth/group/add/")
    data = {"name": f"group {turn}", "csrfmiddlewaretoken": _token(form, "csrfmiddlewaretoken")}
    visit("POST", "/admin/auth/group/add/", data=data)
    visit("GET", "/api/groups/?format=json")
    visit("POST", "/api/groups/", json={"name": f"other {turn}"}, auth=("admin", "secret"))
    visit("POST", "/upload/", files={"file": (f"upload{turn}.bin", DATA)}, auth=("admin", "secret"))
    visit("GET", "/upload/", auth=("admin", "secret"), stream=True)
    visit("GET", "/stream/", stream=True)


def fab(visit: Visit, turn: int) -> None:
    visit("GET", "/")
    form = visit("GET", "/login/")
    data = {"username": "admin", "password": "secret", "csrf_token": _token(form, "csrf_token")}
    visit("POST", "/login/", data={**data, "password": "wrong"})
    form = visit("GET", "/login/")
    visit("POST", "/login/", data={**data, "csrf_token": _token(form, "csrf_token")})
    visit("GET", "/users/list/")
    answer = visit("POST", "/api/v1/security/login", json={"username": "admin", "password": "secret", "provider": "db"})
    bearer = {"Authorization": f"Bearer {answer.json().get('access_token')}"}
    visit("GET", "/api/v1/_openapi", headers=bearer)


def flask_admin(visit: Visit, turn: int) -> None:
    visit("GET", "/admin/")
    visit("GET", "/admin/files/upload/")
    visit("POST", "/admin/files/upload/", files={"upload": (f"{turn}.bin", DATA)})
    visit("GET", "/admin/files/")
    visit("GET", f"/admin/files/download/{turn}.bin", stream=True)


def httpbin(visit: Visit, turn: int) -> None:
    visit("GET", f"/get?turn={turn}")
    visit("GET", "/basic-auth/ann/secret", auth=("ann", "secret"))
    visit("GET", "/basic-auth/ann/secret", auth=("ann", "wrong"))
    visit("GET", "/cookies/set?a=1")
    visit("POST", "/post", files={"file": ("a.txt", DATA)})
    visit("PUT", "/put", data=iter([DATA[:5000], DATA[5000:]]))
    visit("GET", "/stream/5", stream=True)
    visit("GET", "/drip?duration=0.1&numbytes=5&code=200", stream=True)
    visit("GET", "/gzip")
    visit("GET", "/range/2000", headers={"Range": "bytes=10-99"})
    visit("GET", "/status/418")
    visit("HEAD", "/html")


def ihatemoney(visit: Visit, turn: int) -> None:
    form = visit("GET", "/create")
    data = {"name": f"trip {turn}", "id": f"trip{turn}", "password": "secret", "contact_email": "a@example.test"}
    visit("POST", "/create", data={**data, "default_currency": "XXX", "csrf_token": _token(form, "csrf_token")})
    auth = (f"trip{turn}", "secret")
    visit("POST", f"/api/projects/trip{turn}/members", data={"name": "Ann"}, auth=auth)
    visit("GET", f"/api/projects/trip{turn}", auth=auth)
    visit("GET", f"/api/projects/trip{turn}", auth=(f"trip{turn}", "wrong"))
    visit("GET", f"/trip{turn}/")


def isso(visit: Visit, turn: int) -> None:
    for number in range(3):
        visit("POST", f"/new?uri=%2Fpage{turn}", json={"text": f"comment {number}", "title": "A page"})
    visit("GET", f"/?uri=%2Fpage{turn}")
    visit("POST", "/count", json=[f"/page{turn}"])
    visit("GET", "/js/embed.min.js", stream=True)


def kinto(visit: Visit, turn: int) -> None:
    auth = ("ann", "secret")
    visit("GET", "/v1/")
    visit("PUT", "/v1/accounts/ann", json={"data": {"password": "secret"}}, auth=auth)
    for number in range(3):
        path = f"/v1/buckets/default/collections/tasks/records/{number:08d}-0000-4000-8000-000000000000"
        visit("PUT", path, json={"data": {"title": f"task {number}", "text": "x" * 20000}}, auth=auth)
    visit("GET", "/v1/buckets/default/collections/tasks/records?_sort=id", auth=auth)
    visit("GET", "/v1/buckets/default/collections/tasks/records", auth=("ann", "wrong"))


def klaus(visit: Visit, turn: int) -> None:
    visit("GET", "/")
    visit("GET", "/repo/")
    visit("GET", "/repo/blob/master/readme.md")
    visit("GET", "/repo/info/refs?service=git-upload-pack", stream=True)
    visit("GET", "/repo/tarball/master/", stream=True)


def moto(visit: Visit, turn: int) -> None:
    headers = {
        "Authorization": "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request",
        "Host": "s3.amazonaws.com",
    }
    visit("PUT", f"/bucket{turn}", headers=headers)
    visit("PUT", f"/bucket{turn}/key", data=DATA, headers=headers)
    visit("GET", f"/bucket{turn}/key", headers=headers, stream=True)
    visit("GET", f"/bucket{turn}", headers=headers)


def pypiserver(visit: Visit, turn: int) -> None:
    form = {":action": "file_upload", "name": "real", "version": f"{turn}.0"}
    visit("POST", "/", data=form, files={"content": (f"real-{turn}.0.tar.gz", DATA)})
    visit("GET", "/simple/real/")
    visit("GET", f"/packages/real-{turn}.0.tar.gz", stream=True)


def radicale(visit: Visit, turn: int) -> None:
    auth = ("ann", "secret")
    visit("PROPFIND", "/", auth=("ann", "wrong"))
    visit("PROPFIND", "/ann/", auth=auth, headers={"Depth": "1"})
    visit("MKCALENDAR", f"/ann/calendar{turn}/", auth=auth)
    event = (
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:real\r\nBEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\n"
        "DTSTART:20260101T000000Z\r\nSUMMARY:Coffee\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    visit("PUT", f"/ann/calendar{turn}/1.ics", data=event, auth=auth, headers={"Content-Type": "text/calendar"})
    visit("GET", f"/ann/calendar{turn}/", auth=auth, stream=True)


def wagtail(visit: Visit, turn: int) -> None:
    visit("GET", "/")
    form = visit("GET", "/admin/login/")
    data = {"username": "admin", "password": "secret", "csrfmiddlewaretoken": _token(form, "csrfmiddlewaretoken")}
    visit("POST", "/admin/login/", data=data)
    form = visit("GET", "/admin/images/add/")
    data = {"title": f"image {turn}", "csrfmiddlewaretoken": _token(form, "csrfmiddlewaretoken"), "collection": "1"}
    visit("POST", "/admin/images/add/", data=data, files={"file": (f"image{turn}.png", PNG, "image/png")})
    form = visit("GET", "/admin/documents/add/")
    data = {"title": f"document {turn}", "csrfmiddlewaretoken": _token(form, "csrfmiddlewaretoken"), "collection": "1"}
    visit("POST", "/admin/documents/add/", data=data, files={"file": (f"{turn}.txt", DATA)})
    visit("GET", f"/documents/{turn}/{turn}.txt", stream=True)
    visit("GET", "/admin/")


def wsgidav(visit: Visit, turn: int) -> None:
    auth = ("ann", "secret")
    visit("PROPFIND", "/", auth=("ann", "wrong"))
    visit("MKCOL", f"/folder{turn}", auth=auth)
    visit("PUT", f"/folder{turn}/a.bin", data=DATA, auth=auth)
    visit("PUT", f"/folder{turn}/b.bin", data=iter([DATA[:10], DATA[10:]]), auth=auth)
    visit("GET", f"/folder{turn}/a.bin", auth=auth, stream=True)
    visit("PROPFIND", f"/folder{turn}/", auth=auth, headers={"Depth": "1"})


def _journeys() -> Iterator[tuple[str, Journey]]:
    for name, value in list(globals().items()):
        if callable(value) and getattr(value, "__module__", "") == __name__ and not name.startswith("_"):
            yield name, value


JOURNEYS: Final[dict[str, Journey]] = dict(_journeys())
