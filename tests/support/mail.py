"""A mail server and a webhook on loopback: real sockets that keep what they are sent."""

import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


class MailServer(socketserver.ThreadingTCPServer):
    """The part of SMTP that a client needs to send a message (RFC 5321), with STARTTLS where it has a certificate."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, *, refuses: bool = False, starttls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.refuses = refuses
        self.starttls = starttls
        self.encrypted: list[bool] = []
        self.messages: list[EmailMessage] = []
        self.recipients: list[list[str]] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def connection(self, **extra: Any) -> str:
        """Return the Airflow connection to this server, as JSON."""
        told = {"from_email": "vantelista@example.invalid", "to": "ledning@example.invalid", **extra}
        return json.dumps(
            {
                "conn_type": "smtp",
                "host": "127.0.0.1",
                "port": self.port,
                "extra": {"disable_ssl": True, "disable_tls": True, "retry_limit": 0, "timeout": 10, **told},
            }
        )


class _Session(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        recipients: list[str] = []
        self._say("220 loopback")
        while line := self.rfile.readline():
            verb, _, rest = line.decode().strip().partition(" ")
            match verb.upper():
                case "EHLO" if self.server.starttls:
                    self._say("250-loopback\r\n250 STARTTLS")
                case "STARTTLS" if self.server.starttls:
                    self._say("220 go on")
                    try:
                        self._encrypt(self.server.starttls)
                    except OSError:
                        return  # the client does not trust the certificate
                case "RCPT":
                    recipients.append(rest.partition("<")[2].partition(">")[0])
                    self._say("550 nobody here by the name of Hemlig" if self.server.refuses else "250 ok")
                case "DATA":
                    self._say("354 go on")
                    self._keep(recipients)
                    self._say("250 kept")
                case "QUIT":
                    self._say("221 bye")
                    return
                case _:
                    self._say("250 ok")

    def _keep(self, recipients: list[str]) -> None:
        lines = []
        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        message = message_from_bytes(b"".join(lines), policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.server.encrypted.append(isinstance(self.connection, ssl.SSLSocket))
        self.server.recipients.append(list(recipients))
        self.server.messages.append(message)

    def _encrypt(self, context: ssl.SSLContext) -> None:
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)

    def finish(self) -> None:
        super().finish()
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.close()  # the server closes the plain one

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


def text_of(message: EmailMessage) -> str:
    """Return the text of a mail, as written in HTML."""
    body = message.get_body(("html",))
    assert body is not None
    return str(body.get_content())


class Webhook(HTTPServer):
    """Keeps what is posted, with its headers; answers with a status."""

    def __init__(self, status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), _Post)
        self.status = status
        self.posts: list[tuple[str, dict[str, str], Any]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hooks/vantelista"


class _Post(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.posts.append((self.path, dict(self.headers), body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(server: Any) -> Iterator[Any]:
    """Run a server in a thread while the block runs."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
