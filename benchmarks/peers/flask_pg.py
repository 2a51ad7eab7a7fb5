"""What people would build instead: Flask, psycopg and a table in PostgreSQL, served by gunicorn.

Phones and IDs lie in the table in clear, which the register would not do; nothing is normalised but spaces.
Runs in a virtual environment of its own (requirements.txt), and imports nothing of ours.
"""

import hmac
import os

from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue
from psycopg_pool import ConnectionPool

QUESTION = "SELECT bool_or(excluded) FROM people WHERE phone = %s OR national_id = %s"


def create_app() -> Flask:
    app = Flask(__name__)
    authorization = os.environ["PEER_AUTHORIZATION"]
    pool = ConnectionPool(os.environ["PEER_DATABASE_URL"], min_size=4, max_size=4, open=True)

    def check() -> ResponseReturnValue:
        if not hmac.compare_digest(request.headers.get("Authorization", ""), authorization):
            return jsonify(error="The API key is not valid."), 401
        asked = request.get_json()
        phone, national_id = asked["phone"].replace(" ", ""), asked["national_id"].replace(" ", "")
        with pool.connection() as connection:
            row = connection.execute(QUESTION, (phone, national_id)).fetchone()
        return jsonify(outcome="EXCLUDED" if row and row[0] else "NOT_EXCLUDED")

    app.add_url_rule("/check", view_func=check, methods=["POST"])
    return app
