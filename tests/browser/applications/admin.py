"""Piccolo Admin's own example, or behind `bandeau.starlette`: admin.py PORT [POLICY LEDGER]."""

import sys

import uvicorn
from piccolo_admin.example import app as example  # type: ignore[import-not-found]

port, *gate = sys.argv[1:]
example.set_engine("sqlite")
example.create_schema()
example.populate_data()
if gate:
    from bandeau.starlette import Middleware

    policy, ledger = gate
    example.APP.add_middleware(Middleware, policy=policy, ledger=ledger)
uvicorn.run(example.APP, port=int(port), log_level="warning")
