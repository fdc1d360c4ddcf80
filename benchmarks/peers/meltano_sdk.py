"""
A Singer tap and a target with a batch sink, both of the Meltano SDK, and a pipe.

`meltano_sdk.py FILE URL` runs both ends as processes, as `meltano run` does; what the
table shows is the cost of the two together, and the memory of the larger one. As the
docs of the SDK advise: the msgspec reader and writer, and no check of records against
the schema. Blank cells are dropped; nothing else is done.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import httpx
import orjson
from singer_sdk import BatchSink, Stream, Tap, Target
from singer_sdk.contrib.msgspec import MsgSpecReader, MsgSpecWriter
from singer_sdk.typing import PropertiesList, Property, StringType

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH_ROWS: Final = 1000
ACCEPTED: Final = 202


class Customers(Stream):  # type: ignore[misc] # an extra has no types here
    """The rows of the file, as text."""

    name = "customers"

    def get_records(self, context: object) -> Iterator[dict[str, str]]:
        """Give the rows in order."""
        del context
        with Path(self.config["path"]).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield {k: v for k, v in row.items() if v}


class TapCustomers(Tap):  # type: ignore[misc] # the same
    """Reads one file."""

    name = "tap-customers"
    config_jsonschema = PropertiesList(Property("path", StringType)).to_dict()
    message_writer_class = MsgSpecWriter

    def discover_streams(self) -> list[Customers]:
        """Name the only stream, with the columns of the file."""
        with Path(self.config["path"]).open(encoding="utf-8", newline="") as file:
            names = next(csv.reader(file))
        columns = PropertiesList(*(Property(name, StringType) for name in names))
        return [Customers(self, schema=columns.to_dict())]


class Crm(BatchSink):  # type: ignore[misc] # the same
    """Posts what it is given, a thousand rows at a time."""

    max_size = BATCH_ROWS
    clients: ClassVar[dict[str, httpx.Client]] = {}

    def process_batch(self, context: dict[str, Any]) -> None:
        """Send one batch."""
        base_url = self.config["base_url"]
        if base_url not in self.clients:
            self.clients[base_url] = httpx.Client(base_url=base_url, trust_env=False)
        reply = self.clients[base_url].post(
            "/v4/clients/batch",
            content=orjson.dumps(context["records"]),
            headers={"Content-Type": "application/json", "Api-Version": "4.4"},
        )
        if reply.status_code != ACCEPTED:
            raise RuntimeError(f"status {reply.status_code}")


class TargetCrm(Target):  # type: ignore[misc] # the same
    """Writes to the service."""

    name = "target-crm"
    config_jsonschema = PropertiesList(Property("base_url", StringType)).to_dict()
    default_sink_class = Crm
    message_reader_class = MsgSpecReader


ENDS: Final[dict[str, Any]] = {"tap": TapCustomers, "target": TargetCrm}


def main(path: str, base_url: str) -> int:
    """Run both ends to their end."""
    with tempfile.TemporaryDirectory() as folder:
        commands = []
        settings = {
            "tap": {"path": path},
            "target": {"base_url": base_url, "validate_records": False},
        }
        for end, told in settings.items():
            config = Path(folder) / f"{end}.json"
            config.write_text(json.dumps(told), encoding="utf-8")
            commands.append([sys.executable, __file__, end, "--config", str(config)])
        quiet = os.environ | {"LOGLEVEL": "WARNING"}
        with (
            subprocess.Popen(commands[0], stdout=subprocess.PIPE, env=quiet) as tap,
            subprocess.Popen(
                commands[1], stdin=tap.stdout, stdout=subprocess.DEVNULL, env=quiet
            ) as target,
        ):
            if tap.stdout is not None:
                tap.stdout.close()  # so that the tap ends when the target does
            return target.wait() or tap.wait()


if __name__ == "__main__":
    if sys.argv[1] in ENDS:
        ENDS[sys.argv.pop(1)].cli()
    sys.exit(main(sys.argv[1], sys.argv[2]))
