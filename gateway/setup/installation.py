"""Reads an installation: the configuration, the drivers' own options, the keys; all problems at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from buffer.errors import BufferFault
from buffer.keys import PublicKey, SigningKey
from config import Config, ConfigErrors, Problem, load, load_copy
from config.loader import sources
from config.prints import fingerprint
from config.pushed import together
from drivers import registry
from drivers.base import Driver
from drivers.errors import SetupError
from drivers.setup import prepare
from gateway.errors import SealFailed, SetupFailed
from gateway.identity import sealed
from gateway.keeping import series
from gateway.polling.load import load as load_of

DEFAULT = Path("/etc/lamppost/lamppost.toml")
LOCAL_PROFILES = Path("/etc/lamppost/profiles")


@dataclass(frozen=True, slots=True)
class Installation:
    """What the agent runs: nothing in it has been opened."""

    config: Config
    drivers: tuple[Driver, ...]
    wrong: tuple[str, ...] = ()
    """The mistakes of the files as they are now, when this is what was read before them."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The gateway's own key, and the platform's as it is pinned (None: the broker's word counts)."""

    signing: SigningKey
    authority: PublicKey | None


def read(path: Path) -> Installation:
    """The installation at `path`; raises `ConfigErrors` with every problem of the files and of the drivers' options."""
    return _checked(lambda: load(path, profiles=profile_folders()))


def read_pushed(path: Path, texts: Sequence[tuple[str, str]]) -> Installation:
    """What the installation at `path` is with a configuration from afar; raises `ConfigErrors` as `read`."""
    problems: list[Problem] = []
    own = sources(path, problems)
    if problems:
        raise ConfigErrors(problems)
    return _checked(lambda: together(own, texts, profile_folders(), problems))


def of(config: Config) -> Installation:
    """The installation of a configuration that was checked before, its drivers new."""
    return _checked(lambda: config)


def own_fingerprint(path: Path) -> str:
    """The fingerprint of the files at `path` as they are now; "" while they cannot be read."""
    problems: list[Problem] = []
    found = sources(path, problems)
    return "" if problems else fingerprint(found)


def overloaded(found: Installation) -> list[Problem]:
    """The buses that are asked for more than they can carry."""
    return [
        Problem(found.config.where(f"buses.{bus}"), f"buses.{bus}", f"{asked} on bus `{bus}`")
        for bus, asked in ((driver.setup.bus.id, load_of(driver)) for driver in found.drivers)
        if asked.too_much
    ]


def _checked(get: Callable[[], Config]) -> Installation:
    problems: list[Problem] = []
    try:
        config: Config | None = get()
    except ConfigErrors as errors:
        problems, config = list(errors.problems), errors.partial
    if config is None:
        raise ConfigErrors(problems)
    drivers, found = _drivers(config)
    problems += [Problem(config.where(where), where, message, value) for where, message, value in found]
    if problems:
        raise ConfigErrors(problems)
    return Installation(config, drivers)


def _drivers(config: Config) -> tuple[tuple[Driver, ...], list[tuple[str, str, object]]]:
    """The drivers, and what is wrong with their part of the configuration."""
    try:
        drivers = tuple(prepare(config, registry.load))
    except SetupError as error:
        return (), list(error.problems)
    trials = [found for driver in drivers for found in series.trial(driver)]
    return drivers, trials


def profile_folders() -> list[Path]:
    """Where profiles are: this installation's own, then `profiles/` beside each driver's module, none imported."""
    folders = [LOCAL_PROFILES]
    for entry in registry.installed().values():
        try:
            spec = find_spec(entry.module)
        except ImportError:  # a partner's broken driver must not hide the others' profiles
            continue
        if spec is not None and spec.origin is not None:
            folders.append(Path(spec.origin).parent / "profiles")
    return folders


def read_copy(main: Path, conf_d: Path, profiles: Path, path: Path) -> Installation:
    """The installation at `path` by copies of its files, and of its own profiles; raises `ConfigErrors` as `read`."""
    folders = [profiles, *(folder for folder in profile_folders() if folder != LOCAL_PROFILES)]
    return _checked(lambda: load_copy(main, conf_d, path, folders))


def signing_key(config: Config) -> SigningKey:
    """The gateway's own key; raises `SetupFailed`."""
    path = config.gateway.key
    try:
        return sealed.signing_key(path)
    except SealFailed as error:
        raise SetupFailed(f"gateway.key: {error}", error.remedy) from error
    except (OSError, BufferFault) as error:
        raise SetupFailed(f"gateway.key: {error}", f"lamppost key new {path}") from error


def keys(config: Config) -> Keys:
    """The keys that the configuration names; raises `SetupFailed` with the file and a remedy."""
    signing = signing_key(config)
    uplink = config.uplink
    if uplink is None or uplink.acknowledge == "broker":
        return Keys(signing, None)
    if uplink.authority is None:
        raise SetupFailed('uplink.authority: missing, and acknowledge = "platform" needs the platform\'s public key')
    try:
        authority = PublicKey.from_json(uplink.authority.read_text())
    except (OSError, ValueError, BufferFault) as error:
        raise SetupFailed(f"uplink.authority: {error}", "lamppost-collector key show  # on the platform") from error
    if authority.role not in ("acknowledge", "authority"):
        raise SetupFailed(
            f'uplink.authority: {uplink.authority} is a key for {authority.role!r}, not "authority" or "acknowledge"'
        )
    return Keys(signing, authority)
