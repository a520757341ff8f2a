"""Who published a bundle: an Ed25519 signature over its manifest, which has every file's digest.

`manifest.sig` is one line: the public key and the signature. The manifest names its version too,
and a bundle is served under no other, so a signed bundle can neither be changed nor renamed. What
a signature cannot tell is which of the signed versions should serve: `current` does.

`cryptography` is loaded only where keys are given.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from churn.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNATURE = "manifest.sig"
KIND = "ed25519:"
# Whatever else is signed with the same key is no signature of a manifest.
_CONTEXT = b"keepwell bundle manifest\n"
_LINE = re.compile(rb"ed25519:([A-Za-z0-9+/]{43}=) ([A-Za-z0-9+/]{86}==)\n")


class BadSignature(ValueError):
    """The bytes are not signed by a trusted key; the message says how."""


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """Public keys; a bundle has to be signed with one of them.

    Attributes
    ----------
    keys : frozenset of bytes
        32 bytes each.
    """

    keys: frozenset[bytes]

    @classmethod
    def parse(cls, text: str, where: str) -> Self:
        """Read keys as `keepwell models keygen` prints them.

        Parameters
        ----------
        text : str
            Keys separated by commas, blanks or ends of lines; what follows a ``#`` is a comment.
        where : str
            The setting or file, for the messages.

        Raises
        ------
        ConfigError
            A word is no key, or there is none at all: an empty list would trust nobody or, worse,
            be taken for no list.
        """
        words = re.sub(r"#.*", "", text).replace(",", " ").split()
        if not words:
            raise ConfigError(
                f"{where}: names no key; give one of `keepwell models keygen`, or unset it"
            )
        return cls(frozenset(_public_key(word, where, at) for at, word in enumerate(words, 1)))

    def check(self, manifest: bytes, signature: bytes) -> None:
        """Refuse a manifest that none of the keys signed.

        Parameters
        ----------
        manifest : bytes
            The file's bytes.
        signature : bytes
            The bytes of `manifest.sig`.

        Raises
        ------
        BadSignature
            It is no signature, one of a stranger, or of other bytes.
        """
        found = _LINE.fullmatch(signature)
        if found is None:
            raise BadSignature("is no signature")
        key, signed = base64.b64decode(found[1]), base64.b64decode(found[2])
        if _line(key, signed) != signature:  # base64 has bits that nothing depends on
            raise BadSignature("is no signature")
        if key not in self.keys:
            raise BadSignature(f"is signed with {shown(key)}, which is not trusted")
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            public = Ed25519PublicKey.from_public_bytes(key)
            public.verify(signed, _CONTEXT + manifest)
        except (InvalidSignature, ValueError):
            raise BadSignature("is the signature of another manifest") from None


class SigningKey:
    """A private key.

    Parameters
    ----------
    private : Ed25519PrivateKey
        Of the library.
    """

    def __init__(self, private: "Ed25519PrivateKey") -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> Self:
        """A new one, from the system's randomness."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def parse(cls, pem: bytes, where: str) -> Self:
        """Read what `pem` gives, or `openssl genpkey -algorithm ed25519`.

        Raises
        ------
        ConfigError
            It is no such key; the message holds nothing of it.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            private = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            private = None
        if not isinstance(private, Ed25519PrivateKey):
            raise ConfigError(
                f"{where}: is no Ed25519 private key in PEM without a password; "
                "`keepwell models keygen` makes one"
            )
        return cls(private)

    def pem(self) -> bytes:
        """The key itself, PKCS #8."""
        from cryptography.hazmat.primitives import serialization

        return self._private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def sign(self, manifest: bytes) -> bytes:
        """The content of `manifest.sig`."""
        return _line(self.public, self._private.sign(_CONTEXT + manifest))


@dataclass(frozen=True, slots=True)
class Keys:
    """What a registry publishes and reads with.

    Attributes
    ----------
    trusted : TrustedKeys or None
        Who may have published what is read; None for anybody who can write there.
    signing : SigningKey or None
        What is published is signed with it.
    """

    trusted: TrustedKeys | None = None
    signing: SigningKey | None = None

    def check(self) -> None:
        """Refuse keys with which nothing that is published could be read.

        Raises
        ------
        ConfigError
            Only signed bundles are trusted, and there is no key to sign with or another one.
        """
        if self.trusted is None:
            return
        if self.signing is None:
            raise ConfigError(
                "only signed models are trusted here (KEEPWELL_TRUSTED_KEYS), and no key to sign "
                "with is given: add --signing-key FILE"
            )
        if self.signing.public not in self.trusted.keys:
            raise ConfigError(
                f"the signing key's public half, {shown(self.signing.public)}, is not among the "
                "trusted keys (KEEPWELL_TRUSTED_KEYS): what it signs would be refused"
            )


def shown(public: bytes) -> str:
    """A public key in words."""
    return KIND + base64.b64encode(public).decode()


def _line(public: bytes, signature: bytes) -> bytes:
    return f"{shown(public)} {base64.b64encode(signature).decode()}\n".encode()


def _public_key(word: str, where: str, at: int) -> bytes:
    try:
        key = base64.b64decode(word.removeprefix(KIND), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not word.startswith(KIND) or len(key) != 32:
        raise ConfigError(
            f"{where}: the word number {at} is no public key; `keepwell models keygen` prints one, "
            "such as ed25519:VQwi...="
        )
    return key
