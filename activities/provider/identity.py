"""Which provider account a generation is submitted to: frozen in its terms, checked at each use."""

import ipaddress
from typing import NamedTuple
from urllib.parse import urlsplit


class ProviderChanged(Exception):
    """The worker's provider is not the one that the generation was submitted to.

    Start a worker with the base URL and the key of the terms; polling another place would find
    nothing.
    """


def provider_name(base_url: str) -> str:
    """`sandbox` at a loopback address or the compose service of that name, else `wavespeed`."""
    host = urlsplit(base_url).hostname or ""
    if host in {"localhost", "sandbox"}:
        return "sandbox"
    try:
        return "sandbox" if ipaddress.ip_address(host).is_loopback else "wavespeed"
    except ValueError:
        return "wavespeed"


class ProviderIdentity(NamedTuple):
    """Address and key, without the key."""

    base_url: str
    key_fingerprint: str

    @property
    def name(self) -> str:
        """As `provider_name`."""
        return provider_name(self.base_url)

    def require(self, base_url: str, key_fingerprint: str) -> None:
        """Raise ProviderChanged unless the terms name this address and key."""
        if base_url != self.base_url:
            raise ProviderChanged(
                f"The job is at {base_url}, this worker's provider is {self.base_url}."
            )
        if key_fingerprint != self.key_fingerprint:
            raise ProviderChanged("The job was submitted with another key than this worker's.")
