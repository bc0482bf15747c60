"""Logs in and asks: login.py host port user password database. PyMySQL."""
import sys
import pymysql

host, port, user, password, database = sys.argv[1:]
try:
    c = pymysql.connect(host=host, port=int(port), user=user, password=password, database=database).cursor()
    c.execute("select concat_ws(' ', @@server_id, current_user(), database())")
    who = c.fetchone()[0]
    c.execute("select %s + 1", (41,))
    total = c.fetchone()[0]
    c.execute("select repeat('x', 100000)")
    print(who, total, len(c.fetchone()[0]))
except pymysql.MySQLError as e:
    sys.exit(str(e))
