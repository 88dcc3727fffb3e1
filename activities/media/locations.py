"""Reads a URL strictly: what two parsers could read differently is refused, not repaired."""

import re
from dataclasses import dataclass
from urllib.parse import quote, urljoin

from activities.media.errors import UrlRefused

_PORTS = {"https": 443, "http": 80}
_PORT_MAX = 65535
_URL_LENGTH_MAX = 4096
_URL = re.compile(r"(?P<scheme>[a-zA-Z]+)://(?P<authority>[^/?#]*)(?P<target>[^#]*)(#.*)?")
_AUTHORITY = re.compile(
    r"(?P<host>[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?"
)
_UNCLEAR = re.compile(r"[\x00-\x20\x7f\\]")
_NOT_PLAIN = "the URL is not a plain https address"
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))


@dataclass(frozen=True, slots=True)
class Location:
    """A URL in its parts: lower-case scheme and host, explicit port, path with query."""

    scheme: str
    host: str
    """An IPv6 address stands without its brackets."""
    port: int
    target: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port."""
        return self.scheme, self.host, self.port

    @property
    def host_header(self) -> str:
        """The host as the request names it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def joined(self, reference: str) -> "Location":
        """Where a redirect to `reference` leads.

        Raises:
            UrlRefused: That is no URL of ours.
        """
        if _UNCLEAR.search(reference):
            # `urljoin` drops some of these without a word.
            raise UrlRefused(_NOT_PLAIN)
        try:
            url = urljoin(f"{self.scheme}://{self.host_header}{self.target}", reference)
        except ValueError:
            # A bracket without its other half.
            raise UrlRefused(_NOT_PLAIN) from None
        return parse_location(url)


def parse_location(url: str) -> Location:
    """The URL in its parts.

    Raises:
        UrlRefused: It is not http(s), names a user, or is written in an unusual way. The message
            never repeats it, since it may be signed.
    """
    match = _URL.fullmatch(url)
    if not match or len(url) > _URL_LENGTH_MAX or _UNCLEAR.search(url):
        raise UrlRefused(_NOT_PLAIN)
    scheme, authority = match["scheme"].lower(), match["authority"]
    if scheme not in _PORTS:
        raise UrlRefused(f"the URL begins with {scheme[:16]}://; allowed: https://")
    if "@" in authority:
        raise UrlRefused("the URL holds a user name or password; allowed: a host name only")
    if not authority.isascii():
        raise UrlRefused("the URL's host has letters beyond ASCII; allowed: its xn-- form")
    parts = _AUTHORITY.fullmatch(authority)
    port = int(parts["port"] or _PORTS[scheme]) if parts else 0
    if not parts or not 0 < port <= _PORT_MAX:
        raise UrlRefused("the URL's host or port is not written plainly")
    target = quote(match["target"], safe=_PRINTABLE, errors="replace")
    if not target.startswith("/"):
        target = f"/{target}"
    return Location(scheme, parts["host"].lower().strip("[]"), port, target)
