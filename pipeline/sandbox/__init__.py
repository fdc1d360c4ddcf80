"""
A simulator of the profile API, so that everything can be tried without a network.

It was written from the API contract alone and shares no line with the client, so
that one misreading of the contract cannot pass every test. Rules and weather are
pure; `pipeline.sandbox.server` is the thin shell that gives them a socket.

A profile is created, matched and merged in `profiles`, `matching` and `writes`; what
is not documented is a named switch in `switches`; bad days are made in `weather`.
"""
