"""Keys that lie encrypted, by systemd-creds(1): bound to this machine's TPM where it has one, else to its host key.

A key `keys/NAME` is sealed as `sealed/NAME` beside its folder, which is root's. The service gets it from systemd, by a
drop-in of `gateway.setup.addresses`; root opens it here. While the plain file is there, that one counts: so a power cut
in the middle of sealing or unsealing leaves a gateway that starts.
"""

import base64
import os
import shutil
import subprocess
from pathlib import Path

from buffer.keys import MAX_KEY_FILE, SigningKey, located
from gateway.errors import SealFailed
from gateway.files import open_plain, save
from gateway.identity.wipe import destroy, unlinked

FOLDER = "sealed"
PROGRAM = "systemd-creds"
ANSWER_S = 60.0
"""A TPM is slow: seconds for a key."""
RESTART_S = 120.0
"""The unit has 90 s to start and 10 s to stop."""
HOW = ("--with-key=auto", "--tpm2-pcrs=23")
"""The register for applications (TCG PC Client Platform Firmware Profile, 3.3.4), which nothing here extends: no state
of the boot is asked for, since an update of the firmware must not take a gateway's keys away. systemd 252 opens no
credential that names no register."""
NEXT = ".next"
"""Of a successor's name: what is sealed says its name, and has it when it takes the other's place."""
BY_HOST_KEY = bytes.fromhex("5a1c6a86df9d4096b1d5a65e0862f19a")
"""How a credential begins that no TPM was needed for (CRED_AES256_GCM_BY_HOST, creds-util.h of systemd)."""


def place(path: Path) -> Path:
    """Where the key of that plain file lies when it is sealed."""
    return path.parent.parent / FOLDER / path.name


def there(path: Path) -> bool:
    """Whether the key is there in any form; who may not read it is told so too."""
    return located(path).exists() or place(path).exists()


def read(path: Path) -> bytes:
    """The key, if it lies sealed only; raises `SealFailed`."""
    sealed = place(path)
    if os.geteuid() != 0:
        raise SealFailed(
            f"{sealed}: sealed, and only root and the service get it", "sudo, or: systemctl start lamppost"
        )
    return _run("decrypt", "--name", _name(path), str(sealed), "-")


def signing_key(path: Path) -> SigningKey:
    """The key for batches in whatever form it is there; raises `SealFailed` or `KeyFileError`."""
    if is_only_sealed(path):
        return SigningKey.parse(read(path), str(place(path)))
    return SigningKey.load(path)


def is_only_sealed(path: Path) -> bool:
    """Whether there is nothing but what root can open."""
    return place(path).exists() and not located(path).exists()


def put(path: Path, pem: bytes) -> str:
    """Seal a key, and see that it opens: "TPM" or "host key" by what; raises `SealFailed` or `OSError`."""
    data = _run("encrypt", *HOW, "--name", _name(path), "-", "-", data=pem)
    sealed = place(path)
    sealed.parent.mkdir(exist_ok=True)
    sealed.parent.chmod(0o711)  # others may see that a key is there, so that nobody makes another
    save(sealed, data)
    sealed.chmod(0o600)
    if read(path) != pem:
        raise SealFailed(f"{sealed} does not open to what was sealed; the plain file stays")
    return "host key" if base64.b64decode(data).startswith(BY_HOST_KEY) else "TPM"


def seal(paths: tuple[Path, ...]) -> dict[str, str]:
    """Seal the keys that are there as plain files, and destroy these once a running agent has the sealed ones.

    By what each is sealed. Raises `SealFailed` or `OSError`, then the plain files are there and nothing is sealed.
    """
    _root()
    plain = {path: _own(path) for path in paths if os.path.lexists(path)}
    if not plain and not any(map(os.path.lexists, map(_spent, paths))):
        raise SealFailed(f"{paths[0].parent} has no plain key", "sudo lamppost enroll TOKEN-FILE")
    try:
        done = {path.name: put(path, pem) for path, pem in plain.items()}
        restart()
    except (SealFailed, OSError):
        for path in plain:
            place(path).unlink(missing_ok=True)
        restart()
        raise
    for path in plain:
        path.replace(_spent(path))  # what is overwritten must not be taken for a key after a cut
    for path in filter(os.path.lexists, map(unlinked, map(_spent, paths))):
        destroy(path)
    return done


def unseal(paths: tuple[Path, ...]) -> list[str]:
    """Make plain files again, of the folder's owner; the names of the keys. Raises `SealFailed` or `OSError`."""
    _root()
    sealed = [path for path in paths if place(path).exists()]
    for path in sealed:
        if path.is_symlink() or not path.is_file():
            _plain(path, read(path))
    for path in sealed:
        place(path).unlink()
    restart()
    return [path.name for path in sealed]


def restart() -> None:
    """Have systemd see which keys are sealed, and a running agent get its keys anew; raises `SealFailed`."""
    reload()
    _systemctl("try-restart", "lamppost.service")


def reload() -> None:
    """Have systemd see which keys are sealed: it starts no service for which one is missing. Raises `SealFailed`."""
    _systemctl("daemon-reload")


def _systemctl(*words: str) -> None:
    if shutil.which("systemctl") and Path("/run/systemd/system").is_dir():
        try:
            subprocess.run(["systemctl", *words], check=True, timeout=RESTART_S)
        except subprocess.SubprocessError as error:
            raise SealFailed(f"systemctl {' '.join(words)} failed", "journalctl -u lamppost") from error


def _root() -> None:
    if os.geteuid() != 0:
        raise SealFailed("keys are sealed and unsealed by root", "sudo lamppost key seal")


def _own(path: Path) -> bytes:
    """A key in a folder of the agent's user, who would be given what root reads: no other file, by no link."""
    try:
        with open_plain(path) as file:
            if os.fstat(file.fileno()).st_nlink == 1:
                return file.read(MAX_KEY_FILE)
    except OSError as error:
        raise SealFailed(f"{path}: {error.strerror}") from error
    raise SealFailed(f"{path} has another name, and may be another's file")


def _plain(path: Path, pem: bytes) -> None:
    owner, fresh = path.parent.stat(), path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)


def _spent(path: Path) -> Path:
    return path.with_name(path.name + ".spent")


def _name(path: Path) -> str:
    return path.name.removesuffix(NEXT)


def _run(*words: str, data: bytes = b"") -> bytes:
    """What systemd-creds prints; keys go through pipes only."""
    try:
        done = subprocess.run([PROGRAM, *words], input=data, capture_output=True, check=False, timeout=ANSWER_S)
    except FileNotFoundError as error:
        raise SealFailed(f"there is no {PROGRAM} here: keys are sealed by systemd 250 or newer") from error
    except subprocess.TimeoutExpired as error:
        raise SealFailed(f"{PROGRAM} {words[0]}: no answer within {ANSWER_S:.0f} s") from error
    if done.returncode != 0:
        why = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise SealFailed(f"{PROGRAM} {words[0]}: {' '.join(why)}", LOST if words[0] == "decrypt" else "")
    return done.stdout


LOST = "if the TPM or the machine is another one now: sudo rm -r /etc/lamppost/sealed, then enrol by a new token"
