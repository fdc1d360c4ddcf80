"""
drt: DuckDB over the same file into its REST destination, in batch mode.

Its own command line, with a project as its docs show. Tuned: ten thousand rows a call
of the destination, a thousand a request, no limit of requests a second. The template
leaves blank cells out, because a null would erase; nothing else is done.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

PROJECT: Final = """\
name: benchmark
version: "0.1"
profile: file
"""
PROFILES: Final = """\
file:
  type: duckdb
  database: ":memory:"
"""
SYNC: Final = """\
name: customers
model: "SELECT * FROM read_csv('{path}', all_varchar=true)"
destination:
  type: rest_api
  url: "{base_url}/v4/clients/batch"
  method: POST
  headers: {{Content-Type: application/json, Api-Version: "4.4"}}
  body_mode: batch
  batch_template: >-
    [{{% for row in rows %}}{{{{ dict(row.items() | selectattr(1)) | tojson_safe
    }}}}{{{{ "" if loop.last else "," }}}}{{% endfor %}}]
  max_records_per_request: 1000
sync:
  batch_size: 10000
  on_error: fail
  rate_limit: {{requests_per_second: 0}}
"""


def main(path: Path, base_url: str) -> int:
    """Send *path*."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {
            "drt_project.yml": PROJECT,
            ".drt/profiles.yml": PROFILES,
            "syncs/customers.yml": SYNC.format(path=path.resolve(), base_url=base_url),
        }
        for place, text in files.items():
            (folder / place).parent.mkdir(exist_ok=True)
            (folder / place).write_text(text, encoding="utf-8")
        command = [str(Path(sys.executable).with_name("drt")), "run", "--quiet"]
        settings = os.environ | {"HOME": name, "DO_NOT_TRACK": "1"}
        return subprocess.run(command, cwd=folder, env=settings, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
