"""The way to the platform: name, TCP, TLS, MQTT, what the broker permits, acknowledgements, the last sample."""

from collections.abc import Iterator, Mapping
from typing import Any

from config import Broker
from gateway.doctor.facts import Facts
from gateway.doctor.finding import Finding, failure, warning, well

ACK_S = 8.0
"""A collector answers within a second; a slow radio link needs a few for 64 kB."""
OLD_S = 3 * 3600.0
"""Batches are sealed once an hour at the rarest."""
SETTLES_S = 15
"""A link that broke a moment ago is being made again."""

_SENTENCES = {
    "dns": ("The name of the broker is not found", "resolvectl query {host}"),
    "proxy": (
        "The proxy does not carry us to the broker (uplink.proxy)",
        "lamppost check, then ask who runs the proxy",
    ),
    "no-route": ("There is no way to the broker", "ip route get $(getent hosts {host} | cut -d' ' -f1)"),
    "broker-down": ("Nothing answers at the broker's port", "nc -vz {host} {port}"),
    "wrong-ca": (
        "The broker's certificate is from nobody that this gateway trusts (uplink.tls.ca)",
        "openssl s_client -connect {host}:{port} -showcerts </dev/null",
    ),
    "wrong-name": (
        "The broker's certificate is for another name",
        "openssl s_client -connect {host}:{port} </dev/null | openssl x509 -noout -ext subjectAltName",
    ),
    "broker-certificate-expired": (
        "The broker's certificate has ended",
        "openssl s_client -connect {host}:{port} </dev/null | openssl x509 -noout -dates",
    ),
    "not-yet-valid": ("The broker's certificate is not valid yet", "timedatectl status"),
    "certificate-refused": ("The broker refuses this gateway's certificate", "lamppost check, then ask the platform"),
    "certificate-missing": ("A file of [uplink] cannot be used", "lamppost check"),
    "tls": ("No TLS with the broker", "openssl s_client -connect {host}:{port} </dev/null"),
    "login-refused": ("The broker does not let this gateway in", "lamppost check, then ask the platform"),
    "mqtt": ("The broker does not speak MQTT with us", "nc -vz {host} {port}"),
}


def link(facts: Facts) -> Iterator[Finding]:
    """The first step of the way that does not go."""
    state = facts.status
    if state is None:
        yield from _brokers(facts.seen.get("brokers", ()))
        return
    uplink, more = state["uplink"], facts.seen["uplink"]
    if uplink is None:
        yield well("link", "No uplink is configured: everything stays in the buffer.")
    elif not uplink["up"]:
        yield from _down(facts, uplink)
    else:
        yield well("link", f"Connected to {uplink['broker']} for {uplink['since_s']} s.")
        yield from _delivery(state, uplink, more)


def _down(facts: Facts, uplink: Mapping[str, Any]) -> Iterator[Finding]:
    if uplink["error"].startswith("subscribe"):
        yield _acl(uplink["error"])
        return
    brokers = facts.seen.get("brokers", ())
    if brokers and all(one["fault"] for one in brokers):
        yield from _brokers(brokers)
    elif uplink["since_s"] < SETTLES_S:
        yield warning("link", "link-settles", "The link is being made.", "lamppost doctor, in a quarter of a minute")
    else:
        text = f"The broker takes connections, but not ours: {uplink['error'] or 'no answer'}."
        yield failure("link", "link-down", text, "journalctl -u lamppost -e")


def _brokers(brokers: Any) -> Iterator[Finding]:  # noqa: ANN401 - JSON
    for one in brokers:
        if one["fault"]:
            yield _fault(one)
        else:
            yield well("link", f"{one['url']} takes us.")


def _fault(one: Mapping[str, Any]) -> Finding:
    sentence, remedy = _SENTENCES[one["fault"]]
    broker = Broker.parse(one["url"])
    command = remedy.format(host=f"[{broker.host}]" if ":" in broker.host else broker.host, port=broker.port)
    return failure("link", one["fault"], f"{sentence}: {one['url']}: {one['error']}.", command, one["url"])


def _delivery(state: Mapping[str, Any], uplink: Mapping[str, Any], more: Mapping[str, Any]) -> Iterator[Finding]:
    waits, last = more["unanswered_s"], uplink["last_ack_s"]
    if more["refusal"]:
        yield _acl(more["refusal"])
    elif waits is None or waits < ACK_S:
        ago = "nothing was delivered yet" if last is None else f"the last acknowledgement came {last:.0f} s ago"
        yield well("delivery", f"{ago[0].upper()}{ago[1:]}.")
        yield from _backlog(state)
    elif uplink["bad_acks"] and last is None:
        text = f"{uplink['bad_acks']} acknowledgements are not signed by the key that this gateway trusts."
        yield failure("delivery", "wrong-key", text, "lamppost-collector key show, on the platform")
    else:
        text = f"The broker takes the batches, and the platform has not acknowledged them for {waits:.0f} s"
        hint = "; over MQTT 3.1.1 the broker may refuse them without a word"
        yield failure("delivery", "no-ack", f"{text}{hint}.", "lamppost-collector gateways, on the platform")


def _backlog(state: Mapping[str, Any]) -> Iterator[Finding]:
    oldest = state["buffer"]["held"]["oldest"]
    if oldest is not None and oldest["age_s"] is not None and oldest["age_s"] > OLD_S:
        text = f"The oldest sample that the platform lacks is {oldest['age_s'] / 3600:.1f} h old."
        yield warning("delivery", "backlog", text, "lamppost queue")


def _acl(error: str) -> Finding:
    text = f"The broker does not let this gateway use its topics (access list): {error}."
    return failure("delivery", "acl", text, "ask the platform for the access list of the broker")
