"""The outbox behind a PgBouncer in transaction mode. A file of its own: its fixtures' names collide with others'."""

from tests.support.pgbouncer import bouncer, database_url, needs_pgbouncer, once_more

pytestmark = needs_pgbouncer
__all__ = ["bouncer", "database_url"]  # fixtures, used by name

globals().update(once_more("tests.component.shared.storage.test_deliveries"))
