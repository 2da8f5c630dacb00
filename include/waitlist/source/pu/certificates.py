"""Who asks, and whom: certificates of both sides, looked at before they are used."""

import datetime as dt
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509

from waitlist.exceptions import PersonServiceSetupError, reason_of


@dataclass(frozen=True)
class Credentials:
    """Files in PEM.

    Attributes:
        certificate: our own, with the certificates between it and a root after it.
        key: the private key of our own.
        authorities: the roots by which the service's certificate is judged, and no others.
        key_password: of the key, where it has one.
    """

    certificate: Path
    key: Path
    authorities: Path
    key_password: str | None = field(default=None, repr=False)

    def context(self) -> ssl.SSLContext:
        """Make what a connection needs: TLS 1.2 at least, both sides with certificates.

        Raises:
            PersonServiceSetupError: a file is missing, unreadable or not what it should be.
        """
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_verify_locations(cafile=self.authorities)
            # A key with a password that nobody gave must not be asked for at a terminal.
            context.load_cert_chain(self.certificate, self.key, password=self.key_password or "")
        except ssl.SSLError as error:
            fault = f"key, certificate or authorities do not fit: {error.reason or 'no PEM'}"
        except OSError as error:
            fault = f"key, certificate or authorities cannot be read: {reason_of(error)}"
        else:
            return context
        raise PersonServiceSetupError(f"certificates for the person service: {fault}")

    def validity(self) -> "Validity":
        """Read from when to when our own certificate, and those that come with it, are valid.

        Raises:
            PersonServiceSetupError: the file cannot be read, or holds no certificate.
        """
        try:
            chain = x509.load_pem_x509_certificates(self.certificate.read_bytes())
        except OSError as error:
            fault = reason_of(error)
        except ValueError:
            fault = "there is no certificate in it"
        else:
            return Validity(
                max(one.not_valid_before_utc for one in chain),
                min(one.not_valid_after_utc for one in chain),
            )
        raise PersonServiceSetupError(f"our certificate for the person service: {fault}")


@dataclass(frozen=True)
class Validity:
    """From when to when a certificate is valid, both in UTC."""

    begins: dt.datetime
    ends: dt.datetime

    def check(self, now: dt.datetime) -> None:
        """Let a certificate be used.

        Raises:
            PersonServiceSetupError: it has expired, or is not valid yet.
        """
        if now >= self.ends:
            raise PersonServiceSetupError(
                f"our certificate for the person service expired at {self.ends:%Y-%m-%d %H:%M} UTC: order a new one"
            )
        if now < self.begins:
            raise PersonServiceSetupError(
                f"our certificate for the person service is valid from {self.begins:%Y-%m-%d %H:%M} UTC"
            )
