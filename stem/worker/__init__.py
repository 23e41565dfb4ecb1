"""The hub process, which leases and settles, and its children, which run tasks.

    hub process                                             child k (forkserver)
     courier     one thread, one connection: lease, settle,    one socketpair to the hub
                 renew                                         frames RUN LOST INTERRUPT DRAIN →
     dispatcher  child sockets, limits; owns all task state    ← READY DONE
     services    heartbeat, reaper, pruner                     slots: 1 sync │ T threads │ C coroutines
     announcer   calls signal receivers

The dispatcher's decisions are a state machine without I/O (`stem.worker.core`):
events in, effects out.
"""
