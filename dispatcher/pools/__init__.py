"""Where sessions are kept, one file each; see dispatcher/pool.py for the port."""
