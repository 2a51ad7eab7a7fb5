"""The audit log at the size of a country's seven years: loaded, proved, verified."""
