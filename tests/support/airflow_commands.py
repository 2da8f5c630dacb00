"""Run ``airflow`` commands one after the other in one process: starting Airflow takes longer than most commands do.

Each line of the standard input is a JSON object with a command's ``arguments``, its whole ``environment``, and the
files for its ``output`` and its ``errors``; its exit code is written as a line when it has ended.
"""

import json
import os
import sys
import traceback


def run(arguments: list[str], environment: dict[str, str], output: str, errors: str) -> int:
    """Run one command with its own environment, and return its exit code."""
    from airflow.__main__ import main  # noqa: PLC0415 - Airflow reads the environment when it is imported

    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["airflow", *arguments]
    for number, path in ((1, output), (2, errors)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, number)
        os.close(file)
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does at the end of a process
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "w") as told:
        for line in sys.stdin:
            print(run(**json.loads(line)), file=told, flush=True)
