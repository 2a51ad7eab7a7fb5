"""What every process needs: settings, keys, clock, ids, errors, logs. It knows no use case."""
