"""
The column names of an Arrow stream, repeated ones and all types included.

Reading a stream as a frame would drop a repeated name, and stops at a type that frames
do not have. The names stand in two small structs of the Arrow C interface.
"""

from __future__ import annotations

import ctypes
from typing import Protocol


class ArrowStream(Protocol):
    """Whatever hands out an Arrow C stream."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...


class _Schema(ctypes.Structure):
    """`struct ArrowSchema` of the Arrow C data interface."""


_Schema._fields_ = [
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_char_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(_Schema))),
    ("dictionary", ctypes.POINTER(_Schema)),
    ("release", ctypes.CFUNCTYPE(None, ctypes.POINTER(_Schema))),
    ("private_data", ctypes.c_void_p),
]


class _Stream(ctypes.Structure):
    """The beginning of `struct ArrowArrayStream`."""

    _fields_ = (
        (
            "get_schema",
            ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(_Schema)),
        ),
    )


_POINTER_OF = ctypes.pythonapi.PyCapsule_GetPointer
_POINTER_OF.restype = ctypes.c_void_p
_POINTER_OF.argtypes = (ctypes.py_object, ctypes.c_char_p)


def column_names(stream: ArrowStream) -> list[str]:
    """
    Return the names of the columns of *stream*, which is used up by it.

    Raises:
        OSError: The stream does not give its schema.
    """
    capsule = stream.__arrow_c_stream__()
    address = _POINTER_OF(capsule, b"arrow_array_stream")
    schema = _Schema()
    error_no = _Stream.from_address(address).get_schema(address, ctypes.byref(schema))
    if error_no:
        raise OSError(error_no, "the stream has no schema")
    try:
        return [
            (schema.children[n].contents.name or b"").decode()
            for n in range(schema.n_children)
        ]
    finally:
        schema.release(ctypes.byref(schema))
