"""The process of one part: calls its `measure` and hands each row on, as a line of JSON, as soon as it is there.

    python child.py DESCRIPTOR FILE OPTIONS

Rows go to a descriptor of their own, so that what libraries print is no row.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path


def load(path: Path):
    """The module in a file that need not be on the path."""
    spec = importlib.util.spec_from_file_location(f"accelerator_part_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def main() -> None:
    descriptor, path, options = int(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])

    def send(message: dict) -> None:
        os.write(descriptor, (json.dumps(message) + "\n").encode())

    try:
        for row in load(path).measure(**options):
            send({"row": row})
    except ModuleNotFoundError as error:
        send({"missing": error.name or str(error)})
        raise
    send({"done": True})


if __name__ == "__main__":
    main()
