"""The inspector: a real browser walks through a site's choices, and what it sees is judged by rules.

It opens no connection of its own and never asks the gate: what counts is what a browser saw. Reports
state observed facts and the source that they are measured against.
"""
