"""Names Microsoft's ODBC driver, from the package ``mssql-python-odbc``, in ``/etc/odbcinst.ini``."""

import importlib.metadata
import platform
from pathlib import Path

MACHINES = {"x86_64": "x86_64", "aarch64": "arm64"}

files = importlib.metadata.files("mssql-python-odbc") or ()
wanted = f"debian_ubuntu/{MACHINES[platform.machine()]}/lib/libmsodbcsql-"
(library,) = [file for file in files if wanted in file.as_posix()]
with Path("/etc/odbcinst.ini").open("a", encoding="utf-8") as registered:
    registered.write(f"[ODBC Driver 18 for SQL Server]\nDriver={Path(str(library.locate())).resolve()}\n")
