"""What stands beside the log in an SQLite file: leases, keys, numbers of types, runs that are being swept, a count of takeovers.

They are lines of one table, `beside`, and are read through views that have the names of what they are: `drivers`, `keys`,
`kinds`, `sweep` and `takeovers`. A type is added through its view; keys are written by `sqlite_keys`.
"""

from __future__ import annotations

BEAT = "INSERT OR REPLACE INTO beside (what, name, value) VALUES ('driver', ?, ?)"
"""Notes until when the lease of a driver holds: its name, and seconds since 1970."""

SWEEP = "INSERT INTO beside (what, name) VALUES ('sweep', ?)"
"""Has a run swept: its number."""

SWEPT = "DELETE FROM beside WHERE what = 'sweep' AND name = ?"
"""Ends that."""

TAKEN_OVER = "UPDATE beside SET value = value + ? WHERE what = 'takeovers'"
"""Adds to how often any run was taken over."""

TAKEOVERS = "(SELECT value FROM beside WHERE what = 'takeovers')"
"""How often any run was taken over. While the number stands, every epoch that a writer knows is in force."""
