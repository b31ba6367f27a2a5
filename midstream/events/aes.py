"""AES-256-GCM, for `midstream.events.sealing`; needs the extra `midstream[crypto]`."""

from __future__ import annotations

import hmac
from functools import lru_cache

from midstream.errors import ConfigError

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError as error:  # pragma: no cover  # the tests have it
    raise ConfigError(
        "sealing content needs the package 'cryptography': pip install 'midstream[crypto]'"
    ) from error

_NONCE = 12


class AesGcm:
    """Seals with AES-256-GCM under a nonce that is made of the key and what is sealed.

    So the same bytes are sealed to the same bytes within a run, which keeps blobs once, and no two different ones ever share
    a nonce but by a collision of 96 bits. Source: NIST SP 800-38D, section 8.2; the construction is that of RFC 5297.
    """

    def seal(self, key: bytes, plain: bytes, about: bytes) -> bytes:
        """See `Cipher.seal`."""
        cipher, second = _keyed(key)
        nonce = hmac.digest(second, about + b"\0" + plain, "sha256")[:_NONCE]
        return nonce + cipher.encrypt(nonce, plain, about)

    def open(self, key: bytes, sealed: bytes, about: bytes) -> bytes:
        """See `Cipher.open`."""
        try:
            return _keyed(key)[0].decrypt(sealed[:_NONCE], sealed[_NONCE:], about)
        except InvalidTag as error:
            raise ValueError("it was not sealed with this key") from error


@lru_cache(maxsize=1024)
def _keyed(key: bytes) -> tuple[AESGCM, bytes]:
    return AESGCM(key), hmac.digest(key, b"midstream nonce", "sha256")
