"""Signing the ends of the chains with Ed25519: by a key in a file, by the text of a key, or by a command.

Neither the database's accounts nor anybody who edits DAGs may read the key (``docs/operations.md``). So the pipeline
itself needs none: a command that runs under another account signs for it. This module is such a command too:

    python -m waitlist.staging.signing KEY-FILE < statement
"""

import base64
import hashlib
import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from waitlist.exceptions import SettingsError, reason_of

_SECONDS: Final = 60
_SIGNATURE_BYTES: Final = 64
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class Signature(NamedTuple):
    """A signature, and by which key it is."""

    signature: str
    """Base64."""
    key_id: str
    """The SHA-256 of the public key, in lower-case hex."""


Signer = Callable[[bytes], Signature]
"""Signs a statement; raises ``SettingsError`` where it cannot."""


def by_key(read: Callable[[], bytes], source: str) -> Signer:
    """Return what signs with a private key, which is read at each signature.

    Args:
        read: returns the key in PEM.
        source: where it is from, for an error.
    """

    def sign(statement: bytes) -> Signature:
        try:
            key = load_pem_private_key(read(), password=None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise SettingsError(f"{source}: no private Ed25519 key in PEM without a password")
        return Signature(base64.b64encode(key.sign(statement)).decode(), key_id_of(key.public_key()))

    return sign


def by_file(path: Path) -> Signer:
    """Return what signs with the private key in a file that nobody but its owner may read."""

    def read() -> bytes:
        try:
            with path.open("rb") as file:
                if os.fstat(file.fileno()).st_mode & _OTHERS:
                    raise SettingsError(f"WAITLIST_AUDIT_KEY: {path}: others than its owner may use it: chmod 600")
                return file.read()
        except OSError as error:
            raise SettingsError(f"WAITLIST_AUDIT_KEY: {path}: {reason_of(error)}") from None

    return by_key(read, f"WAITLIST_AUDIT_KEY: {path}")


def by_command(command: str) -> Signer:
    """Return what signs by a command, which reads the statement and prints the signature and the key's id.

    Args:
        command: its words, as a shell takes them; no shell runs it.
    """

    def sign(statement: bytes) -> Signature:
        try:
            # The command is the deployment's own setting.
            ended = subprocess.run(  # noqa: S603
                shlex.split(command), input=statement, capture_output=True, timeout=_SECONDS, check=False
            )
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise SettingsError(f"WAITLIST_AUDIT_SIGNER: the command could not run: {type(error).__name__}") from None
        if ended.returncode:
            raise SettingsError(f"WAITLIST_AUDIT_SIGNER: the command ended with {ended.returncode}")
        words = ended.stdout.decode("ascii", "replace").split()
        if len(words) != 2 or not _is_signature(words[0]) or len(words[1]) != 2 * hashlib.sha256().digest_size:
            raise SettingsError("WAITLIST_AUDIT_SIGNER: the command prints no signature and key id")
        return Signature(*words)

    return sign


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Read a public key.

    Raises:
        SettingsError: it cannot be read, or is no public Ed25519 key in PEM.
    """
    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"the public key {path}: {reason_of(error)}") from None
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise SettingsError(f"{path} is no public Ed25519 key in PEM")
    return key


def key_id_of(key: Ed25519PublicKey) -> str:
    """Return the id of a key."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()


def is_signed(key: Ed25519PublicKey, statement: bytes, signature: str) -> bool:
    """Tell whether a signature of a statement is by a key."""
    if not _is_signature(signature):
        return False
    try:
        key.verify(base64.b64decode(signature), statement)
    except InvalidSignature:
        return False
    return True


def _is_signature(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == _SIGNATURE_BYTES
    except ValueError:
        return False


def main(path: Path) -> int:
    """Sign what comes in; return 0, or 1 with the reason on standard error."""
    try:
        signed = by_file(path)(sys.stdin.buffer.read())
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{signed.signature} {signed.key_id}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
