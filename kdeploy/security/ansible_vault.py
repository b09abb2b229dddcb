"""Ansible Vault's file format, 1.1, with `cryptography` alone.

A header line `$ANSIBLE_VAULT;1.1;AES256`, then lines of 80 hex digits that hold
three hex texts (salt, HMAC, cipher text), one a line. From the password and the
salt PBKDF2 derives an AES key, an HMAC key and the counter's first block. Format
and figures: Ansible's documentation, "Ansible Vault payload format 1.1 - 1.2".
Invariant: nothing is decrypted before its HMAC is verified, and no error holds
the password or any plain text.
"""

from __future__ import annotations

import os
import re
from binascii import hexlify, unhexlify
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, hmac, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

HEADER: Final = b"$ANSIBLE_VAULT;1.1;AES256"
"""First line of what is written. Reading also takes 1.2, which only adds a label."""

ITERATIONS: Final = 10_000
"""PBKDF2 rounds; the format fixes them. They are few by today's measure (OWASP, 2023: 600,000), which
is why `security.password` refuses a short password for a new vault."""

SALT_BYTES: Final = 32
"""Bytes of salt; the format fixes them."""

_LINE = 80
_KNOWN_HEADER = re.compile(rb"\$ANSIBLE_VAULT;(1\.1;AES256|1\.2;AES256;[^\s;]+)\s*")


class NotAVault(ValueError):
    """The bytes are not a whole file of this format; the message says how."""


class WrongPassword(ValueError):
    """The file's HMAC is not the one this password gives."""


def encrypt(plain: bytes, password: str) -> bytes:
    """Encrypt with a new salt; `ansible-vault view` reads the result."""
    salt = os.urandom(SALT_BYTES)
    cipher_key, hmac_key, counter = _derive(password, salt)
    padder = padding.PKCS7(algorithms.AES.block_size).padder()
    encryptor = Cipher(algorithms.AES(cipher_key), modes.CTR(counter)).encryptor()
    secret = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    signer = hmac.HMAC(hmac_key, hashes.SHA256())
    signer.update(secret)
    body = hexlify(b"\n".join(map(hexlify, (salt, signer.finalize(), secret))))
    lines = [body[start : start + _LINE] for start in range(0, len(body), _LINE)]
    return b"\n".join([HEADER, *lines]) + b"\n"


def decrypt(data: bytes, password: str) -> bytes:
    """Decrypt what `encrypt` or Ansible wrote.

    Raises:
        NotAVault: It has another format, or is cut off.
        WrongPassword: The password is another one, or the file was changed.
    """
    salt, signature, secret = _parts(data)
    cipher_key, hmac_key, counter = _derive(password, salt)
    if not _is_signed(hmac_key, secret, signature):
        raise WrongPassword("the password is wrong, or the file was damaged")
    decryptor = Cipher(algorithms.AES(cipher_key), modes.CTR(counter)).decryptor()
    unpadder = padding.PKCS7(algorithms.AES.block_size).unpadder()
    return unpadder.update(decryptor.update(secret) + decryptor.finalize()) + unpadder.finalize()


def _parts(data: bytes) -> tuple[bytes, bytes, bytes]:
    header, _, rest = data.strip().partition(b"\n")
    if not header.startswith(b"$ANSIBLE_VAULT;"):
        raise NotAVault("it does not begin with $ANSIBLE_VAULT")
    if not _KNOWN_HEADER.fullmatch(header):
        raise NotAVault("its header is not that of Ansible Vault 1.1 or 1.2 with AES256")
    parts = _unhex(b"".join(rest.split())).split(b"\n")
    if len(parts) != 3:
        raise NotAVault("it is cut off or damaged: salt, HMAC and cipher text are not all there")
    salt, signature, secret = map(_unhex, parts)
    if len(salt) != SALT_BYTES or len(signature) != 32 or not secret or len(secret) % 16:
        raise NotAVault("it is cut off or damaged: a part of it has the wrong length")
    return salt, signature, secret


def _unhex(text: bytes) -> bytes:
    try:
        return unhexlify(text)
    except ValueError:
        raise NotAVault("it is cut off or damaged: its body is not hex digits in pairs") from None


def _is_signed(key: bytes, secret: bytes, signature: bytes) -> bool:
    signer = hmac.HMAC(key, hashes.SHA256())
    signer.update(secret)
    try:
        signer.verify(signature)
    except InvalidSignature:
        return False
    return True


def _derive(password: str, salt: bytes) -> tuple[bytes, bytes, bytes]:
    derivation = PBKDF2HMAC(hashes.SHA256(), length=32 + 32 + 16, salt=salt, iterations=ITERATIONS)
    material = derivation.derive(password.encode())
    return material[:32], material[32:64], material[64:]
