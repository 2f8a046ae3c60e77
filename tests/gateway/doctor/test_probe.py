"""What the probe sees of files."""

from datetime import timedelta
from pathlib import Path

from gateway.doctor.probe import certificate
from tests.authority import Authority


def test_the_certificate_of_a_chain_is_its_first_and_of_authorities_that_which_ends_last(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    leaf, _ = authority.issue("old", timedelta(days=-1))
    ended = certificate(str(leaf))
    chain = tmp_path / "chain.pem"
    chain.write_bytes(leaf.read_bytes() + authority.file.read_bytes())
    assert certificate(str(chain)) == ended | {"path": str(chain)}
    later = Authority(tmp_path, "later").file
    both = tmp_path / "both.pem"
    both.write_bytes(later.read_bytes() + authority.file.read_bytes())
    assert certificate(str(both))["until_utc_ms"] == certificate(str(later))["until_utc_ms"]
