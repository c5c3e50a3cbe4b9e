"""A group of commands that is listed without importing them: `--help` stays quick."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class Lazy(click.Group):
    """Finds commands by name: `lazy` has the module of a package for each, and what it does in words."""

    def __init__(
        self, *, package: str, lazy: Mapping[str, tuple[str, str]], **settings: Any
    ) -> None:
        super().__init__(**settings)
        self._package, self._lazy = package, lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self._lazy:
            return None
        module = import_module(f"{self._package}.{self._lazy[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in sorted(self._lazy.items())])
