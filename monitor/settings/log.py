"""Settings of what the program writes about itself."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from monitor.settings.part import Part


class LogSettings(Part):
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level written")
    format: Literal["json", "console"] = Field("json", description="json lines, or text for people")
