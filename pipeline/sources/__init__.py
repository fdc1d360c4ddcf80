"""
The kinds of files that rows come from; `pipeline.reader` chooses among them.

    streams   bytes of a file: opened, hashed, decompressed within a cap
    text      the same as UTF-8 in blocks, whatever the declared encoding
    csv_*     delimiter and header; blocks of records; strict splitting
    parquet*  row groups; the footer
    jsonl     one object a line
    folders   partitions, and what in a folder is no rows
    query*    rows of a database, one module a driver
    rows, cells, columnar   what these share
    object*   which objects a bucket holds for us
    delta*    a version of a Delta table
"""
