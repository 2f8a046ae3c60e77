"""A status as the agent answers it, with something in every part."""

from typing import Any

UTC = 1_790_000_000_000


def status() -> dict[str, Any]:
    """A fresh copy; docs/cli-json.md says what each part is (test_cli_json.py holds it against a running agent)."""
    sums = {"batches": 3, "samples": 900, "bytes": 4000, "refused": 1}
    return {
        "gateway": "gw-1", "site": "test", "version": "0.1.0", "boot": "00" * 16, "utc_ms": UTC,
        "clock": "synchronized", "clock_from": "system", "stuck": [], "config_wrong": [],
        "strangers": {"unknown sentence": 2},
        "buses": [
            {
                "id": "panel", "driver": "modbus", "up": True, "error": "", "facts": {}, "missed": 0, "planned": 0.2,
                "busy": 0.25,
                "devices": [
                    device("meter1", state="offline", heard_s=61.5, failures=7, last_error="no answer",
                           errors={"NoAnswer": 7}),
                    device("lamp7"),
                ],
            },
        ],
        "points": [
            {"id": "meter1/voltage", "value": 230.25, "unit": "V", "quality": "good", "age_s": 0.5},
            {"id": "lamp7/level", "value": 40, "unit": "%", "quality": "bad (no answer)", "age_s": 3.0},
        ],
        "buffer": {
            "path": "/var/lib/lamppost/buffer.db", "stream": "11" * 16, "bytes": 51_200_000, "limit": 512_000_000,
            "loss_window_s": 5.0, "error": "", "salvage": [], "samples": 12_100, "committed": 12_000, "commits": 60,
            "sealed": 30, "held": sums | {"oldest": {"number": 4, "utc_ms": UTC, "age_s": 7300.0}},
            "history": sums | {"keep_s": 86_400.0}, "ledger": {"waiting": 0},
            "made_room": {"thinned": 0, "evicted": 0, "facts": 0},
            "memory": {"bytes": 100, "limit": 8 << 20, "samples": 9, "given_up": 0},
            "disk": {"state": "ok", "since_s": 5, "size": 10**9, "free": 5 * 10**8, "keep_free": 10**8, "low": False},
            "card": {"source": "mmcblk0", "written_bytes": 10**6, "seen_s": 3 * 86_400, "bytes_per_day": 270_000_000,
                     "endurance": 30 * 10**12, "years": 304.2},
        },
        "uplink": {
            "up": True, "broker": "mqtts://broker.example:8883", "since_s": 80, "error": "", "connections": 2,
            "sent": 33, "sent_bytes": 9000, "in_flight": 1, "held": 3, "acknowledged": 27, "last_ack_s": 4.0,
            "bad_acks": 0,
        },
        "commands": {
            "remote": True, "keyring": 3, "open": True, "refused": {"expired": 1}, "results": {"verified": 2},
            "locks": [],
        },
        "configuration": {
            "hash": "22" * 32, "source": "own", "own_hash": "22" * 32, "number": 0, "trial": None, "last": None,
            "refused": {},
        },
    }  # fmt: skip


def device(name: str, **changed: object) -> dict[str, Any]:
    """One device of a bus."""
    return {
        "id": name, "state": "online", "since_s": 100, "heard_s": 0.5, "answers": 500, "failures": 0, "skipped": 0,
        "period": {"wanted_s": 1.0, "median_s": 1.0, "mean_s": 1.001, "worst_s": 1.2}, "last_error": "", "errors": {},
    } | changed  # fmt: skip
