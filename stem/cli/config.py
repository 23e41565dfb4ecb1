"""``stem config``: what the settings are, and where each comes from."""

from __future__ import annotations

import click

from stem.cli import views
from stem.cli.connection import connects, opened_app
from stem.cli.output import json_option, print_list


@click.group()
def config() -> None:
    """Look at the settings."""


@config.command()
@connects
@json_option
def show(*, as_json: bool) -> None:
    """Show every setting, its value and where that comes from; secrets are masked."""
    with opened_app() as app:
        items = views.setting_items(app.resolved)
    print_list(
        "stem.setting/1", items, {"Setting": "name", "Value": "text", "From": "origin"}, as_json=as_json
    )
