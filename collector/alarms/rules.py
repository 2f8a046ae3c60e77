"""The file of rules: what is an alarm, and whom to tell. Everything has a default; docs/collector.md describes it."""

import tomllib
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from collector.errors import RulesFault
from collector.files import read_bounded
from config import parse_duration

MAX_RULES_BYTES = 1 << 20
MAX_LIMITS = 1000


def _duration(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


Duration = Annotated[int, BeforeValidator(_duration), Field(ge=0)]
"""Milliseconds, written as `"15m"`."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Limit(_Table):
    """A point whose newest good value must stay within `min` and `max`; it is cleared `margin` inside of them."""

    point: str
    min: float | None = None
    max: float | None = None
    margin: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _some(self) -> "Limit":
        if self.min is None and self.max is None:
            raise ValueError("a limit has min, max or both")
        if self.min is not None and self.max is not None and self.min + self.margin > self.max - self.margin:
            raise ValueError("nothing is between min and max, each with its margin")
        return self


class Silence(_Table):
    """How long devices (shell pattern of `device` or `gateway/device`) may be silent; 0: for ever."""

    device: str
    after: Duration


class Webhook(_Table):
    """Where changes are posted, and the file of the secret that signs them."""

    url: str
    secret: Path
    ca: Path | None = None
    private: bool = False

    @model_validator(mode="after")
    def _https(self) -> "Webhook":
        parts = urlsplit(self.url)
        if parts.scheme != "https" or not parts.hostname:
            raise ValueError("a webhook is https://host/path")
        if parts.username is not None or parts.password is not None:
            raise ValueError("no password in an address: it would be in every log; the secret signs")
        return self


class Rules(_Table):
    """The whole file."""

    every: Duration = Field(default=30_000, ge=1000)
    silent_gateway: Duration = 15 * 60_000
    silent_device: Duration = 60 * 60_000
    gap: Duration = 15 * 60_000
    silence: tuple[Silence, ...] = Field(default=(), max_length=MAX_LIMITS)
    limit: tuple[Limit, ...] = Field(default=(), max_length=MAX_LIMITS)
    webhook: Webhook | None = None


def load(path: Path | None) -> Rules:
    """Read a file of rules, or the defaults; raises RulesFault or FileFault. Paths in it are relative to its folder."""
    if path is None:
        return Rules()
    try:
        rules = Rules.model_validate(tomllib.loads(read_bounded(path, MAX_RULES_BYTES).decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RulesFault(f"{path}: {error}") from error
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise RulesFault(f"{path}: {told}") from error
    hook = rules.webhook
    if hook is None:
        return rules
    ca = None if hook.ca is None else path.parent / hook.ca
    return rules.model_copy(update={"webhook": hook.model_copy(update={"secret": path.parent / hook.secret, "ca": ca})})
