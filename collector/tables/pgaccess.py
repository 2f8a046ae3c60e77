"""Reading one site's part of a PostgreSQL: a schema of views of that site's rows, and nothing else.

The views have the names of the tables, and come first in the role's search path: queries are the same for everybody. A
role has no right to a table itself; a view is read with its owner's right and is a security barrier (PostgreSQL 15,
CREATE VIEW), so that no function of the reader's sees a row of another site.
"""

from collections.abc import Iterator

from collector.errors import UsageError
from collector.query import Row, rows
from collector.tables.database import Database, Sql, is_url

_HERE = "gateway IN (SELECT gateway FROM public.gateways WHERE site = {site})"
_OWN = f"SELECT id FROM public.series WHERE {_HERE}"  # noqa: S608 - ours, and a site that is quoted
_VIEWS = {
    "gateways": "site = {site}",
    "series": _HERE,
    "samples": f"series IN ({_OWN})",
    "rollups": f"series IN ({_OWN})",
    "batches": _HERE,
    "boots": _HERE,
    "gaps": _HERE,
    "streams": _HERE,
    "waiting": _HERE,
    "commands": _HERE,
    "command_results": _HERE,
    "asset_readings": _HERE,
}
MAX_NAME = 63  # bytes of a PostgreSQL identifier
PREFIX = "site_"

_LISTED = """
    SELECT r.rolname AS role, substr(n.nspname, 6) AS site FROM pg_namespace n CROSS JOIN pg_roles r
    WHERE substr(n.nspname, 1, 5) = 'site_' AND NOT r.rolsuper AND r.oid <> n.nspowner AND r.rolname NOT LIKE 'pg\\_%'
        AND has_schema_privilege(r.oid, n.oid, 'USAGE')
    ORDER BY 2, 1"""


def grant(database: Database, role: str, site: str) -> None:
    """Let a role read one site. Raises UsageError for a role or site that is not there."""
    _require(database)
    with database.transaction() as db:
        _check(db, role, site)
        schema = _name(PREFIX + site)
        db.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        for view, where in _VIEWS.items():
            db.execute(
                f"CREATE OR REPLACE VIEW {schema}.{view} WITH (security_barrier) AS"  # noqa: S608 - quoted below
                f" SELECT * FROM public.{view} WHERE {where.format(site=_text(site))}"
            )
        db.execute(f"GRANT USAGE ON SCHEMA {schema} TO {_name(role)}")
        db.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO {_name(role)}")
        db.execute(f"ALTER ROLE {_name(role)} SET search_path = {schema}")


def revoke(database: Database, role: str, site: str) -> None:
    """Let a role read the site no more; raises UsageError when there is no such role."""
    _require(database)
    with database.transaction() as db:
        _check(db, role, None)
        schema = _name(PREFIX + site)
        if db.execute("SELECT 1 FROM pg_namespace WHERE nspname = ?", (PREFIX + site,)).fetchone() is None:
            raise UsageError(f"nobody was let read the site {site}")
        db.execute(f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {_name(role)}")
        db.execute(f"REVOKE ALL ON SCHEMA {schema} FROM {_name(role)}")
        db.execute(f"ALTER ROLE {_name(role)} RESET search_path")


def listed(database: Database) -> Iterator[Row]:
    """Yield who may read which site; superusers and the owner may read all of them."""
    _require(database)
    return rows(database, _LISTED, {})


def _require(database: Database) -> None:
    if not is_url(database.path):
        raise UsageError("a file is read by whoever can read the file: roles are PostgreSQL's")


def _check(db: Sql, role: str, site: str | None) -> None:
    if db.execute("SELECT 1 FROM pg_roles WHERE rolname = ?", (role,)).fetchone() is None:
        raise UsageError(f"there is no role {role!r}: CREATE ROLE makes one")
    if site is None:
        return
    if len((PREFIX + site).encode()) > MAX_NAME:
        raise UsageError(f"the name of the site {site!r} is too long for a schema")
    if db.execute("SELECT 1 FROM gateways WHERE site = ? LIMIT 1", (site,)).fetchone() is None:
        raise UsageError(f"no gateway of a site {site!r} is known")


def _name(name: str) -> str:
    """As an identifier (PostgreSQL 15, 4.1.1)."""
    if "\0" in name:
        raise UsageError("a name has no zero character")
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _text(text: str) -> str:
    """As a literal (the same, 4.1.2.1; standard_conforming_strings is on since 9.1)."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"
