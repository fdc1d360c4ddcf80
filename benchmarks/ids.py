"""Count the profiles of an exported file, and its different ids, in a process apart."""

import json
import sys

import polars as pl

if __name__ == "__main__":
    _ids = pl.read_parquet(sys.argv[1], columns=["clientId"])["clientId"]
    print(json.dumps({"rows": len(_ids), "different": _ids.n_unique()}))
