"""What every part shares: the table of parameters, the store, channels, workers, errors.

Only the standard library and numpy are imported below this package, so that it loads
anywhere. Import from the files themselves (`from engine.core.store import Store`).
"""
