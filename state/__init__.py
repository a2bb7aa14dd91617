"""Stores, changelogs and restore.

Start at `task_state.TaskState`: all stores of one task, and the cycle of drain, commit and apply.

    keys        one ordered space of bytes          backend    what keeps them: rocks, memory
    entries     overlay, pending and cache          tracked    the same for mutable values
    key_value   a store by key                      windowed   a store by window and key
    view        committed data, for queries         cache      the bound of all caches together
    changelog   the records that rebuild a store    restore    catching up with them
    shape       what a store is made for
    meta        positions and formats in a backend  codec      values to bytes and back
"""
