"""The files of the live page, which ask nothing of any other host, and the headers that hold them to it."""

from functools import cache
from pathlib import Path

from seldon.http import Response

FOLDER = Path(__file__).parent
EVENTS = "/events"  # the stream that the page listens to, see `seldon.live`
FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.svg": ("page.svg", "image/svg+xml"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page_charts.js": ("page_charts.js", "text/javascript; charset=utf-8"),
    "/page_form.js": ("page_form.js", "text/javascript; charset=utf-8"),
}
# Names of features and labels come from whoever sends them: should one ever get into the page as markup,
# nothing in it would run, and nothing could be fetched from or sent to another host.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = (
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-cache"),
)
STREAM_HEADERS = (("cache-control", "no-store"), ("x-accel-buffering", "no"))  # proxies pass it on at once


@cache
def page_file(path: str) -> Response:
    """The file of the page at `path`, one of `FILES`."""
    name, kind = FILES[path]
    return Response((FOLDER / name).read_bytes(), content_type=kind, headers=HEADERS)
