"""Alembic's entry: raw SQL migrations of the schema `register`, with a lock time-out, under one advisory lock."""

from alembic import context
from sqlalchemy import create_engine, pool, text


def run() -> None:
    url = context.config.get_main_option("sqlalchemy.url")
    assert url is not None, "migrate() names the database"
    engine = create_engine(url, poolclass=pool.NullPool)
    with engine.connect() as connection:
        connection.execute(text("SET lock_timeout = '4s'"))
        # Two migrators at once wait for each other; the lock ends with the session.
        connection.execute(text("SELECT pg_advisory_lock(hashtext('nser migrations'))"))
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS register"))
        connection.commit()
        context.configure(connection=connection, version_table_schema="register", transactional_ddl=True)
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
    engine.dispose()


run()
